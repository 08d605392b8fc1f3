"""Runs over the pictures of a folder: the batch engine with its journal, in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.records import Caption

if TYPE_CHECKING:
    from ui.gallery.facts import PictureFacts
    from ui.gallery.folder import GalleryFolder

JOURNAL: Final = Path("captions.jsonl.work") / "journal.jsonl"


def run_folder(folder: GalleryFolder, run: str) -> Path:
    """Where a run keeps its files."""
    return folder.data / "runs" / run


def record_of(folder: GalleryFolder, facts: PictureFacts) -> Caption | None:
    """The interview that a run held about a picture; None if there is none, or its journal was deleted."""
    if not facts.run or facts.begin < 0:
        return None
    try:
        with (run_folder(folder, facts.run) / JOURNAL).open("rb") as file:
            file.seek(facts.begin)
            record = json.loads(file.readline())
        return Caption.model_validate(record["caption"])
    except (OSError, ValueError, KeyError):
        return None
