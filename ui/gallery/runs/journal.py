"""Read the journal of a batch while another process writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agents.audit.rewrite import false_claims
from core.records import Caption
from ui.gallery.runs.request import OUTPUT

if TYPE_CHECKING:
    from ui.gallery.facts import PictureFacts

JOURNAL: Final = Path(f"{OUTPUT}.work") / "journal.jsonl"
MOST: Final = 4_000_000  # bytes that are read at a time


def new_records(run: Path, begin: int) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(first byte, byte after it, record) of the complete lines from byte `begin` on."""
    try:
        with (run / JOURNAL).open("rb") as file:
            file.seek(begin)
            data = file.read(MOST)
            while data and b"\n" not in data and (more := file.read(MOST)):
                data += more
    except FileNotFoundError:
        return
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return  # it is being written
        try:
            record = json.loads(line)
        except ValueError:
            return  # the rest of a line that a kill cut off; the batch removes it
        yield begin, begin + len(line), record
        begin += len(line)


def caption_at(run: Path, begin: int) -> Caption | None:
    """The caption of the record at a byte; None if there is none."""
    try:
        with (run / JOURNAL).open("rb") as file:
            file.seek(begin)
            return Caption.model_validate(json.loads(file.readline())["caption"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def facts_of(caption: Caption) -> dict[str, Any]:
    """What the grid marks, for `ui.gallery.facts`."""
    return {
        "unsure": max(1, sum(turn.certainty == "unsure" for turn in caption.dialogue.turns)) if caption.unsure else 0,
        "false": len(false_claims(caption.claims)),
        "unchecked": bool(caption.unaudited),
    }


def record_of(runs: Path, facts: PictureFacts) -> Caption | None:
    """The interview that a run held about a picture; None if there is none, or its journal was deleted."""
    return caption_at(runs / facts.run, facts.begin) if facts.run and facts.begin >= 0 else None
