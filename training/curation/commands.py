"""The declaration of `inquisight curate ...`; what a command does is imported when it runs.

An option that is left out keeps the value the folder was begun with, so that the shortest command goes on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from core.console.options import Vision, number, whole_number
from core.errors import UsageError

curate = typer.Typer(name="curate", help="Make stage-2 data: describe, repair, review, export.")

Place = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the curation.")]
Again = Annotated[bool, typer.Option("--again", help="Redo this step; earlier results are set aside.")]


def _count(flag: str, text: str, low: int = 1) -> Any:
    """An option that takes a whole number from `low` on."""

    def check(value: int | None) -> int | None:
        if value is not None and value < low:
            raise UsageError(f"{flag} is {value}: it must be {low} or more.")
        return value

    return typer.Option(flag, metavar="N", parser=whole_number, help=text, callback=check)


@curate.callback(invoke_without_command=True)
def group(context: typer.Context) -> None:
    """Make stage-2 data: describe images, repair, review, export."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit()


@curate.command()
def generate(
    folder: Place,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PICTURES]...",
            help="Folders, tables (CSV, TSV, JSONL, Parquet), lists (TXT), cc_sbu_align folders, files.",
            show_default=False,
        ),
    ] = None,
    vision: Vision = None,
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="auto, folder, list, table or cc_sbu_align.")
    ] = "auto",
    column: Annotated[
        str | None,
        typer.Option("--column", metavar="NAME", help="Table column with the image path."),
    ] = None,
    sample: Annotated[int | None, _count("--sample", "Take that many of the pictures, by chance.")] = None,
    instructions: Annotated[
        Path | None, typer.Option("--instructions", metavar="FILE", help="File of instructions, used in turn.")
    ] = None,
    min_tokens: Annotated[int | None, _count("--min-tokens", "A shorter text is continued [80].", 0)] = None,
    continues: Annotated[int | None, _count("--continues", "How often at most [1].", 0)] = None,
    max_new_tokens: Annotated[int | None, _count("--max-new-tokens", "Room for each part [300].")] = None,
    temperature: Annotated[
        float | None,
        typer.Option("--temperature", metavar="X", parser=number, help="Sampling temperature; 0 is greedy [1]."),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option("--top-p", metavar="X", parser=number, help="Nucleus sampling threshold [0.9]."),
    ] = None,
    batch: Annotated[int | None, _count("--batch", "Pictures at a time [16].")] = None,
    seed: Annotated[int | None, _count("--seed", "Same seed, same model: same texts [42].", 0)] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Accept a model that does not follow instructions.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Retry failed images only, one at a time.")] = False,
    again: Again = False,
) -> None:
    """Describe every image at length with a vision model."""
    from training.curation import running

    options = {
        "vision": vision,
        "min_tokens": min_tokens,
        "continues": continues,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "batch": batch,
        "seed": seed,
    }
    source = running.CurationSource(tuple(pictures or ()), kind, column, sample)
    running.generate(
        folder, source, {**options}, instructions=instructions, anyway=anyway, failed_only=failed, again=again
    )


@curate.command()
def repair(
    folder: Place,
    repairer: Annotated[
        str | None,
        typer.Option(
            "--repairer",
            metavar="NAME",
            help="Language model: a questioner, provider:model, or rules (no model).",
        ),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", metavar="FILE", help="File of prompts and limits.")
    ] = None,
    concurrency: Annotated[int, _count("--concurrency", "Calls at a time.")] = 4,
    rate: Annotated[
        float | None,
        typer.Option("--requests-per-second", metavar="X", parser=number, help="Maximum calls per second [no limit]."),
    ] = None,
    tries: Annotated[int | None, _count("--tries", "How often a text is sent before its failure counts [2].")] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", metavar="X", parser=number, help="Sampling temperature of the language model [0]."
        ),
    ] = None,
    seed: Annotated[int | None, _count("--seed", "Where the provider takes one [42].", 0)] = None,
    price_in: Annotated[
        float | None, typer.Option("--price-in", metavar="X", parser=number, help="Price per million input tokens.")
    ] = None,
    price_out: Annotated[
        float | None,
        typer.Option("--price-out", metavar="X", parser=number, help="Price per million output tokens."),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option("--max-cost", metavar="X", parser=number, help="Stop at this total cost of all runs."),
    ] = None,
    limit: Annotated[int | None, _count("--limit", "Texts in this run, to try things out.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Retry failed texts only.")] = False,
    again: Again = False,
) -> None:
    """Repair every text with a language model."""
    from training.curation import running

    options = {"repairer": repairer, "temperature": temperature, "tries": tries, "seed": seed}
    money = running.Money(price_in, price_out, max_cost)
    work = running.RunConfig(concurrency, rate, limit, failed)
    running.repair(folder, {**options}, prompts=prompts, money=money, work=work, again=again)


@curate.command()
def verify(
    folder: Place,
    reviewer: Annotated[str, typer.Option("--reviewer", metavar="NAME", help="Name of the reviewer.")],
    sample: Annotated[int | None, _count("--sample", "Texts to look at [500].")] = None,
    seed: Annotated[int | None, _count("--seed", "Which ones [0].", 0)] = None,
    kinds: Annotated[
        Path | None, typer.Option("--kinds", metavar="FILE", help="File of error kinds and their keys.")
    ] = None,
    after_rules: Annotated[bool, typer.Option("--after-rules", help="Review a sample of what the rules kept.")] = False,
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", metavar="FILE", help="Export the sample as JSON Lines for labelling elsewhere."),
    ] = None,
    read_sheet: Annotated[
        Path | None, typer.Option("--read-sheet", metavar="FILE", help="Import labels from a completed sheet.")
    ] = None,
    partly: Annotated[bool, typer.Option("--partly", help="Draw the sample before all texts are repaired.")] = False,
    again: Again = False,
) -> None:
    """Label errors in a sample of the texts, one key per kind."""
    from training.curation import running

    drawn = running.Drawn(sample, seed, after_rules, partly)
    running.verify(folder, reviewer, drawn, kinds=kinds, sheet=sheet, filled=read_sheet, again=again)


@curate.command()
def rules(
    folder: Place,
    file: Annotated[Path | None, typer.Option("--rules", metavar="FILE", help="File of rules.")] = None,
    partly: Annotated[bool, typer.Option("--partly", help="Skip images without a repaired text.")] = False,
) -> None:
    """Apply rules that fix or drop texts; report their counts."""
    from training.curation import running

    running.rules(folder, file, partly=partly)


@curate.command()
def export(
    folder: Place,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Output folder.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
) -> None:
    """Export the kept pairs in the cc_sbu_align layout."""
    from training.curation import running

    running.export(folder, to, overwrite=overwrite)


@curate.command()
def report(
    folder: Place,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Output folder of the report [DIR/report].")
    ] = None,
) -> None:
    """Write a report: figures, plots, rules with examples."""
    from training.curation import running

    running.report(folder, to)


@curate.command()
def status(
    folder: Place,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the progress of each step, and rejects by reason."""
    from training.curation import running

    running.status(folder, json=json)


@curate.command()
def paraphrase(
    instruction: Annotated[str, typer.Argument(metavar="TEXT", help="The instruction, in quotes.")],
    n: Annotated[int, typer.Option("--n", metavar="N", parser=whole_number, help="Number of paraphrases.")] = 4,
    questioner: Annotated[
        str | None,
        typer.Option("--questioner", metavar="NAME", help="Language model that proposes them [rules]."),
    ] = None,
    seed: Annotated[int, _count("--seed", "Where the provider takes one.", 0)] = 0,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Output file for `curate generate --instructions`.")
    ] = None,
) -> None:
    """Paraphrase an instruction."""
    from training.curation import running

    running.paraphrase(instruction, n, questioner, seed, to)


@curate.command()
def defaults(
    name: Annotated[str, typer.Argument(metavar="NAME", help="instructions, repair, kinds or rules.")],
) -> None:
    """Print a default file, as a template."""
    from training.curation.toml import default_file

    print(default_file(name).read_text("utf-8"), end="")


@curate.command()
def signs(
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="Text to measure, in quotes; without it, list the metrics.")
    ] = None,
) -> None:
    """List the text metrics, or measure a text."""
    from training.curation.text_metrics import METRICS, measure

    values = measure(text) if text is not None else {}
    for name, (_, says) in METRICS.items():
        print("\t".join([name, *([f"{values[name]:g}"] if values else []), says]))


def add_to(cli: typer.Typer) -> None:
    """Put the group `curate` on the command line."""
    cli.add_typer(curate, name="curate")
