"""What every kind of data set offers the stream: parts that are read in order, and any sample of them again.

A part is a shard, a row group, or 64 rows of a table. Within a part, a cursor (a byte offset or a row) marks where a
sample begins. Part and cursor find a sample again, so a position is a few numbers and never a picture.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from core.datasets.folders import count_beside
from core.datasets.left_out import UNNAMED, LeftOut, Reason
from core.datasets.samples.sample import BrokenSample, DataError, Sample
from core.datasets.samples.spec import DataSpec, Kind
from core.errors import UsageError, printable, why

Load = Callable[[], Sample | BrokenSample]  # a sample, or what is wrong with it
Ref = tuple[int, int]  # part, cursor


class SamplePlace(NamedTuple):
    """A sample that was found and not yet read."""

    cursor: int  # where it begins in its part
    after: int  # where the next one begins
    key: str
    load: Load


class SampleSource(ABC):
    """One data set, opened. `parts` are numbered from 0."""

    kind: ClassVar[Kind]
    eager: ClassVar[bool] = False  # samples are read when they are found, as a shard is read from front to end
    unread: ClassVar[Reason] = UNNAMED  # why pictures of the folder are not read

    def __init__(self, spec: DataSpec) -> None:
        self.spec = spec
        self.name = spec.path
        self.folder: Path | None = None  # the folder that the user named, if it holds the data
        self.left_out = LeftOut()  # what the data hold and is not read; filled by the listing and by `survey`
        self.left_out_of_parts: dict[int, LeftOut] = {}  # what is found only by reading a part

    def survey(self) -> None:
        """Count the pictures of a folder that its shards or tables do not name."""
        if self.folder is not None:
            count_beside(self.folder, self.left_out, self.unread, self.named())

    @abstractmethod
    def named(self) -> Iterable[str | Path]:
        """Yield the files that belong to the data: shards, or the pictures that rows name."""

    @property
    @abstractmethod
    def parts(self) -> int:
        """How many parts there are."""

    @abstractmethod
    def read(self, part: int, cursor: int = 0) -> Iterator[SamplePlace]:
        """Yield the samples of a part from `cursor` on. An eager source's `load` works only until the next one."""

    @abstractmethod
    def identity(self) -> str:
        """Return a value that changes with the parts (names, sizes), so that a position is not used with other data."""

    @abstractmethod
    def count(self) -> int | None:
        """Return the number of samples, broken ones included; None if only reading everything would tell."""

    def at(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Load]]:
        """Yield samples that were found before. Each part is read once. Raises DataError if one is missing."""
        needed: dict[int, set[int]] = defaultdict(set)
        for part, cursor in refs:
            needed[part].add(cursor)
        for part, cursors in sorted(needed.items()):
            for place in self.read(part, min(cursors)):
                if place.cursor in cursors:
                    cursors.remove(place.cursor)
                    yield (part, place.cursor), self.loading(place)
                if not cursors:
                    break
            if cursors:
                raise self.changed()

    def loading(self, place: SamplePlace) -> Load:
        """Return how to read a sample at any later time."""
        if not self.eager:
            return place.load
        result = place.load()
        return lambda: result

    def changed(self) -> DataError:
        """Return the error for data that differ from those a position was saved with."""
        return DataError(f"{printable(self.name)} has changed since the position was saved; begin the run anew.")


def all_left_out(readers: Sequence[SampleSource]) -> LeftOut:
    """Return what one data set holds and is not read, as far as several readers of it have seen."""
    found = LeftOut()
    found.update(readers[0].left_out)
    parts = {part: one for reader in readers for part, one in list(reader.left_out_of_parts.items())}
    for _, one in sorted(parts.items()):
        found.update(one)
    return found


def attempt(read: Callable[..., Sample], *arguments: object) -> Sample | BrokenSample:
    """Return the sample that `read` returns, or the BrokenSample that it raises."""
    try:
        return read(*arguments)
    except BrokenSample as broken:
        return broken


def digest(items: Iterable[object]) -> str:
    """Return 16 hex digits of these, in this order."""
    hasher = hashlib.sha256()
    for item in items:
        hasher.update(f"{item!r}\n".encode(errors="surrogatepass"))
    return hasher.hexdigest()[:16]


def file_size(path: Path) -> int:
    """Return the size in bytes. Raises UsageError, one line, if it is not a file that can be read."""
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise UsageError(f"{printable(path)} {what}; check the path.")
        with path.open("rb"):
            return path.stat().st_size
    except OSError as error:
        raise UsageError(f"{printable(path)} cannot be read: {why(error)}.") from None
