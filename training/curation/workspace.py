"""Interactive access to curations: find them, review a sample, compare reviewers, try rules."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from core.files.journal import read_json
from training.curation.folder import FILES, PROCESS, CurationFolder
from training.curation.report.figures import items_of
from training.curation.review.labels import (
    SAMPLE,
    Agreement,
    Kinds,
    Label,
    LabelItem,
    Labels,
    Stage,
    agreement,
    check_reviewer,
    draw_sample,
)
from training.curation.review.review import Review
from training.curation.rules.rules import Rules, Verdict, judge, write_verdict
from training.curation.steps.generate import known_pictures
from training.runs.discovery import find


def find_curations(root: Path) -> list[Path]:
    """Folders of curations at or below `root`, newest first. Raises UsageError if `root` is not a folder.

    One that was only just begun, and has no settings yet, is included.
    """
    return find(root, lambda folder: (folder / PROCESS).is_file() or _is_begun(folder))


def _is_begun(folder: Path) -> bool:
    return (folder / "pictures.jsonl").is_file() and (folder / "generate.json").is_file()


Stamp = tuple[tuple[int, int], ...]


def stamp(folder: CurationFolder) -> Stamp:
    """A value that changes with any file of the curation."""
    return _stamp(folder, sorted({name for names in FILES.values() for name in names}))


def stamp_of_texts(folder: CurationFolder) -> Stamp:
    """A value that changes with any text or sample, but not with labels."""
    return _stamp(folder, ("generated.jsonl", "repaired.jsonl", "verified.jsonl", *SAMPLE.values()))


def _stamp(folder: CurationFolder, names: Sequence[str]) -> Stamp:
    found = []
    for name in names:
        try:
            facts = (folder.path / name).stat()
            found.append((facts.st_mtime_ns, facts.st_size))
        except OSError:
            found.append((0, 0))
    return tuple(found)


def is_drawn(folder: CurationFolder, stage: Stage) -> bool:
    """Whether the sample of that stage is drawn."""
    return read_json(folder.path / SAMPLE[stage]) is not None


def open_review(
    folder: CurationFolder,
    reviewer: str,
    *,
    stage: Stage = "repair",
    size: int | None = None,
    seed: int | None = None,
    partly: bool = False,
    kinds: Kinds | None = None,
) -> Review:
    """The review of a sample by one person; the sample is drawn now if there is none yet. Raises UsageError."""
    name = check_reviewer(reviewer)
    with nullcontext() if is_drawn(folder, stage) else folder.at_work():
        items = draw_sample(folder, stage=stage, size=size, seed=seed, partly=partly)
    return Review(items, Labels(folder), name, kinds or Kinds.load(), folder, stage)


@dataclass(frozen=True, slots=True)
class Difference:
    """A text that two people labelled differently."""

    item: LabelItem
    labels: dict[str, Label]  # by reviewer


def compare(folder: CurationFolder, stage: Stage, kinds: Sequence[str]) -> tuple[list[Agreement], list[Difference]]:
    """The agreement of the reviewers of a sample, and the texts they disagree on, in the order of the sample."""
    paths = {entry.id: entry.path for entry in known_pictures(folder)}
    items = [LabelItem(one.id, paths.get(one.id, ""), one.text) for one in items_of(folder, stage)]
    by = Labels(folder).of(items)
    differences = []
    for item in items:
        given = {reviewer: labels[item.id] for reviewer, labels in sorted(by.items()) if item.id in labels}
        if len({frozenset(label.kinds) for label in given.values()}) > 1:
            differences.append(Difference(item, given))
    return agreement(by, kinds), differences


def try_rules(folder: CurationFolder, rules: Rules) -> Verdict:
    """The outcome of the rules for the current texts; nothing is written."""
    return judge(folder, rules, partly=True)


def apply_rules(folder: CurationFolder, rules: Rules, *, partly: bool = False) -> Verdict:
    """Apply the rules and write the outcome. Raises UsageError if texts are not repaired, unless `partly`."""
    with folder.at_work():
        verdict = judge(folder, rules, partly=partly)
        write_verdict(folder, rules, verdict)
    return verdict
