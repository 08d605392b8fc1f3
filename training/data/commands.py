"""The command group `inquisight data`. Each command imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.console.options import choice_option, count_option, number_option, show_help, text_option

KINDS = ("auto", "webdataset", "folder", "table", "cc_sbu_align", "vqa")
data = typer.Typer(name="data", help="Check data sets before training.")
data.callback(invoke_without_command=True, help="Check data sets before training.")(show_help)


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
        str, choice_option("--kind", "auto, webdataset, folder, table, cc_sbu_align or vqa.", KINDS, "KIND")
    ] = "auto",
    text_column: Annotated[str | None, text_option("--text-column", "Column or field of the text.", "NAME")] = None,
    picture_column: Annotated[
        str | None, text_option("--picture-column", "Column of the picture's path or bytes.", "NAME")
    ] = None,
    tokenizer: Annotated[
        Path | None, text_option("--tokenizer", "Measure captions in tokens of this model instead of words.", "DIR")
    ] = None,
    longest: Annotated[
        int | None, count_option("--longest", "Captions above this are too long [160 tokens, or 120 words].")
    ] = None,
    sample: Annotated[int | None, count_option("--sample", "Check only N samples, drawn from all parts.")] = None,
    seed: Annotated[int, count_option("--seed", "Random seed of the sample.", 0)] = 0,
    max_broken: Annotated[
        float, number_option("--max-broken", "Share of broken samples a training run tolerates.")
    ] = 0.05,
    report: Annotated[Path | None, text_option("--report", "Write a report as .html, or as .md with a .png.")] = None,
    histogram: Annotated[
        Path | None, text_option("--histogram", "Write a histogram of caption lengths.", "FILE.png")
    ] = None,
    threads: Annotated[int, count_option("--threads", "Threads that decode pictures.")] = 4,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON object.")] = False,
) -> None:
    """Report missing, broken, duplicate, empty or too long samples.

    The exit code is 7 if a training run would stop, else 0.
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
    pictures: Annotated[int, count_option("--pictures", "Number of images.")] = 60,
    seed: Annotated[int, count_option("--seed", "Random seed.", 0)] = 1,
) -> None:
    """Write a small sample data set for a first training."""
    from training.data.sample_set import write_sample

    print(write_sample(folder, pictures, seed=seed))


def add_to(cli: typer.Typer) -> None:
    """Add the group `data` to the command line."""
    cli.add_typer(data, name="data")
