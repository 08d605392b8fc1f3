"""Counts what a source of pictures holds and does not read, by reason, so that nothing goes missing in silence.

left_out = LeftOut()
left_out.add(HEIC, "photos/f.heic")
str(left_out)          # "1 left out: 1 HEIC (photos/f.heic)"
left_out.as_json()     # {"count": 1, "reasons": {"HEIC": {"count": 1, "first": "photos/f.heic"}}}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from core.errors import printable

_SHOWN: Final = 8  # reasons in one line


class Reason(NamedTuple):
    """Why something was not read. Reads well after a number."""

    one: str
    many: str
    is_fault: bool = False  # something that should have been read could not be: the exit code is not 0

    @classmethod
    def of_kind(cls, name: str) -> Reason:
        """A format without a decoder; its name has no plural: "2 HEIC"."""
        return cls(name, name)


BROKEN_LINK: Final = Reason("broken link", "broken links")
LINKED_FOLDER: Final = Reason("link to a folder", "links to folders")
SUBFOLDER: Final = Reason("folder", "folders")
SPECIAL: Final = Reason("file that is not a regular one", "files that are not regular ones")
UNREADABLE_FILE: Final = Reason("file that cannot be read", "files that cannot be read", is_fault=True)
UNREADABLE_FOLDER: Final = Reason("folder that cannot be read", "folders that cannot be read", is_fault=True)
PICTURE: Final = Reason("picture", "pictures")
REPEATED: Final = Reason("named more than once", "named more than once")
UNNAMED: Final = Reason("picture that the table does not name", "pictures that the table does not name")
UNSHARDED: Final = Reason("picture outside the shards", "pictures outside the shards")
LINKED_MEMBER: Final = Reason("link inside a shard", "links inside shards")
SPARSE_MEMBER: Final = Reason("sparse file inside a shard", "sparse files inside shards")
EXTRA_PICTURE: Final = Reason("further picture of a sample", "further pictures of samples")


@dataclass(slots=True)
class _Count:
    count: int
    first: str


class LeftOut:
    """What was not read. `str` gives one line, empty where nothing was left out."""

    def __init__(self) -> None:
        self._counts: dict[Reason, _Count] = {}

    def add(self, reason: Reason, name: object, count: int = 1) -> None:
        """Count something, with its name as an example."""
        if known := self._counts.get(reason):
            known.count += count
        elif count:
            self._counts[reason] = _Count(count, str(name))

    def update(self, other: LeftOut) -> None:
        """Add what another record counted."""
        for reason, found in list(other._counts.items()):  # a reader may still be counting in another thread
            self.add(reason, found.first, found.count)

    def __len__(self) -> int:
        return sum(found.count for found in self._counts.values())

    @property
    def faults(self) -> int:
        """How many should have been read and could not be."""
        return sum(found.count for reason, found in self._counts.items() if reason.is_fault)

    @property
    def examples(self) -> tuple[str, ...]:
        """The first of each reason, safe to print."""
        return tuple(f"{reason.one}: {printable(found.first, 120)}" for reason, found in self._ordered())

    @property
    def reasons(self) -> str:
        """ "2 HEIC (photos/f.heic), 1 broken link (photos/x)", most first."""
        ordered = self._ordered()
        parts = [
            f"{found.count:,} {reason.one if found.count == 1 else reason.many} ({printable(found.first, 60)})"
            for reason, found in ordered[:_SHOWN]
        ]
        rest = sum(found.count for _, found in ordered[_SHOWN:])
        return ", ".join([*parts, *([f"{rest:,} of other kinds"] if rest else [])])

    def __str__(self) -> str:
        return f"{len(self):,} left out: {self.reasons}" if self._counts else ""

    def as_json(self) -> dict[str, Any]:
        """For `--json`: the number, and for each reason how many and the first one's name."""
        reasons = {
            reason.one: {"count": found.count, "first": printable(found.first, limit=None)}
            for reason, found in self._ordered()
        }
        return {"count": len(self), "reasons": reasons}

    def _ordered(self) -> list[tuple[Reason, _Count]]:
        return sorted(self._counts.items(), key=lambda item: (-item[1].count, item[0].one))
