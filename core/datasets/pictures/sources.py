"""Sources of pictures: each lists what it holds without reading pictures, and opens any of them later."""

from __future__ import annotations

import glob
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, NamedTuple

from core.datasets.folders import (
    NO_PICTURE,
    judged,
    pictures_below,
)
from core.datasets.left_out import PICTURE, SUBFOLDER, LeftOut
from core.datasets.text_lines import names_in
from core.errors import ImageError, UsageError, printable
from core.files.paths import located
from core.images.file_type import SUPPORTED

BY_PATH: Final = -1  # as the part of an item: its key is the path of a file


Found = tuple[str, int, int]  # key, part, cursor, as in Item


class PictureSource(ABC):
    """One of the things a user named. Holds no open file, so that it can be sent to another process."""

    sorted: ClassVar[bool] = True  # `scan` gives the pictures in the order they are to have
    has_columns: ClassVar[bool] = False  # it is a table

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[str] = []  # what a person should know, one line each; filled by `scan`
        self.left_out = LeftOut()  # what it holds and does not give; filled by `scan`

    @abstractmethod
    def scan(self) -> Iterator[Found]:
        """Every picture. Raises UsageError or ImageError where the source itself cannot be read."""

    def read(self, item: Item) -> bytes | str:
        """The bytes of a picture that does not lie in a file of its own, or the path it was given by."""
        raise NotImplementedError

    def name_of(self, part: int, cursor: int) -> str:
        """The whole name of a picture, where another one has its key already. Raises ImageError."""
        return f"{self.name}#{part}.{cursor}"

    def get(self, item: Item) -> bytes | str:
        """The bytes of a picture, or the path of its file. Raises ImageError."""
        return item.key if item.part == BY_PATH else self.read(item)

    def count_beside(self, files: Sequence[str]) -> None:
        """Count what a folder of shards or tables holds beside them."""
        if os.path.isdir(self.name):
            for path in pictures_below(self.name, self.left_out, known={os.path.abspath(file) for file in files}):
                self.left_out.add(PICTURE, path)


class FileSource(PictureSource):
    """Paths, one by one: what `name` stands for is found by a subclass."""

    @abstractmethod
    def paths(self) -> Iterator[str]:
        """The files."""

    def scan(self) -> Iterator[Found]:
        for path in self.paths():
            yield path, BY_PATH, 0


class OneFile(FileSource):
    """A picture that was named. Whether it is one shows when it is opened."""

    def paths(self) -> Iterator[str]:
        yield self.name


class FolderSource(FileSource):
    """All pictures below a folder, hidden ones left out."""

    sorted: ClassVar[bool] = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.own: frozenset[str] = frozenset()  # absolute paths of shards that this batch writes there

    def paths(self) -> Iterator[str]:
        return pictures_below(self.name, self.left_out, known=self.own)


class Pattern(FileSource):
    """A pattern as shells know it; ** stands for any folders."""

    sorted: ClassVar[bool] = False

    def paths(self) -> Iterator[str]:
        found = False
        for path in glob.iglob(os.path.expanduser(self.name), recursive=True):
            if os.path.isdir(path):
                if "**" not in self.name:
                    self.left_out.add(SUBFOLDER, path)
                continue
            reason = judged(path)
            if reason is None:
                found = True
                yield path
            elif reason is not NO_PICTURE:
                self.left_out.add(reason, path)
        if not found:
            also = f" ({self.left_out})" if self.left_out else ""
            raise ImageError(f"no picture fits '{printable(self.name)}'{also}; looked for {SUPPORTED}, .tar.")


class PathList(FileSource):
    """One path per line, relative to the list's own folder; `-` reads standard input, relative to here."""

    def paths(self) -> Iterator[str]:
        if self.name == "-":
            if sys.stdin is None or sys.stdin.isatty():
                raise UsageError("'-' reads a list of pictures from standard input, but nothing is piped into it")
            for name in names_in(sys.stdin.buffer, "standard input"):
                yield located("", name)
            return
        folder = os.path.dirname(self.name)
        try:
            with open(self.name, "rb") as file:
                for name in names_in(file, self.name):
                    yield located(folder, name)
        except OSError as error:
            raise unreadable(self.name, error) from None


def unreadable(name: str, error: OSError) -> UsageError:
    """A list, a table or a folder that cannot be read."""
    return UsageError(f"'{printable(name)}' cannot be read: {(error.strerror or 'unknown error').lower()}")


class Item(NamedTuple):
    """A picture that was named, and not yet read."""

    n: int  # its place in the input, from 0
    key: str  # unique in a batch: "photos/a.jpg", "shards/00000.tar/000000012", "table.parquet:17"
    source: int  # which of the inputs
    part: int  # of the source: a shard, a file
    cursor: int  # in the part: a byte, a row
