"""What a batch reads: folders, patterns, lists, tables and shards of pictures, told apart by their names.

A source first says which pictures it holds, without reading them, and hands out any of them later.
"""

from __future__ import annotations

import glob
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Final

from agents.batch.listing import Item
from core.errors import ImageError, UsageError, printable
from core.images import MAX_BYTES, Picture, open_picture
from core.sniff import SUFFIXES

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

    @abstractmethod
    def scan(self) -> Iterator[Found]:
        """Every picture. Raises UsageError or ImageError where the source itself cannot be read."""

    def read(self, item: Item) -> bytes | str:
        """The bytes of a picture that does not lie in a file of its own, or the path it was given by."""
        raise NotImplementedError

    def get(self, item: Item) -> bytes | str:
        """The bytes of a picture, or the path of its file. Raises ImageError."""
        return item.key if item.part == BY_PATH else self.read(item)


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

    def paths(self) -> Iterator[str]:
        return files_below(self.name, SUFFIXES)


class Pattern(Files):
    """A pattern as shells know it; ** stands for any folders."""

    sorted: ClassVar[bool] = False

    def paths(self) -> Iterator[str]:
        found = False
        for path in glob.iglob(os.path.expanduser(self.name), recursive=True):
            if Path(path).suffix.lower() in SUFFIXES and not os.path.isdir(path):
                found = True
                yield path
        if not found:
            raise ImageError(
                f"no picture fits '{printable(self.name)}' (looked for {', '.join(sorted(SUFFIXES))}, .tar)."
            )


class PathList(Files):
    """One path per line, relative to the list's own folder; `-` reads standard input, relative to here."""

    def paths(self) -> Iterator[str]:
        if self.name == "-":
            if sys.stdin is None or sys.stdin.isatty():
                raise UsageError("'-' reads a list of pictures from standard input, but nothing is piped into it")
            for line in sys.stdin.buffer:
                yield from _listed(line, "")
            return
        folder = os.path.dirname(self.name)
        try:
            with open(self.name, "rb") as file:
                for number, line in enumerate(file):
                    yield from _listed(line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line, folder)
        except OSError as error:
            raise unreadable(self.name, error) from None


def _listed(line: bytes, folder: str) -> Iterator[str]:
    name = os.fsdecode(line.rstrip(b"\r\n"))
    if name.strip():
        yield joined(folder, name)


def joined(folder: str, name: str) -> str:
    """A path as it stands in a list or table, from where the list lies; a web address stays what it is."""
    return name if "://" in name else os.path.join(folder, name)


def files_below(folder: str, suffixes: frozenset[str]) -> Iterator[str]:
    """Every file with one of the suffixes, in no particular order; hidden files and folders are left out.

    Nothing is collected, so that a folder of a million files costs no memory. Raises UsageError.
    """
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path.removeprefix("./"))
                    elif os.path.splitext(entry.name)[1].lower() in suffixes:
                        yield entry.path.removeprefix("./")
        except OSError as error:
            raise unreadable(here, error) from None


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
    from agents.batch.tables import ParquetTable, TextTable
    from agents.batch.tars import Shards, braces

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
        return TextTable(name, column)
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
    from agents.batch.tables import ParquetTable
    from agents.batch.tars import Shards

    if next(files_below(name, SUFFIXES), None) is not None:
        return Folder(name)
    if shards := sorted(files_below(name, frozenset({SHARD}))):
        return Shards(name, shards)
    if tables := sorted(files_below(name, frozenset({PARQUET}))):
        return ParquetTable(name, tables, column)
    known = ", ".join(sorted(SUFFIXES))
    raise ImageError(f"the folder '{printable(name)}' holds no pictures (looked for {known}, .tar and .parquet).")


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
