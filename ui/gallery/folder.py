"""The pictures of one folder with their captions: listed once, filtered and sorted in memory, shared by its visitors.

A picture is known by its number, which stays the same as long as the server runs, and by its key, which is its path
relative to the folder with "/" between the parts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from core.datasets.folders import pictures_below
from core.datasets.left_out import LeftOut
from core.errors import UsageError, printable
from ui.gallery.captions import Captions
from ui.gallery.facts import Facts, PictureFacts

Show = Literal["all", "none", "captioned", "unsure", "edited", "failed", "missed"]
SHOWN: Final[dict[Show, str]] = {
    "all": "All pictures",
    "none": "No caption",
    "captioned": "With a caption",
    "unsure": "Unsure answers",
    "edited": "Edited",
    "failed": "Failed the check",
    "missed": "Could not be captioned",
}
Order = Literal["name", "changed", "length", "caption"]
ORDERS: Final[dict[Order, str]] = {
    "name": "Name",
    "changed": "Picture changed",
    "length": "Length of the caption",
    "caption": "Caption",
}


@dataclass(frozen=True, slots=True)
class Query:
    """Which pictures are shown, and in which order."""

    show: Show = "all"
    text: str = ""
    """What the caption or the name contains, in any case."""
    without: bool = False
    """Whether the caption and the name must not contain it."""
    order: Order = "name"
    down: bool = False

    @classmethod
    def read(cls, values: Any) -> Query:
        """The query in a request. Raises UsageError."""
        show, order = values.get("show") or "all", values.get("order") or "name"
        if show not in SHOWN or order not in ORDERS:
            raise UsageError("there is no such filter or order")
        text = str(values.get("text") or "")[:400]
        flags = (str(values.get(name) or "") in ("1", "true", "True") for name in ("without", "down"))
        without, down = flags
        return cls(show, text, without, order, down)


@dataclass(slots=True)
class Entry:
    """One picture."""

    number: int
    key: str
    size: int  # bytes
    changed: int  # nanoseconds
    caption: str = ""
    gone: bool = False

    @property
    def stamp(self) -> str:
        """Changes with the file."""
        return f"{self.changed:x}-{self.size:x}"


@dataclass(slots=True)
class Listing:
    """The pictures that a query finds."""

    version: int
    numbers: list[int]
    total: int
    counts: dict[Show, int] = field(default_factory=dict)


class GalleryFolder:
    """The pictures of `root`, with what the gallery keeps about them in `data`. Raises UsageError."""

    def __init__(self, root: Path, data: Path) -> None:
        self.root = Path(os.path.abspath(root))
        self.data = data
        data.mkdir(parents=True, exist_ok=True)
        self.left_out = LeftOut()
        self.version = 0
        """Changes with everything that a page shows."""
        self.listed = 0
        """Changes with the pictures, and with results of runs."""
        self._lock = threading.RLock()
        self._entries: list[Entry] = []
        self._numbers: dict[str, int] = {}
        self.captions = Captions(self.root)
        self.facts = Facts(data / "facts.jsonl")
        self.scan()

    def __len__(self) -> int:
        return sum(not one.gone for one in self._entries)

    # --- the pictures ---------------------------------------------------------------------------------------------

    def scan(self) -> None:
        """Read the folder and the captions again; known pictures keep their number. Raises UsageError."""
        left_out = LeftOut()
        found: list[tuple[str, int, int]] = []
        for path in pictures_below(str(self.root), left_out):
            try:
                facts = os.stat(path)
            except OSError:
                continue  # a broken link, or it was deleted just now
            found.append((os.path.relpath(path, self.root).replace(os.sep, "/"), facts.st_size, facts.st_mtime_ns))
        found.sort(key=lambda one: one[0].split("/"))
        captions = self.captions.all([key for key, _, _ in found])
        with self._lock:
            self.left_out = left_out
            for entry in self._entries:
                entry.gone = True
            for key, size, changed in found:
                number = self._numbers.setdefault(key, len(self._entries))
                entry = Entry(number, key, size, changed, captions.get(key, ""))
                if number == len(self._entries):
                    self._entries.append(entry)
                else:
                    self._entries[number] = entry
            self._changed(listing=True)

    def entry(self, number: int) -> Entry:
        """The picture of that number. Raises UsageError."""
        if not 0 <= number < len(self._entries) or self._entries[number].gone:
            raise UsageError("the picture is not in the folder any more; reload the page")
        return self._entries[number]

    def number_of(self, key: str) -> int | None:
        """The number of a picture, None if it is not there."""
        number = self._numbers.get(key)
        return None if number is None or self._entries[number].gone else number

    def path(self, entry: Entry) -> Path:
        """Its file."""
        return self.root / entry.key

    def entries(self, numbers: Iterable[int]) -> list[Entry]:
        """The pictures of these numbers that are still there."""
        return [self._entries[one] for one in numbers if 0 <= one < len(self._entries) and not self._entries[one].gone]

    def find(self, query: Query) -> Listing:
        """The numbers of the pictures that are shown, in order, and how many each filter has."""
        with self._lock:
            there = [one for one in self._entries if not one.gone]
            tests = {name: self._test(name) for name in SHOWN}
            counts = {name: sum(map(test, there)) for name, test in tests.items()}
            found = list(filter(tests[query.show], there))
            if query.text:
                words = query.text.casefold()
                found = [
                    one
                    for one in found
                    if (words in one.caption.casefold() or words in one.key.casefold()) != query.without
                ]
            keys: dict[Order, Callable[[Entry], Any]] = {
                "name": lambda one: one.key.casefold().split("/"),
                "changed": lambda one: one.changed,
                "length": lambda one: len(one.caption),
                "caption": lambda one: one.caption.casefold(),
            }
            found.sort(key=keys["name"])
            if query.order != "name":
                found.sort(key=keys[query.order], reverse=query.down)
            elif query.down:
                found.reverse()
            return Listing(self.version, [one.number for one in found], len(there), counts)

    def _test(self, show: Show) -> Callable[[Entry], bool]:
        about = self.facts.get
        tests: dict[Show, Callable[[Entry], bool]] = {
            "all": lambda one: True,
            "none": lambda one: not one.caption.strip(),
            "captioned": lambda one: bool(one.caption.strip()),
            "unsure": lambda one: about(one.key).unsure > 0,
            "edited": lambda one: about(one.key).edited,
            "failed": lambda one: about(one.key).failed_check,
            "missed": lambda one: bool(about(one.key).error),
        }
        return tests[show]

    def facts_of(self, entry: Entry) -> PictureFacts:
        """What runs and people left about a picture."""
        return self.facts.get(entry.key)

    # --- captions -------------------------------------------------------------------------------------------------

    def set_caption(self, number: int, text: str, before: str | None) -> Entry:
        """Save a person's caption. Raises UsageError, also if it is not `before` any more that is replaced."""
        entry = self.entry(number)
        with self._lock:
            now = self.captions.get(entry.key)
            if before is not None and now.strip() != before.strip() and now.strip() != text.strip():
                entry.caption = now
                self._changed()
                raise ConflictError(now)
            if now != text:
                self.captions.set(entry.key, text)
                self.facts.edited([entry.key])
            entry.caption = text
            self._changed()
        return entry

    def reread(self, keys: Sequence[str]) -> None:
        """Take over captions that were changed in their files."""
        captions = self.captions.all(keys)
        with self._lock:
            for key in keys:
                if (number := self.number_of(key)) is not None:
                    self._entries[number].caption = captions.get(key, "")
            self._changed()

    def results_came(self) -> None:
        """Have the pages list the pictures again."""
        with self._lock:
            self._changed(listing=True)

    def _changed(self, *, listing: bool = False) -> None:
        self.version += 1
        self.listed += listing


class ConflictError(UsageError):
    """A caption was changed by somebody else meanwhile; `now` is what it is."""

    def __init__(self, now: str) -> None:
        super().__init__(f"this caption was changed elsewhere; it is now: {printable(now, 120) or '(empty)'}")
        self.now = now
