"""The pictures of one folder with their captions: listed once, filtered and sorted in memory, shared by its visitors.

A picture is known by its number, which stays the same as long as the server runs, and by its key, which is its path
relative to the folder with "/" between the parts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from core.captions.edits import Edit
from core.captions.folder import CaptionFolder
from core.captions.forms import CaptionError
from core.captions.records import CaptionChange, CaptionQuery, CaptionVersion, Preview
from core.datasets.left_out import LeftOut
from core.errors import UsageError, printable
from ui.gallery.captions import RUN
from ui.gallery.entries import SHOWN, Entry, Listing, Order, Query, Show
from ui.gallery.facts import Facts, PictureFacts
from ui.gallery.runs.collect import FolderRuns


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
        self.captions = CaptionFolder(self.root)
        self.facts = Facts(data / "facts.jsonl")
        self.scan()
        self.runs = FolderRuns(self)

    def __len__(self) -> int:
        return sum(not one.gone for one in self._entries)

    # --- the pictures ---------------------------------------------------------------------------------------------

    def scan(self) -> None:
        """Read the folder and the captions again; known pictures keep their number. Raises InquisightError."""
        self.left_out = self.captions.refresh().left_out
        found: list[tuple[str, os.stat_result, str | None, str]] = []
        for one in self.captions.each():
            with suppress(OSError):  # a broken link, or it was deleted just now
                found.append((one.path, os.stat(self.root / one.path), one.text, one.problem))
        found.sort(key=lambda one: one[0].split("/"))
        with self._lock:
            for entry in self._entries:
                entry.gone = True
            for key, facts, text, problem in found:
                number = self._numbers.setdefault(key, len(self._entries))
                entry = Entry(number, key, facts.st_size, facts.st_mtime_ns, text, problem)
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
        """Save a person's caption. Raises ConflictError if it is not `before` any more that is replaced."""
        entry, new = self.entry(number), text.strip() or None
        with self._lock:
            if before is not None and entry.caption.strip() not in (before.strip(), text.strip()):
                raise ConflictError(entry.caption)
            try:
                change = self.captions.set(entry.key, new, was=entry.text)
            except CaptionError:
                self._look_again([entry.key])
                if entry.text != new:
                    raise ConflictError(entry.caption) from None
                return entry
            if change.captions:
                self._reread([entry.key])
                self.facts.edited([entry.key], change.id)
            self._changed()
        return entry

    def preview(self, edit: Edit, entries: Sequence[Entry]) -> Preview:
        """What an edit would do to the captions of these pictures. Raises UsageError."""
        return self.captions.preview(edit, CaptionQuery(paths=frozenset(one.key for one in entries)), limit=20)

    def apply(self, edit: Edit, entries: Sequence[Entry]) -> CaptionChange:
        """Change the captions of these pictures, as one change. Raises UsageError."""
        change = self.captions.apply(edit, CaptionQuery(paths=frozenset(one.key for one in entries)))
        with self._lock:
            self._reread([one.key for one in entries])
            self._changed()
        return change

    def undo(self) -> CaptionChange:
        """Take back the last change that a person made here. Raises UsageError if there is none."""
        for change in self._changes():
            if change.kind == "edit" and not change.undone and not change.label.startswith(RUN):
                break
        else:
            raise UsageError("there is nothing to undo")
        done = self.captions.undo(change.id)
        self.facts.undone(change.id)
        return self._stepped(done, "undo")

    def redo(self) -> CaptionChange:
        """Make the change again that was undone last. Raises UsageError if there is none."""
        done = self.captions.redo()
        if done is not None and done.undoes is not None:
            self.facts.redone(done.undoes)
        return self._stepped(done, "redo")

    def _stepped(self, done: CaptionChange | None, kind: str) -> CaptionChange:
        with self._lock:
            self._reread(None)
            self._changed()
        if done is None:
            raise UsageError(f"there is nothing to {kind}")
        return done

    def versions(self, entry: Entry) -> list[CaptionVersion]:
        """All versions of its caption, newest first."""
        return self.captions.versions(entry.key)

    def restore(self, number: int, version: int) -> Entry:
        """Set a caption to an earlier version; 0: the text before the first one. Raises UsageError."""
        entry = self.entry(number)
        with self._lock:
            change = self.captions.restore(entry.key, version)
            self._reread([entry.key])
            if change.captions:
                self.facts.edited([entry.key], change.id)
            self._changed()
        return entry

    def _changes(self) -> Iterator[CaptionChange]:
        for offset in count(step=100):
            some = self.captions.changes(100, offset)
            yield from some
            if len(some) < 100:
                return

    def take_captions(self, texts: Mapping[str, str], before: Mapping[str, str], run: str) -> set[str]:
        """Save what a run wrote; the pictures whose captions people changed meanwhile keep them, and are returned."""
        with self._lock:
            there = {key: self._entries[number] for key in texts if (number := self.number_of(key)) is not None}
            known = {key: (texts[key].strip(), before.get(key, "").strip()) for key in there}
            kept = {key for key, one in there.items() if one.caption.strip() not in known[key]}
            new = {key: texts[key] or None for key, one in there.items() if key not in kept and one.text != texts[key]}
            try:
                self._take(new, there, run)
            except CaptionError:  # another program has changed one of them
                for key, text in new.items():
                    try:
                        self._take({key: text}, there, run)
                    except CaptionError:
                        self._look_again([key])
                        if there[key].text != text:
                            kept.add(key)
            self._reread(list(new))
        return kept

    def _take(self, new: Mapping[str, str | None], there: Mapping[str, Entry], run: str) -> None:
        if new:
            self.captions.set_many(new, was={key: there[key].text for key in new}, label=f"{RUN}{run}")

    def _look_again(self, keys: Sequence[str]) -> None:
        """Read captions again that another program has changed. The next look at the folder finds other changes."""
        self.captions.refresh()
        self._reread(keys)
        self._changed()

    def _reread(self, keys: Sequence[str] | None) -> None:
        """Take over captions from the index; None: all."""
        query = CaptionQuery(paths=None if keys is None else frozenset(keys))
        for one in self.captions.each(query) if keys is None or keys else ():
            if (number := self.number_of(one.path)) is not None:
                self._entries[number].text, self._entries[number].problem = one.text, one.problem

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
