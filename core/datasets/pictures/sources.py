"""Sources of pictures: each lists what it holds without reading pictures, and opens any of them later."""

from __future__ import annotations

import glob
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Final, NamedTuple

from core.datasets.folders import NO_PICTURE, judged, pictures_below
from core.datasets.left_out import SUBFOLDER, LeftOut
from core.datasets.text_lines import names_in
from core.errors import ImageError, UsageError, printable, why
from core.files.paths import located
from core.images.decode import supported

BY_PATH: Final = -1  # as the part of an item: its key is the path of a file

Found = tuple[str, int, int]  # key, part, cursor, as in Item


class Item(NamedTuple):
    """A picture that was named, and not yet read."""

    n: int  # its position in the input, from 0
    key: str  # unique in a batch: "photos/a.jpg", "shards/00000.tar/000000012", "table.parquet:17"
    source: int  # which of the inputs
    part: int  # of the source: a shard, a file
    cursor: int  # in the part: a byte, a row


class PictureSource(ABC):
    """One of the inputs that a user named. Keeps no file open, so it can be sent to another process."""

    sorted: ClassVar[bool] = True  # whether `scan` yields the pictures in their final order
    has_columns: ClassVar[bool] = False  # whether it is a table

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[str] = []  # what the user should know, one line each; filled by `scan`
        self.left_out = LeftOut()  # what it holds and does not yield; filled by `scan`

    @abstractmethod
    def scan(self) -> Iterator[Found]:
        """Yield every picture. Raises UsageError or ImageError if the source itself cannot be read."""

    def texts(self, column: str) -> Iterator[tuple[str, str]]:
        """Yield the key of each picture with the text in `column`, of a table. Raises UsageError."""
        return iter(())

    def read(self, item: Item) -> bytes | str:
        """Return the bytes of a picture inside an archive or table, or the path given for it."""
        raise NotImplementedError

    def name_of(self, part: int, cursor: int) -> str:
        """Return the full name of a picture whose key is taken by another one. Raises ImageError."""
        return f"{self.name}#{part}.{cursor}"

    def get(self, item: Item) -> bytes | str:
        """Return the bytes of a picture, or the path of its file. Raises ImageError."""
        return item.key if item.part == BY_PATH else self.read(item)


class FileSource(PictureSource):
    """One named file, whatever it is: opening it reports whether it is a picture. Subclasses find several files."""

    def paths(self) -> Iterator[str]:
        """Yield the files."""
        yield self.name

    def scan(self) -> Iterator[Found]:
        for path in self.paths():
            yield path, BY_PATH, 0


class FolderSource(FileSource):
    """All pictures below a folder, except hidden ones."""

    sorted: ClassVar[bool] = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.own: frozenset[str] = frozenset()  # absolute paths of shards that this batch writes there

    def paths(self) -> Iterator[str]:
        return pictures_below(self.name, self.left_out, known=self.own)


class Pattern(FileSource):
    """A shell pattern; ** matches any folders."""

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
            raise ImageError(f"no picture fits '{printable(self.name)}'{also}; looked for {supported()}, .tar.")


class PathList(FileSource):
    """One path per line, relative to the list's folder; `-` reads standard input, relative to the current folder."""

    def paths(self) -> Iterator[str]:
        if self.name == "-":
            if sys.stdin is None or sys.stdin.isatty():
                raise UsageError("'-' reads a list of pictures from standard input, but nothing is piped into it")
            for name in names_in(sys.stdin.buffer, "standard input"):
                yield located("", name)
            return
        try:
            with open(self.name, "rb") as file:
                for name in names_in(file, self.name):
                    yield located(os.path.dirname(self.name), name)
        except OSError as error:
            raise unreadable(self.name, error) from None


def unreadable(name: str, error: OSError) -> UsageError:
    """Return the error for a list or shard that cannot be read."""
    return UsageError(f"'{printable(name)}' cannot be read: {why(error)}")
