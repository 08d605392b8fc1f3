"""The command group `inquisight curate`. Each command imports what it needs when it runs.

An omitted option keeps the value that the folder was begun with, so the shortest command resumes the step.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.console.options import Vision, show_help, whole_number
from core.console.options import count_option as _count
from core.console.options import number_option as _number
from core.console.options import text_option as _file
from core.errors import UsageError, printable

if TYPE_CHECKING:
    from training.curation.folder import CurationFolder, Step

curate = typer.Typer(name="curate", help="Make stage-2 data: describe, repair, review, export.")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the curation.")]
Again = Annotated[bool, typer.Option("--again", help="Redo this step; earlier results are set aside.")]


curate.callback(invoke_without_command=True, help="Make stage-2 data: describe images, repair, review, export.")(
    show_help
)


@curate.command()
def generate(
    folder: Folder,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PICTURES]...",
            help="Folders, tables (CSV, TSV, JSONL, Parquet), lists (TXT), cc_sbu_align folders, files.",
            show_default=False,
        ),
    ] = None,
    vision: Vision = None,
    kind: Annotated[str, _file("--kind", "auto, folder, list, table or cc_sbu_align.", "KIND")] = "auto",
    column: Annotated[str | None, _file("--column", "Table column with the image path.", "NAME")] = None,
    sample: Annotated[int | None, _count("--sample", "Number of images to draw at random [all].")] = None,
    instructions: Annotated[Path | None, _file("--instructions", "File of instructions, used in turn.")] = None,
    min_tokens: Annotated[int | None, _count("--min-tokens", "Continue texts shorter than this [80].", 0)] = None,
    continues: Annotated[int | None, _count("--continues", "Maximum continuations per text [1].", 0)] = None,
    max_new_tokens: Annotated[int | None, _count("--max-new-tokens", "Maximum tokens per part [300].")] = None,
    temperature: Annotated[float | None, _number("--temperature", "Sampling temperature; 0 is greedy [1].")] = None,
    top_p: Annotated[float | None, _number("--top-p", "Nucleus sampling threshold [0.9].")] = None,
    batch: Annotated[int | None, _count("--batch", "Images per batch [16].")] = None,
    seed: Annotated[int | None, _count("--seed", "Random seed [42].", 0)] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Accept a model that does not follow instructions.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Retry failed images only, one at a time.")] = False,
    again: Again = False,
) -> None:
    """Describe every image at length with a vision model."""
    from core.console.silence import hush_libraries
    from core.datasets.left_out import LeftOut
    from core.files.journal import read_json
    from core.registry import get_registry
    from core.settings import get_settings
    from core.vision import VisionBackend
    from training.curation.folder import LEFT_OUT, PROGRESS, CurationFolder
    from training.curation.steps import generate as step
    from training.curation.steps.pictures import KINDS, list_pictures
    from training.curation.steps.progress import show
    from training.curation.toml import checked

    if kind not in KINDS:
        raise UsageError(f"--kind is '{printable(kind, 40)}': take {', '.join(KINDS)}.")
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
    settings, left_out, entries = get_settings(), LeftOut(), None
    if pictures:
        begun = {} if again else (read_json(folder / "generate.json") or {}).get("settings", {})
        seed = next((one for one in (seed, begun.get("seed")) if one is not None), 42)
        entries = list_pictures(pictures, kind=kind, column=column, sample=sample, seed=seed, left_out=left_out)  # type: ignore[arg-type]
    curation = CurationFolder(folder, create=bool(pictures))
    with curation.at_work("generate"):
        before = curation.settings("generate")
        kept = {name: value for name, value in before.items() if name in options}
        if instructions or not kept or again:
            prompts = step.Instructions.load(instructions).model_dump()
        else:
            prompts = {name: before[name] for name in ("instructions", "continue_with")}
        given = {name: value for name, value in options.items() if value is not None}
        values = {"vision": settings.vision, **prompts, **({} if again else kept), **given}
        chosen = checked(step.GenerateSettings, values)
        step.check_vision(chosen.vision, anyway=anyway or (bool(kept) and not again))
        counted = {**left_out.as_json(), "line": str(left_out)} if pictures else read_json(folder / LEFT_OUT)
        if again:
            entries = entries or step.known_pictures(curation)
            _set_aside(curation, "generate")
        if entries is not None:
            step.remember_pictures(curation, entries, counted)
        elif not step.known_pictures(curation):
            raise UsageError("name the pictures to describe: a folder, a table or a list.")

        def load() -> VisionBackend:
            hush_libraries()
            backend = get_registry().create_vision(chosen.vision)
            step.check_capable(backend.name, backend.follows_instructions, anyway=anyway or bool(kept))
            return backend

        events = step.generate(curation, chosen, load, failed_only=failed, max_pixels=settings.max_pixels)
        tally = show(events, "describing", keep=folder / PROGRESS)
        made = step.generated(curation)
    good = sum(record["status"] == "ok" for record in made.values())
    aside = f"; {len(made) - good} failed, see `inquisight curate status`" if len(made) > good else ""
    total = len(step.known_pictures(curation))
    print(f"{_new(tally.done)}{good} texts of {total} pictures{_truncated(made.values())}{aside}")
    if left_out:
        print(left_out)
    if left_out.faults or (made and not good):  # nothing was described: no success, whatever the reason
        raise typer.Exit(1)


@curate.command()
def repair(
    folder: Folder,
    repairer: Annotated[
        str | None,
        _file("--repairer", "Language model: a questioner, provider:model, or rules (no model).", "NAME"),
    ] = None,
    prompts: Annotated[Path | None, _file("--prompts", "File of prompts and limits.")] = None,
    concurrency: Annotated[int, _count("--concurrency", "Concurrent calls.")] = 4,
    rate: Annotated[float | None, _number("--requests-per-second", "Maximum calls per second [no limit].")] = None,
    tries: Annotated[int | None, _count("--tries", "Attempts per text [2].")] = None,
    temperature: Annotated[
        float | None, _number("--temperature", "Sampling temperature of the language model [0].")
    ] = None,
    seed: Annotated[int | None, _count("--seed", "Random seed, if the provider takes one [42].", 0)] = None,
    price_in: Annotated[float | None, _number("--price-in", "Price per million input tokens.", amount=True)] = None,
    price_out: Annotated[float | None, _number("--price-out", "Price per million output tokens.", amount=True)] = None,
    max_cost: Annotated[
        float | None, _number("--max-cost", "Stop at this total cost of all runs.", amount=True)
    ] = None,
    limit: Annotated[int | None, _count("--limit", "Maximum texts in this run [no limit].")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Retry failed texts only.")] = False,
    again: Again = False,
) -> None:
    """Repair every text with a language model."""
    from agents.llm.mender import ChatMender
    from core.console.silence import hush_libraries
    from training.curation.folder import PROGRESS, CurationFolder
    from training.curation.steps import repair as step
    from training.curation.steps.checking import Repair
    from training.curation.steps.progress import show
    from training.curation.toml import checked

    if rate is not None and not (rate > 0 and math.isfinite(rate)):
        raise UsageError(f"--requests-per-second is {rate}: it must be a number above 0.")
    options = {"repairer": repairer, "temperature": temperature, "tries": tries, "seed": seed}
    curation = CurationFolder(folder)
    with curation.at_work("repair"):
        before = {} if again else curation.settings("repair")
        files = Repair.load(prompts)
        digest = step.prompts_digest(files)
        if prompts is None and before and before["prompts"] != digest:
            raise UsageError("this repair was begun with prompts of your own; name their file with --prompts.")
        given = {name: value for name, value in options.items() if value is not None}
        values = {**before, "prompts": digest, **given}
        if "repairer" not in values:
            raise UsageError(
                "name the language model with --repairer: a registered one (`inquisight plugins`), provider:model "
                "such as openai:gpt-4o-mini, or rules."
            )
        chosen = checked(step.RepairSettings, values)
        known = step.Prices.of(curation)
        prices = step.Prices(
            known.input if price_in is None else price_in, known.output if price_out is None else price_out
        )
        has_prices = bool(prices.input or prices.output)
        if max_cost is not None and not has_prices:
            raise UsageError("--max-cost needs prices: add --price-in and --price-out, per million tokens.")
        if again:
            _set_aside(curation, "repair")
        curation.check("repair", chosen.model_dump(mode="json"))
        mender = None
        if chosen.repairer != step.RULES:
            hush_libraries()
            mender = ChatMender(chosen.repairer, temperature=chosen.temperature, requests_per_second=rate)
        if has_prices:
            prices.note(curation)
        config = step.RepairConfig(concurrency, failed, limit, prices, max_cost, waiting=_waiting)
        tally = show(step.repair(curation, chosen, files, mender, config), "repairing", keep=folder / PROGRESS)
        repaired = step.repaired(curation)
        usage = step.account(curation)
    good = sum(record["status"] == "repaired" for record in repaired.values())
    aside = f"; {len(repaired) - good} failed, --failed retries them" if len(repaired) > good else ""
    print(f"{_new(tally.done)}{good} texts repaired{_truncated(repaired.values())}{aside}")
    if usage.calls:
        cost = f", cost {prices.cost(usage):.2f}" if has_prices else ""
        print(f"{usage.calls} calls, {usage.input_tokens:,} tokens in, {usage.output_tokens:,} tokens out{cost}")


@curate.command()
def verify(
    folder: Folder,
    reviewer: Annotated[str, _file("--reviewer", "Name of the reviewer.", "NAME")],
    sample: Annotated[int | None, _count("--sample", "Texts to review [500].")] = None,
    seed: Annotated[int | None, _count("--seed", "Random seed of the sample [0].", 0)] = None,
    kinds: Annotated[Path | None, _file("--kinds", "File of error kinds and their keys.")] = None,
    after_rules: Annotated[bool, typer.Option("--after-rules", help="Review a sample of what the rules kept.")] = False,
    sheet: Annotated[Path | None, _file("--sheet", "Export the sample as JSON Lines for labelling elsewhere.")] = None,
    read_sheet: Annotated[Path | None, _file("--read-sheet", "Import labels from a completed sheet.")] = None,
    partly: Annotated[bool, typer.Option("--partly", help="Draw the sample before all texts are repaired.")] = False,
    again: Again = False,
) -> None:
    """Label errors in a sample of the texts, one key per kind."""
    from training.curation.folder import CurationFolder
    from training.curation.review import labels as review
    from training.curation.review.review import Review, review_in_terminal

    name = review.check_reviewer(reviewer)
    known = review.Kinds.load(kinds)
    if sheet is not None and read_sheet is not None:
        raise UsageError("--sheet writes one and --read-sheet reads one; choose one.")
    if sheet is not None and sheet.exists():
        raise UsageError(f"'{printable(sheet)}' exists already; name another file with --sheet.")
    curation = CurationFolder(folder)
    stage: review.Stage = "rules" if after_rules else "repair"
    with curation.at_work():
        if again:
            _set_aside(curation, "verify")
        items = review.draw_sample(curation, stage=stage, size=sample, seed=seed, partly=partly)
    labels = review.Labels(curation)  # from here on, several people may work at once
    if sheet is not None:
        review.write_sheet(sheet, items, labels, name)
        print(f"{len(items)} texts written to {printable(sheet)}; fill in kinds: {', '.join(known.names)}")
        return
    if read_sheet is not None:
        print(f"{review.read_sheet(read_sheet, items, labels, name, known)} labels imported")
    else:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError("the view needs a terminal; use --sheet FILE and --read-sheet FILE without one.")
        review_in_terminal(Review(items, labels, name, known, curation, stage))
    done = sum(labels.get(name, item) is not None for item in items)
    print(f"{done} of {len(items)} texts labelled by {name}")


@curate.command()
def rules(
    folder: Folder,
    file: Annotated[Path | None, _file("--rules", "File of rules.")] = None,
    partly: Annotated[bool, typer.Option("--partly", help="Skip images without a repaired text.")] = False,
) -> None:
    """Apply rules that fix or drop texts; report their counts."""
    from training.curation.folder import CurationFolder
    from training.curation.rules.rules import Rules
    from training.curation.workspace import apply_rules

    chosen = Rules.load(file)
    verdict = apply_rules(CurationFolder(folder), chosen, partly=partly)
    print(f"{len(verdict.kept)} kept, {len(verdict.dropped)} dropped")
    for rule in chosen.rule:
        if hits := verdict.hits[rule.name]:
            print(f"{len(hits):6d}  {rule.action}  {rule.name}")
    for stage in ("similar", "people", "repair", "generate"):
        if count := sum(record["stage"] == stage for record in verdict.dropped):
            print(f"{count:6d}  drop  ({stage})")


@curate.command()
def export(
    folder: Folder,
    to: Annotated[Path, _file("--to", "Output folder.", "FOLDER")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
) -> None:
    """Export the kept pairs in the cc_sbu_align layout."""
    from core.settings import get_settings
    from training.curation.folder import PROGRESS, CurationFolder
    from training.curation.report.export import export as write
    from training.curation.steps.progress import show

    curation = CurationFolder(folder)
    with curation.at_work("export"):
        events = write(curation, to, overwrite=overwrite, max_pixels=get_settings().max_pixels)
        tally = show(events, "writing", keep=folder / PROGRESS)
    print(f"{tally.done} pairs written to {printable(to)}")


@curate.command()
def report(
    folder: Folder,
    to: Annotated[Path | None, _file("--to", "Output folder of the report [DIR/report].", "FOLDER")] = None,
) -> None:
    """Write a report: figures, plots, rules with examples."""
    from training.curation.folder import CurationFolder
    from training.curation.report.figures import count
    from training.curation.report.report import write_report

    curation = CurationFolder(folder)
    file, missing = write_report(curation, count(curation), to or folder / "report")
    if missing:
        _say(missing)
    print(printable(file, limit=None))


@curate.command()
def status(
    folder: Folder,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the progress of each step, and rejects by reason."""
    from json import dumps

    from training.curation.folder import CurationFolder
    from training.curation.report.figures import count
    from training.curation.report.status import as_record, lines

    found = count(CurationFolder(folder))
    if json:
        print(dumps(as_record(found), ensure_ascii=False))
        return
    for line in lines(found):
        print(printable(line, limit=None))


@curate.command()
def paraphrase(
    instruction: Annotated[str, typer.Argument(metavar="TEXT", help="The instruction, in quotes.")],
    n: Annotated[int, typer.Option("--n", metavar="N", parser=whole_number, help="Number of paraphrases.")] = 4,
    questioner: Annotated[
        str | None, _file("--questioner", "Language model that proposes them [rules].", "NAME")
    ] = None,
    seed: Annotated[int, _count("--seed", "Random seed, if the provider takes one.", 0)] = 0,
    to: Annotated[Path | None, _file("--to", "Output file for `curate generate --instructions`.")] = None,
) -> None:
    """Paraphrase an instruction."""
    from agents.llm.mender import ChatMender
    from core.console.silence import hush_libraries
    from core.files.journal import write_whole
    from training.curation.steps.paraphrase import as_toml
    from training.curation.steps.paraphrase import paraphrase as find

    if to is not None and to.exists():
        raise UsageError(f"'{printable(to)}' exists already; name another file with --to.")
    mender = None
    if questioner:
        hush_libraries()
        mender = ChatMender(questioner, temperature=1.0)
    found = find(instruction, n, mender, seed=seed)
    for line in found.kept:
        print(line)
    for line, why in found.refused:
        _say(f"rejected, {why}: {printable(line)}")
    if questioner and found.by_rules:
        _say(f"{found.by_rules} of {len(found.kept)} by rules, the model had too few")
    if len(found.kept) < n:
        _say(f"only {len(found.kept)} of {n} wordings were found")
    if to is not None:
        write_whole(to, as_toml(" ".join(instruction.split()), found, questioner or "rules"))


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
    from agents.text.text_metrics import METRICS, measure

    values = measure(text) if text is not None else {}
    for name, (_, says) in METRICS.items():
        print("\t".join([name, *([f"{values[name]:g}"] if values else []), says]))


def _new(count: int) -> str:
    return f"{count} new, " if count else "nothing left to do, "


def _truncated(records: Iterable[dict[str, Any]]) -> str:
    count = sum(bool(record.get("truncated")) for record in records)
    return f", {count} truncated" if count else ""


def _waiting(pending: int) -> None:
    calls = "1 call" if pending == 1 else f"{pending} calls"
    _say(f"waiting for {calls} in flight; Ctrl-C abandons them")


def _set_aside(curation: CurationFolder, step: Step) -> None:
    if (where := curation.set_aside(step)) is not None:
        _say(f"what was there is kept in {printable(where)}")


def _say(text: str) -> None:
    print(f"inquisight: {text}", file=sys.stderr, flush=True)


def add_to(cli: typer.Typer) -> None:
    """Put the group `curate` on the command line."""
    cli.add_typer(curate, name="curate")
