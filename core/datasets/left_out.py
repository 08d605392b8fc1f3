"""Count what a source of pictures holds and does not read, by reason, so that nothing is skipped silently.

left_out = LeftOut()
left_out.add(HEIC, "photos/f.heic")
str(left_out)          # "1 left out: 1 HEIC (photos/f.heic)"
left_out.as_json()     # {"count": 1, "reasons": {"HEIC": {"count": 1, "first": "photos/f.heic"}}}
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from core.errors import printable

_SHOWN: Final = 8  # reasons in one line


class Reason(NamedTuple):
    """Why something was not read, to follow a number."""

    one: str
    many: str
    is_fault: bool = False  # it should have been read, but could not be: the exit code is not 0

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


class LeftOut:
    """What was not read, by reason. `str` gives one line, empty if nothing was left out."""

    def __init__(self) -> None:
        self._counts: dict[Reason, tuple[int, str]] = {}  # (how many, the first one's name)

    def add(self, reason: Reason, name: object, count: int = 1) -> None:
        """Count something, with its name as an example."""
        before, first = self._counts.get(reason, (0, str(name)))
        if count:
            self._counts[reason] = (before + count, first)

    def update(self, other: LeftOut) -> None:
        """Add the counts of another record."""
        for reason, (count, first) in list(other._counts.items()):  # another thread may still be counting
            self.add(reason, first, count)

    def __len__(self) -> int:
        return sum(count for count, _ in self._counts.values())

    @property
    def faults(self) -> int:
        """How many should have been read and could not be."""
        return sum(count for reason, (count, _) in self._counts.items() if reason.is_fault)

    @property
    def reasons(self) -> str:
        """For example "2 HEIC (photos/f.heic), 1 broken link (photos/x)", most frequent first."""
        ordered = self._ordered()
        parts = [
            f"{count:,} {reason.one if count == 1 else reason.many} ({printable(first, 60)})"
            for reason, count, first in ordered[:_SHOWN]
        ]
        rest = sum(count for _, count, _ in ordered[_SHOWN:])
        return ", ".join([*parts, *([f"{rest:,} of other kinds"] if rest else [])])

    def __str__(self) -> str:
        return f"{len(self):,} left out: {self.reasons}" if self._counts else ""

    def as_json(self) -> dict[str, Any]:
        """Return the total, and the count and first name of each reason, for `--json`."""
        reasons = {
            reason.one: {"count": count, "first": printable(first, limit=None)}
            for reason, count, first in self._ordered()
        }
        return {"count": len(self), "reasons": reasons}

    def _ordered(self) -> list[tuple[Reason, int, str]]:
        found = ((reason, count, first) for reason, (count, first) in self._counts.items())
        return sorted(found, key=lambda one: (-one[1], one[0].one))
