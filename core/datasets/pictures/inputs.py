"""What a batch reads: folders, patterns, lists, tables and shards of pictures, told apart by their names.

A source first says which pictures it holds, without reading them, and hands out any of them later.
"""

from __future__ import annotations

import glob
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from core.datasets.folders import (
    NO_PICTURE,
    files_below,
    judged,
    no_pictures,
    pictures_below,
)
from core.datasets.left_out import PICTURE, SUBFOLDER, LeftOut
from core.datasets.pictures.listing import Item
from core.datasets.text_lines import names_in
from core.errors import ImageError, UsageError, printable
from core.files.paths import located
from core.images.file_type import SUPPORTED
from core.images.picture import MAX_BYTES, Picture, open_picture

LISTS: Final = (".txt", ".lst")
TEXT_TABLES: Final = (".csv", ".tsv", ".jsonl", ".ndjson")
PARQUET: Final = ".parquet"
SHARD: Final = ".tar"
PACKED: Final = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip")
BY_PATH: Final = -1  # as the part of an item: its key is the path of a file
Found = tuple[str, int, int]  # key, part, cursor, as in Item

_WAYS: Final = (
    "a folder, a pattern such as 'photos/**/*.jpg', a list (.txt), a table (.csv, .tsv, .jsonl, .parquet) "
    "or shards (.tar)"
)


class Source(ABC):
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


class Files(Source):
    """Paths, one by one: what `name` stands for is found by a subclass."""

    @abstractmethod
    def paths(self) -> Iterator[str]:
        """The files."""

    def scan(self) -> Iterator[Found]:
        for path in self.paths():
            yield path, BY_PATH, 0


class OneFile(Files):
    """A picture that was named. Whether it is one shows when it is opened."""

    def paths(self) -> Iterator[str]:
        yield self.name


class Folder(Files):
    """All pictures below a folder, hidden ones left out."""

    sorted: ClassVar[bool] = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.own: frozenset[str] = frozenset()  # absolute paths of shards that this batch writes there

    def paths(self) -> Iterator[str]:
        return pictures_below(self.name, self.left_out, known=self.own)


class Pattern(Files):
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


class PathList(Files):
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


def find_sources(named: Sequence[str], column: str | None = None) -> list[Source]:
    """What the arguments of the command stand for. Raises UsageError or ImageError, one line."""
    if not named:
        raise UsageError(f"name what holds the pictures: {_WAYS} (see --help)")
    names = [os.path.normpath(name) if name != "-" and os.path.exists(name) else name for name in named]
    sources = [_source(name, column) for name in dict.fromkeys(names)]
    if column is not None and not any(source.has_columns for source in sources):
        raise UsageError(f"--column '{printable(column, 40)}' names a column, and no table is among the inputs")
    return sources


def _source(name: str, column: str | None) -> Source:
    from core.datasets.pictures.tables import ParquetTable, RowTable
    from core.datasets.pictures.tars import Shards, braces

    quoted = f"'{printable(name)}'"
    if name == "-":
        return PathList(name)
    if os.path.isdir(name):
        return _folder(name, column)
    suffix = os.path.splitext(name)[1].lower()
    if name.lower().startswith(("http://", "https://", "s3://", "pipe:")):
        raise UsageError(f"{quoted} is an address; download it, with img2dataset for instance, and name the folder")
    if not os.path.exists(name):
        if "{" in name:
            if suffix != SHARD:
                raise UsageError(f"{quoted}: braces are for shards (.tar); write a pattern such as 'photos/**/*.jpg'")
            return Shards(name, braces(name))
        if glob.has_magic(name):
            shards = sorted(glob.iglob(os.path.expanduser(name), recursive=True)) if suffix == SHARD else []
            return Shards(name, shards) if shards else Pattern(name)
        raise UsageError(f"{quoted} does not exist; name {_WAYS}")
    if suffix in PACKED:
        raise UsageError(f"{quoted} is packed; unpack it first (shards have to be plain .tar)")
    if suffix in TEXT_TABLES:
        return RowTable(name, column)
    if suffix == PARQUET:
        return ParquetTable(name, [name], column)
    if suffix == SHARD:
        return Shards(name, [name])
    if suffix in LISTS:
        return PathList(name)
    if suffix == ".json":
        raise UsageError(f"{quoted}: write the table as JSON Lines (.jsonl), one object per line")
    return OneFile(name)


def _folder(name: str, column: str | None) -> Source:
    """Pictures where there are any, else the shards or tables in it."""
    from core.datasets.pictures.tables import ParquetTable
    from core.datasets.pictures.tars import Shards

    left_out = LeftOut()
    if next(pictures_below(name, left_out), None) is not None:
        return Folder(name)
    if shards := files_below(name, SHARD):
        return Shards(name, shards)
    if tables := files_below(name, PARQUET):
        return ParquetTable(name, tables, column)
    raise no_pictures(f"the folder '{printable(name)}'", left_out)


def open_item(sources: Sequence[Source], item: Item, max_pixels: int) -> Picture:
    """The decoded picture. Raises ImageError."""
    return open_picture(sources[item.source].get(item), max_pixels=max_pixels, name=item.key)


def bytes_of(sources: Sequence[Source], item: Item) -> bytes:
    """The original file. Raises ImageError."""
    found = sources[item.source].get(item)
    if isinstance(found, bytes):
        return found
    try:
        with open(found, "rb") as file:
            return file.read(MAX_BYTES)
    except (OSError, ValueError):
        raise ImageError(f"'{printable(item.key)}' cannot be read any more.") from None


def unreadable(name: str, error: OSError) -> UsageError:
    """A list, a table or a folder that cannot be read."""
    return UsageError(f"'{printable(name)}' cannot be read: {(error.strerror or 'unknown error').lower()}")
