"""Declares `inquisight convert minigpt4`; `convert/` does the work and is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.console.options import show_help
from core.errors import UsageError, printable

DTYPES = ("auto", "bfloat16", "float16", "float32")
TEMPLATES = ("auto", "vicuna", "llama2")

QFormerOption = Annotated[
    bool | None,
    typer.Option("--qformer/--no-qformer", help="Variant, if the projection's width fits both.", show_default=False),
]
QFormerHeadsOption = Annotated[
    int | None,
    typer.Option(
        "--qformer-heads",
        metavar="N",
        min=1,
        help="Attention heads of the Q-Former, if neither config.json nor the published architecture gives them.",
    ),
]
VitHeadsOption = Annotated[
    int | None,
    typer.Option("--vit-heads", metavar="N", min=1, help="Attention heads of the ViT, if not known otherwise."),
]

convert = typer.Typer(name="convert", help="Convert released weights to Hugging Face directories.")


convert.callback(invoke_without_command=True, help="Convert released weights to Hugging Face directories.")(show_help)


@convert.command()
def minigpt4(
    projection: Annotated[
        Path,
        typer.Option("--projection", metavar="FILE", help="The released MiniGPT-4 checkpoint (.pth)."),
    ],
    llm: Annotated[
        str,
        typer.Option("--llm", metavar="DIR|NAME", help="Llama-family model: a directory or a hub name."),
    ],
    vision: Annotated[
        list[str],
        typer.Option(
            "--vision",
            metavar="DIR|NAME|FILE",
            help="BLIP-2's vision half: a directory or hub name (Salesforce/blip2-flan-t5-xxl), or LAVIS's .pth; "
            "repeat it if Q-Former and eva_vit_g.pth are two files.",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Output directory.")],
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype", metavar="TYPE", help="auto (as the language model is stored), bfloat16, float16 or float32."
        ),
    ] = "auto",
    template: Annotated[
        str, typer.Option("--template", metavar="NAME", help="Conversation format: auto, vicuna or llama2.")
    ] = "auto",
    own_projection: Annotated[
        bool,
        typer.Option(
            "--own-projection",
            help="The projection was trained with exactly these two halves: do not require those of the released one.",
        ),
    ] = False,
    qformer: QFormerOption = None,
    qformer_heads: QFormerHeadsOption = None,
    vit_heads: VitHeadsOption = None,
    check: Annotated[bool, typer.Option("--check", help="Check compatibility only; write nothing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier conversion at --to.")] = False,
) -> None:
    """Join projection, language model and vision half of MiniGPT-4.

    Run again after an interruption, it continues with the first missing file.
    """
    if dtype not in DTYPES:
        raise UsageError(f"--dtype is '{printable(dtype, 40)}': take {', '.join(DTYPES[:-1])} or {DTYPES[-1]}.")
    if template not in TEMPLATES:
        raise UsageError(
            f"--template is '{printable(template, 40)}': take {', '.join(TEMPLATES[:-1])} or {TEMPLATES[-1]}."
        )

    from plugins.minigpt4.convert.conversion import ConversionRequest, convert

    convert(
        ConversionRequest(
            projection=projection,
            llm=llm,
            vision=tuple(vision),
            to=to,
            dtype=dtype,
            template=template,
            own_projection=own_projection,
            qformer=qformer,
            qformer_heads=qformer_heads,
            vit_heads=vit_heads,
            overwrite=overwrite,
        ),
        check=check,
    )


def add_to(cli: typer.Typer) -> None:
    """Put the group `convert` on the command line."""
    cli.add_typer(convert, name="convert")
