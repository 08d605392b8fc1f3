"""What every kind of data set offers the stream: parts that are read in order, and any sample of them again.

A part is a shard, a row group, or 64 rows of a table. Within a part a cursor (a byte offset or a row) says where a
sample begins. Part and cursor find a sample again, so a position is a few numbers and never a picture.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from core.datasets.left_out import LeftOut
from core.datasets.samples.sample import BrokenSample, DataError, Fault, Sample
from core.datasets.samples.spec import DataSpec, Kind
from core.errors import printable

Load = Callable[[], Sample]  # raises BrokenSample
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
    eager: ClassVar[bool] = False  # samples are read where they are found, as a shard is read from front to end

    def __init__(self, spec: DataSpec) -> None:
        self.spec = spec
        self.name = spec.path
        self.folder: Path | None = None  # where the user named one that holds the data
        self.left_out = LeftOut()  # what the data hold and is not read; filled by the listing and by `survey`
        self.left_out_of_parts: dict[int, LeftOut] = {}  # of what is found only by reading a part

    def survey(self) -> None:  # noqa: B027 - most have nothing beside them
        """Count what is found only by a search: pictures beside the shards or tables of a folder."""

    @property
    @abstractmethod
    def parts(self) -> int:
        """How many parts there are."""

    @abstractmethod
    def read(self, part: int, cursor: int = 0) -> Iterator[SamplePlace]:
        """The samples of a part from `cursor` on. For an eager source `load` works until the next one is asked for."""

    @abstractmethod
    def identity(self) -> str:
        """Changes when the parts change (names, sizes), so that a position is not used with other data."""

    @abstractmethod
    def count(self) -> int | None:
        """Samples, broken ones included; None where nobody knows without reading everything."""

    def at(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Load]]:
        """Samples that were found before, in any order. Raises DataError where they are no longer there."""
        for ref in sorted(set(refs)):
            reading = self.read(*ref)  # its file is open as long as it is known here
            place = next(reading, None)
            if place is None or place.cursor != ref[1]:
                raise self.changed()
            yield ref, loaded(place.load) if self.eager else place.load

    def changed(self) -> DataError:
        """The error for data that are not those a position was saved with."""
        return DataError(f"{printable(self.name)} has changed since the position was saved; begin the run anew.")


def all_left_out(readers: Sequence[SampleSource]) -> LeftOut:
    """What one data set holds and is not read, as far as several readers of it have seen."""
    found = LeftOut()
    found.update(readers[0].left_out)
    parts = {part: one for reader in readers for part, one in list(reader.left_out_of_parts.items())}
    for _, one in sorted(parts.items()):
        found.update(one)
    return found


def attempt(load: Load) -> Sample | BrokenSample:
    """The sample, or what is wrong with it."""
    try:
        return load()
    except BrokenSample as broken:
        return broken


def loaded(load: Load) -> Load:
    """The same with the reading done now; what is wrong is said when it is called."""
    result = attempt(load)
    if isinstance(result, BrokenSample):
        return broken(result.key, result.reason, result.fault)
    return lambda: result


def broken(key: str, reason: str, fault: Fault) -> Load:
    """What stands for a sample that cannot be read."""

    def load() -> Sample:
        raise BrokenSample(key, reason, fault)

    return load


def digest(items: Iterable[object]) -> str:
    """16 hex digits of these, in this order."""
    hasher = hashlib.sha256()
    for item in items:
        hasher.update(f"{item!r}\n".encode(errors="surrogatepass"))
    return hasher.hexdigest()[:16]


def file_size(path: Path) -> int:
    """Bytes. Raises DataError, one line, where it is not a file that can be read."""
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise DataError(f"{printable(path)} {what}; check the path.")
        with path.open("rb"):
            return path.stat().st_size
    except OSError as error:
        raise DataError(f"{printable(path)} cannot be read: {(error.strerror or 'unknown error').lower()}.") from None
