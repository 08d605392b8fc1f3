"""Find what a batch reads, by name: folders, patterns, lists, tables and shards of pictures.

A source first lists the pictures it holds, without reading them, and returns any of them later.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from typing import Final

from core.datasets.folders import files_below, no_pictures, pictures_below
from core.datasets.left_out import LeftOut
from core.datasets.pictures.sources import FileSource, FolderSource, Item, PathList, Pattern, PictureSource
from core.datasets.pictures.tables import ParquetTable, RowTable
from core.datasets.pictures.tars import Shards
from core.datasets.shards import brace_shards
from core.errors import ImageError, UsageError, printable
from core.images.picture import MAX_BYTES, Picture, open_picture

LISTS: Final = (".txt", ".lst")
TEXT_TABLES: Final = (".csv", ".tsv", ".jsonl", ".ndjson")
PARQUET: Final = ".parquet"
SHARD: Final = ".tar"
PACKED: Final = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip")

_WAYS: Final = (
    "a folder, a pattern such as 'photos/**/*.jpg', a list (.txt), a table (.csv, .tsv, .jsonl, .parquet) "
    "or shards (.tar)"
)


def find_sources(named: Sequence[str], column: str | None = None) -> list[PictureSource]:
    """Return a source for each argument of the command. Raises UsageError or ImageError, one line."""
    if not named:
        raise UsageError(f"name what holds the pictures: {_WAYS} (see --help)")
    names = [os.path.normpath(name) if name != "-" and os.path.exists(name) else name for name in named]
    sources = [_source(name, column) for name in dict.fromkeys(names)]
    if column is not None and not any(source.has_columns for source in sources):
        raise UsageError(f"--column '{printable(column, 40)}' names a column, and no table is among the inputs")
    return sources


def _source(name: str, column: str | None) -> PictureSource:
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
            return Shards(name, brace_shards(name))
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
    return FileSource(name)


def _folder(name: str, column: str | None) -> PictureSource:
    """Return the pictures of a folder if it has any, else the shards or tables in it."""
    left_out = LeftOut()
    if next(pictures_below(name, left_out), None) is not None:
        return FolderSource(name)
    if shards := files_below(name, SHARD):
        return Shards(name, shards)
    if tables := files_below(name, PARQUET):
        return ParquetTable(name, tables, column)
    raise no_pictures(f"the folder '{printable(name)}'", left_out)


def open_item(sources: Sequence[PictureSource], item: Item, max_pixels: int) -> Picture:
    """Return the decoded picture. Raises ImageError."""
    return open_picture(sources[item.source].get(item), max_pixels=max_pixels, name=item.key)


def bytes_of(sources: Sequence[PictureSource], item: Item) -> bytes:
    """Return the original file. Raises ImageError."""
    found = sources[item.source].get(item)
    if isinstance(found, bytes):
        return found
    try:
        with open(found, "rb") as file:
            return file.read(MAX_BYTES)
    except (OSError, ValueError):
        raise ImageError(f"'{printable(item.key)}' cannot be read any more.") from None
