"""What is known about captions beside their text: who wrote them, where the interview is, what was unsure or false."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from core.files.journal import SharedJournal


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """Facts about the caption of one picture."""

    run: str = ""
    """The run that captioned it last."""
    begin: int = -1
    """Where in that run's journal its record begins, in bytes."""
    unsure: int = 0
    """Uncertain answers, if the caption rests on little; else 0."""
    false: int = 0
    """Claims of the caption that were checked and are not supported."""
    unchecked: bool = False
    """Whether a check was asked for and could not be made."""
    edited: bool = False
    """Whether a person has changed the caption since."""
    error: str = ""
    """Why the last run could not caption it."""

    @property
    def failed_check(self) -> bool:
        """Whether the check of the caption found something, or is missing."""
        return self.false > 0 or self.unchecked


NOTHING: Final = PictureFacts()


class Facts:
    """The facts about the pictures of a folder, by key, in a journal that survives a kill."""

    def __init__(self, path: Path) -> None:
        self._journal = SharedJournal(path)
        self._lock = threading.Lock()
        self._known: dict[str, PictureFacts] = {}
        self._changes: dict[int, list[str]] = {}  # change -> the pictures that a person edited by it
        self._edits: dict[str, list[int]] = {}  # picture -> such changes since its last run
        self.taken: dict[str, int] = {}
        """Run -> the byte of its journal up to which results were taken over."""
        for record in self._journal.read():
            self._apply(record)

    def get(self, key: str) -> PictureFacts:
        """The facts about one picture."""
        return self._known.get(key, NOTHING)

    def all(self) -> list[PictureFacts]:
        """The facts about all pictures."""
        with self._lock:
            return list(self._known.values())

    def edited(self, keys: Sequence[str], change: int) -> None:
        """People have changed these captions, with that change of `core.captions`."""
        self.add({"kind": "edited", "keys": list(keys), "change": change})

    def undone(self, change: int) -> None:
        """That change was taken back."""
        if keys := [key for key in self._changes.get(change, []) if key in self._known]:
            self.add({"kind": "restored", "keys": keys, "change": change})

    def redone(self, change: int) -> None:
        """That change was made again."""
        if keys := self._changes.get(change):
            self.edited(keys, change)

    def add(self, *records: Mapping[str, Any]) -> None:
        """Save facts. Raises StoreError."""
        self._journal.append(*records)
        with self._lock:
            for record in records:
                self._apply(record)

    def _apply(self, record: Mapping[str, Any]) -> None:
        match record.get("kind"):
            case "edited":
                self._changes[record["change"]] = record["keys"]
                for key in record["keys"]:
                    self._edits.setdefault(key, []).append(record["change"])
                    self._known[key] = replace(self.get(key), edited=True)
            case "restored":
                for key in record["keys"]:
                    edits = self._edits[key] = [one for one in self._edits.get(key, []) if one != record["change"]]
                    self._known[key] = replace(self.get(key), edited=bool(edits))
            case "kept":
                self._known[record["key"]] = replace(self.get(record["key"]), edited=True)
            case "caption":
                names = ("run", "begin", "unsure", "false", "unchecked")
                self._known[record["key"]] = PictureFacts(**{name: record[name] for name in names})
                self._edits.pop(record["key"], None)
            case "missed":
                self._known[record["key"]] = replace(self.get(record["key"]), error=str(record["error"]))
            case "taken":
                self.taken[record["run"]] = record["end"]
