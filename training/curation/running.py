"""What the commands of `inquisight curate` do: settings put together, models loaded, a line of result printed."""

from __future__ import annotations

import importlib.util
import json as json_module
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from agents.llm.mender import ChatMender
from core.console.silence import hush_libraries
from core.datasets.left_out import LeftOut
from core.errors import UsageError, printable
from core.settings import get_settings
from core.vision import VisionBackend
from training.curation.folder import LEFT_OUT, PROGRESS, CurationFolder, Step
from training.curation.journal import Record, read_json
from training.curation.steps import generate as generating
from training.curation.steps import repair as repairing
from training.curation.steps.generate import Instructions, known_pictures
from training.curation.steps.pictures import KINDS, list_pictures
from training.curation.steps.progress import show
from training.curation.toml import read


@dataclass(frozen=True, slots=True)
class CurationSource:
    """Where pictures come from."""

    paths: tuple[str, ...]
    kind: str
    column: str | None
    sample: int | None


@dataclass(frozen=True, slots=True)
class Money:
    """What tokens cost, and how much may be spent."""

    price_in: float | None
    price_out: float | None
    most: float | None


@dataclass(frozen=True, slots=True)
class RunConfig:
    """How fast, and on what."""

    concurrency: int
    rate: float | None
    limit: int | None
    failed: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """Which sample."""

    size: int | None
    seed: int | None
    after_rules: bool
    partly: bool


def generate(
    path: Path,
    source: CurationSource,
    options: dict[str, Any],
    *,
    instructions: Path | None,
    anyway: bool,
    failed_only: bool,
    again: bool,
) -> None:
    if source.kind not in KINDS:
        raise UsageError(f"--kind is '{printable(source.kind, 40)}': take {', '.join(KINDS)}.")
    settings = get_settings()
    entries, left_out = None, LeftOut()
    if source.paths:
        begun = {} if again else (read_json(path / "generate.json") or {}).get("settings", {})
        seed = next((one for one in (options["seed"], begun.get("seed")) if one is not None), 42)
        entries = list_pictures(
            source.paths,
            kind=source.kind,  # type: ignore[arg-type]
            column=source.column,
            sample=source.sample,
            seed=seed,
            left_out=left_out,
        )
    folder = CurationFolder(path, create=bool(source.paths))
    with folder.at_work("generate"):
        kept = {name: value for name, value in folder.settings("generate").items() if name in options}
        said = read("instructions", instructions, Instructions) if instructions or not kept or again else None
        if said is not None:
            words = {"instructions": said.instructions, "continue_with": said.continue_with}
        else:
            before = folder.settings("generate")
            words = {name: before[name] for name in ("instructions", "continue_with")}
        given = {name: value for name, value in options.items() if value is not None}
        chosen = generating.settings_from({"vision": settings.vision, **words, **({} if again else kept), **given})
        check_vision(chosen.vision, anyway=anyway or (bool(kept) and not again))
        counted = {**left_out.as_json(), "line": str(left_out)} if source.paths else read_json(path / LEFT_OUT)
        if again:
            entries = entries or known_pictures(folder)
            _set_aside(folder, "generate")
        if entries is not None:
            generating.remember_pictures(folder, entries, counted)
        elif not known_pictures(folder):
            raise UsageError("name the pictures that are to be described: a folder, a table or a list.")

        def load() -> VisionBackend:
            from core.registry import get_registry

            hush_libraries()
            backend = get_registry().create_vision(chosen.vision)
            generating.check_capable(backend.name, backend.follows_instructions, anyway=anyway or bool(kept))
            return backend

        limit = settings.max_pixels
        events = generating.generate(folder, chosen, load, failed_only=failed_only, max_pixels=limit)
        tally = show(events, "describing", keep=path / PROGRESS)
        made = generating.generated(folder)
    good = sum(record["status"] == "ok" for record in made.values())
    new = f"{tally.done} new, " if tally.done else "nothing left to do, "
    aside = f"; {len(made) - good} set aside, see `inquisight curate status`" if len(made) > good else ""
    cut = _truncated(made.values())
    print(f"{new}{good} texts of {len(known_pictures(folder))} pictures{cut}{aside}")
    if left_out:
        print(left_out)
    if left_out.faults or (made and not good):  # nothing was described: no success, whatever the reason
        raise typer.Exit(1)


def check_vision(name: str, *, anyway: bool) -> None:
    """A misspelt name, and a model that cannot do it, are told before anything is written or loaded."""
    from core.registry import get_registry

    entry = get_registry().find("vision backend", name.partition(":")[0])
    generating.check_capable(name, entry.capabilities.get("follows_instructions", True), anyway=anyway)


def repair(
    path: Path, options: dict[str, Any], *, prompts: Path | None, money: Money, work: RunConfig, again: bool
) -> None:
    for name, value in (("--price-in", money.price_in), ("--price-out", money.price_out), ("--max-cost", money.most)):
        if value is not None and not (value >= 0 and math.isfinite(value)):
            raise UsageError(f"{name} is {value}: it must be a number, 0 or more.")
    if work.rate is not None and not (work.rate > 0 and math.isfinite(work.rate)):
        raise UsageError(f"--requests-per-second is {work.rate}: it must be a number above 0.")
    folder = CurationFolder(path)
    with folder.at_work("repair"):
        before = {} if again else folder.settings("repair")
        files = repairing.load_files(prompts)
        digest = repairing.prompts_digest(files)
        if prompts is None and before and before["prompts"] != digest:
            raise UsageError("this repair was begun with prompts of your own; name their file with --prompts.")
        given = {name: value for name, value in options.items() if value is not None}
        values = {**before, "prompts": digest, **given}
        if "repairer" not in values:
            raise UsageError(
                "name the language model with --repairer: a registered one (`inquisight plugins`), provider:model "
                "such as openai:gpt-4o-mini, or rules."
            )
        chosen = _settings(repairing.RepairSettings, values)
        prices = repairing.Prices.of(folder)
        prices = repairing.Prices(
            prices.input if money.price_in is None else money.price_in,
            prices.output if money.price_out is None else money.price_out,
        )
        if money.most is not None and not (prices.input or prices.output):
            raise UsageError("--max-cost needs prices: add --price-in and --price-out, per million tokens.")
        if again:
            _set_aside(folder, "repair")
        folder.check("repair", chosen.model_dump(mode="json"))
        mender = None
        if chosen.repairer != repairing.RULES:
            hush_libraries()
            mender = ChatMender(chosen.repairer, temperature=chosen.temperature, requests_per_second=work.rate)
        if prices.input or prices.output:
            prices.note(folder)
        how = repairing.RepairConfig(work.concurrency, work.failed, work.limit, prices, money.most, waiting=_waiting)
        tally = show(repairing.repair(folder, chosen, files, mender, how), "repairing", keep=path / PROGRESS)
        mended = repairing.repaired(folder)
        usage = repairing.account(folder)
    good = sum(record["status"] == "repaired" for record in mended.values())
    new = f"{tally.done} new, " if tally.done else "nothing left to do, "
    aside = f"; {len(mended) - good} set aside, --failed tries them again" if len(mended) > good else ""
    print(f"{new}{good} texts repaired{_truncated(mended.values())}{aside}")
    if usage.calls:
        cost = f", cost {prices.cost(usage):.2f}" if prices.input or prices.output else ""
        print(f"{usage.calls} calls, {usage.input_tokens:,} tokens in, {usage.output_tokens:,} tokens out{cost}")


def _truncated(records: Iterable[Record]) -> str:
    count = sum(bool(record.get("truncated")) for record in records)
    return f", {count} truncated" if count else ""


def _waiting(under_way: int) -> None:
    calls = "1 call" if under_way == 1 else f"{under_way} calls"
    print(f"inquisight: waiting for {calls} under way; Ctrl-C leaves them", file=sys.stderr, flush=True)


def _settings(kind: type[repairing.RepairSettings], values: dict[str, Any]) -> repairing.RepairSettings:
    from pydantic import ValidationError

    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]).replace("_", "-")
        reason = first["msg"].rstrip(".")
        raise UsageError(f"--{name} is {printable(first['input'], 60)}: {reason[:1].lower()}{reason[1:]}.") from None


def verify(
    path: Path,
    reviewer: str,
    drawn: Drawn,
    *,
    kinds: Path | None,
    sheet: Path | None,
    filled: Path | None,
    again: bool,
) -> None:
    from training.curation.review.labels import Kinds, Labels, check_reviewer, draw_sample, read_sheet, write_sheet

    name = check_reviewer(reviewer)
    known = Kinds.load(kinds)
    if sheet is not None and filled is not None:
        raise UsageError("--sheet writes one and --read-sheet reads one; choose one.")
    if sheet is not None and sheet.exists():
        raise UsageError(f"'{printable(sheet)}' exists already; name another file with --sheet.")
    folder = CurationFolder(path)
    with folder.at_work():
        if again:
            _set_aside(folder, "verify")
        stage = "rules" if drawn.after_rules else "repair"
        items = draw_sample(folder, stage=stage, size=drawn.size, seed=drawn.seed, partly=drawn.partly)  # type: ignore[arg-type]
    labels = Labels(folder)  # from here on, several people may work at once
    if sheet is not None:
        write_sheet(sheet, items, labels, name)
        print(f"{len(items)} texts written to {printable(sheet)}; fill in kinds: {', '.join(known.names)}")
        return
    if filled is not None:
        new = read_sheet(filled, items, labels, name, known)
        print(f"{new} labels taken")
    else:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError("the view needs a terminal; use --sheet FILE and --read-sheet FILE without one.")
        from training.curation.review import review

        if importlib.util.find_spec("prompt_toolkit") is None:
            raise UsageError("the view needs a package: pip install prompt_toolkit; or use --sheet and --read-sheet.")
        review.review_in_terminal(review.Review(items, labels, name, known, folder, stage))  # type: ignore[arg-type]
    done = sum(labels.get(name, item) is not None for item in items)
    print(f"{done} of {len(items)} texts labelled by {name}")


def rules(path: Path, file: Path | None, *, partly: bool) -> None:
    from training.curation.rules.rules import Rules, judge, write_verdict

    chosen = Rules.load(file)
    folder = CurationFolder(path)
    with folder.at_work():
        verdict = judge(folder, chosen, partly=partly)
        write_verdict(folder, chosen, verdict)
    print(f"{len(verdict.kept)} kept, {len(verdict.dropped)} dropped")
    for rule in chosen.rule:
        if hits := verdict.hits[rule.name]:
            print(f"{len(hits):6d}  {rule.action}  {rule.name}")
    for stage in ("similar", "people", "repair", "generate"):
        if count := sum(record["stage"] == stage for record in verdict.dropped):
            print(f"{count:6d}  drop  ({stage})")


def export(path: Path, to: Path, *, overwrite: bool) -> None:
    from training.curation.report.export import export as run

    folder = CurationFolder(path)
    with folder.at_work("export"):
        events = run(folder, to, overwrite=overwrite, max_pixels=get_settings().max_pixels)
        tally = show(events, "writing", keep=path / PROGRESS)
    print(f"{tally.done} pairs written to {printable(to)}")


def report(path: Path, to: Path | None) -> None:
    from training.curation.report.figures import count
    from training.curation.report.report import write_report

    folder = CurationFolder(path)
    file, missing = write_report(folder, count(folder), to or folder.path / "report")
    if missing:
        print(f"inquisight: {missing}", file=sys.stderr)
    print(printable(file, limit=None))


def status(path: Path, *, json: bool) -> None:
    from training.curation.report.figures import count
    from training.curation.report.status import as_record, lines

    found = count(CurationFolder(path))
    if json:
        print(json_module.dumps(as_record(found), ensure_ascii=False))
        return
    for line in lines(found):
        print(printable(line, limit=None))


def paraphrase(instruction: str, n: int, questioner: str | None, seed: int, to: Path | None) -> None:
    from training.curation.journal import write_whole
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
        print(f"inquisight: not taken, {why}: {printable(line)}", file=sys.stderr)
    if questioner and found.by_rules:
        print(f"inquisight: {found.by_rules} of {len(found.kept)} by rules, the model had too few", file=sys.stderr)
    if len(found.kept) < n:
        print(f"inquisight: only {len(found.kept)} of {n} wordings were found", file=sys.stderr)
    if to is not None:
        write_whole(to, as_toml(" ".join(instruction.split()), found, questioner or "rules"))


def _set_aside(folder: CurationFolder, step: Step) -> None:
    if (where := folder.set_aside(step)) is not None:
        print(f"inquisight: what was there is kept in {printable(where)}", file=sys.stderr)
