"""The declaration of `inquisight data`; the work is in `checking.py`, imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.console.options import number, whole_number

data = typer.Typer(name="data", help="Check data sets before training.")


@data.callback(invoke_without_command=True)
def group(context: typer.Context) -> None:
    """Check data sets before training."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit()


@data.command()
def check(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH...",
            help="Folders, tables, .tar shards, or patterns as {00000..00099}.tar.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="auto, webdataset, folder, table or cc_sbu_align.")
    ] = "auto",
    text_column: Annotated[
        str | None, typer.Option("--text-column", metavar="NAME", help="Column or field of the text.")
    ] = None,
    picture_column: Annotated[
        str | None, typer.Option("--picture-column", metavar="NAME", help="Column of the picture's path or bytes.")
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", metavar="DIR", help="Measure captions in tokens of this model instead of words."),
    ] = None,
    longest: Annotated[
        int | None,
        typer.Option(
            "--longest",
            metavar="N",
            parser=whole_number,
            help="Captions above this are too long [160 tokens, or 120 words].",
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option("--sample", metavar="N", parser=whole_number, help="Check only N samples, drawn from all parts."),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", parser=whole_number, help="Random seed of the sample.")
    ] = 0,
    max_broken: Annotated[
        float,
        typer.Option(
            "--max-broken", metavar="X", parser=number, help="Share of broken samples a training run tolerates."
        ),
    ] = 0.05,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write a report as .html, or as .md with a .png.")
    ] = None,
    histogram: Annotated[
        Path | None,
        typer.Option("--histogram", metavar="FILE.png", help="Write a histogram of caption lengths."),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", metavar="N", parser=whole_number, help="Threads that decode pictures.")
    ] = 4,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON object.")] = False,
) -> None:
    """Report missing, broken, duplicate, empty or too long samples.

    Leaves with 7 where a training run would stop, with 0 otherwise.
    """
    from training.data.check import CheckOptions
    from training.data.checking import run_data_check

    fields = {"kind": kind, "text_column": text_column or None, "picture_column": picture_column or None}
    options = CheckOptions(sample=sample, seed=seed, longest=longest, max_share=max_broken, threads=threads)
    files = {"tokenizer": tokenizer, "report": report, "histogram": histogram}
    raise typer.Exit(run_data_check(paths or (), fields, options, **files, json=json))


@data.command()
def sample(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Output folder, new or empty.", show_default=False)],
    pictures: Annotated[
        int,
        typer.Option("--pictures", metavar="N", parser=whole_number, help="Number of images [60].", show_default=False),
    ] = 60,
    seed: Annotated[int, typer.Option("--seed", metavar="N", parser=whole_number, help="Random seed.")] = 1,
) -> None:
    """Write a small sample data set for a first training."""
    from training.data.sample_set import write_sample

    print(write_sample(folder, pictures, seed=seed))


def add_to(cli: typer.Typer) -> None:
    """Put the group `data` on the command line."""
    cli.add_typer(data, name="data")
