"""Curate the output of stage 1 with `inquisight curate`; the known truth provides the labels.

The scenes are composed, so what a person would have to look at is known: of the sample that `curate verify` draws,
every text is held against its picture and labelled by the kinds of error in `kinds.toml`. The repairer is `rules`,
which needs no language model; with one it would be `--repairer openai:gpt-4o-mini`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.pocket_small.truth import KINDS, judge
from core.datasets.text_lines import split_lines
from core.files.journal import Record, SharedJournal, read_json, write_lines

HERE: Final = Path(__file__).parent
REVIEWER: Final = "truth"
Inquisight = Callable[..., None]  # runs a command
KindsOf = Callable[[str, dict[str, Any]], list[str]]


def curate(
    inquisight: Inquisight,
    spec: str,
    pictures: Path,
    rows: list[Record],
    work: Path,
    to: Path,
    *,
    sample: int,
    kinds_of: KindsOf | None = None,
) -> None:
    """Describe `pictures` with the vision model `spec`, repair, check, drop, and write the pairs to `to`; resumable.

    `kinds_of` finds the kinds of error in a text; the default reads pocket's wording.
    """
    if (read_json(to / "export.json") or {}).get("pairs"):
        return
    kinds, rules, sheet = HERE / "kinds.toml", HERE / "rules.toml", work.with_name("sheet.jsonl")
    # pocket's whole descriptions have some 15 to 70 tokens where the paper's model had 80 and more
    room = ("--min-tokens", "15", "--max-new-tokens", "120", "--batch", "25")
    inquisight("curate", "generate", work, pictures, "--vision", spec, "--anyway", *room)
    inquisight("curate", "repair", work, "--repairer", "rules")
    verify = ("curate", "verify", work, "--reviewer", REVIEWER, "--kinds", kinds)
    sheet.unlink(missing_ok=True)
    inquisight(*verify, "--sample", sample, "--sheet", sheet)
    label(sheet, {Path(row["file"]).stem: row["truth"] for row in rows}, kinds_of or _kinds_of)
    inquisight(*verify, "--read-sheet", sheet)
    inquisight("curate", "rules", work, "--rules", rules)
    inquisight("curate", "export", work, "--to", to, "--overwrite")
    inquisight("curate", "report", work)


def _kinds_of(text: str, facts: dict[str, Any]) -> list[str]:
    return judge(text, facts).kinds(text)


def label(sheet: Path, truths: dict[str, dict[str, Any]], kinds_of: KindsOf = _kinds_of) -> None:
    """Fill in a sheet of `inquisight curate verify`."""
    lines = [json.loads(line) for line in split_lines(sheet.read_text("utf-8"))]
    for line in lines:
        line["kinds"] = kinds_of(line["text"], truths[line["id"]])
    write_lines(sheet, lines)


def figures(work: Path) -> dict[str, Any]:
    """What became of the texts."""
    labels = [record["kinds"] for record in SharedJournal(work / "labels.jsonl").read()]
    dropped = Counter(record["stage"] for record in SharedJournal(work / "dropped.jsonl").read())
    outcome = read_json(work / "rules.json") or {}
    return {
        "described": len(SharedJournal(work / "generated.jsonl").read()),
        "checked": len(labels),
        "without an error": sum(not kinds for kinds in labels),
        "labels": {kind: sum(kind in kinds for kinds in labels) for kind in KINDS},
        "rules": {rule["name"]: rule["hits"] for rule in outcome.get("rules", ()) if rule["hits"]},
        "dropped": {
            stage: dropped[stage] for stage in ("generate", "repair", "rules", "people", "similar") if dropped[stage]
        },
        "kept": outcome.get("kept", 0),
    }
