"""The prompts of an interview about a video."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agents.interview.prompts import ASKING_KEYS, Keys, Prompts

DEFAULT_FILE: Final = Path(__file__).with_name("prompts.toml")
KEYS: Final[Keys] = {
    "questioner.brief": frozenset({"length", "count", "frames", "first"}),
    "questioner.hello": frozenset({"first", "last"}),
    "questioner.answered": frozenset({"answer", "first", "last", "unasked", "named", "way_out"}),
    "questioner.unasked": frozenset({"frames"}),
    **ASKING_KEYS,
    "questioner.no_frame": frozenset({"first", "last"}),
    "questioner.no_such_frame": frozenset({"frame", "first", "last"}),
    "answerer.opening": frozenset(),
    "answerer.short": frozenset({"question"}),
    "answerer.instructed": frozenset({"question"}),
    "witness.things": frozenset(),
    "witness.text": frozenset(),
    "summary.brief": frozenset(),
    "summary.request": frozenset({"length", "notes", "language"}),
    "summary.whole": frozenset({"length", "notes", "language"}),
    "summary.no_frames": frozenset(),
    "summary.language": frozenset({"name"}),
    "summary.nothing_certain": frozenset(),
}


def load_prompts(path: str | Path | None = None) -> Prompts:
    """Read `path`, or the built-in file. Raises UsageError: one line with file, key and way out."""
    return Prompts.load(path, keys=KEYS, default=DEFAULT_FILE, shown_by="inquisight video --print-prompts")
