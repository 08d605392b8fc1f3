"""The options of `inquisight convert minigpt4`; a docstring below a field is its help. Imports no model library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from core.console.options import choice_option

DTypeOption = Annotated[
    str,
    choice_option(
        "--dtype",
        "auto (as the language model is stored), bfloat16, float16 or float32.",
        ("auto", "bfloat16", "float16", "float32"),
        metavar="TYPE",
    ),
]
TemplateOption = Annotated[
    str, choice_option("--template", "Conversation format: auto, vicuna or llama2.", ("auto", "vicuna", "llama2"))
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


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """Join projection, language model and vision half of MiniGPT-4.

    Run again after an interruption, it continues with the first missing file.
    """

    projection: Path
    """The released MiniGPT-4 checkpoint (.pth)."""
    llm: Annotated[str, typer.Option("--llm", metavar="DIR|NAME")]
    """Llama-family model: a directory or a hub name."""
    vision: Annotated[tuple[str, ...], typer.Option("--vision", metavar="DIR|NAME|FILE")]
    """BLIP-2's vision half: a directory or hub name (Salesforce/blip2-flan-t5-xxl), or LAVIS's .pth; repeat it if
    Q-Former and eva_vit_g.pth are two files."""
    to: Annotated[Path, typer.Option("--to", metavar="DIR")]
    """Output directory."""
    dtype: DTypeOption = "auto"
    template: TemplateOption = "auto"
    own_projection: bool = False
    """The projection was trained with exactly these two halves: do not require those of the released one."""
    qformer: Annotated[bool | None, typer.Option("--qformer/--no-qformer", show_default=False)] = None
    """Variant, if the projection's width fits both."""
    qformer_heads: QFormerHeadsOption = None
    vit_heads: VitHeadsOption = None
    check: bool = False
    """Check compatibility only; write nothing."""
    overwrite: bool = False
    """Replace an earlier conversion at --to."""
