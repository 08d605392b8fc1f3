"""Shards as webdataset and img2dataset write them: plain .tar files, read where they lie, never unpacked.

The place of a picture is the byte of its header, so that any of them is found again without reading what lies before.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from agents.batch.inputs import Found, Source, unreadable
from agents.batch.listing import Item
from core.errors import ImageError, UsageError, printable
from core.images import MAX_BYTES
from core.sniff import SUFFIXES

_BUFFER = 1 << 16


class Shards(Source):
    """Every picture in some .tar files, named SHARD/KEY, where KEY is its name up to the first dot of its last part."""

    def __init__(self, name: str, files: list[str]) -> None:
        super().__init__(name)
        self.files = files

    def scan(self) -> Iterator[Found]:
        found = False
        for part, file in enumerate(self.files):
            for key, begin in self._pictures(file):
                found = True
                yield f"{file}/{key}", part, begin
        if not found and self.problems:
            raise ImageError(
                f"'{printable(self.name)}' holds no pictures that can be read: it is no plain .tar file, or was cut "
                "short; copy or download it again."
            )
        if not found:
            raise ImageError(f"'{printable(self.name)}' holds no pictures (looked for {', '.join(sorted(SUFFIXES))}).")

    def _pictures(self, path: str) -> Iterator[tuple[str, int]]:
        """(key, first byte of its header) of each picture; a shard that is cut short gives those before the damage."""
        end = 0
        try:
            size = os.path.getsize(path)
            with open(path, "rb", buffering=_BUFFER) as file, tarfile.TarFile(fileobj=file, mode="r") as tar:
                while (member := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined]  # or memory would grow with the shard
                    if member.offset_data + member.size > size:
                        raise tarfile.ReadError("cut short")
                    end = tar.offset
                    folder, slash, last = member.name.rpartition("/")
                    stem, dot, suffix = last.partition(".")
                    if member.isreg() and stem and dot and f".{suffix.lower()}" in SUFFIXES:
                        yield f"{folder}{slash}{stem}", member.offset
                file.seek(end)
                rest = file.read(tarfile.BLOCKSIZE)
                # A tar ends with blocks of zeros; `next` takes a header that it cannot read for the end.
                if rest.strip(b"\0") or len(rest) < tarfile.BLOCKSIZE:
                    raise tarfile.ReadError("cut short")
        except (tarfile.TarError, ValueError, OverflowError):
            self.problems.append(
                f"'{printable(path)}' is cut short or damaged after byte {end}; the pictures before that are taken. "
                "Copy or download it again, and the same command takes the others too"
            )
        except OSError as error:
            raise unreadable(path, error) from None

    def read(self, item: Item) -> bytes:
        try:
            with open(self.files[item.part], "rb", buffering=_BUFFER) as file:
                return _member(file, item)
        except (OSError, tarfile.TarError, ValueError):
            raise ImageError(f"'{printable(item.key)}' cannot be read from its shard; has the file changed?") from None


def _member(file: BinaryIO, item: Item) -> bytes:
    file.seek(item.cursor)
    with tarfile.TarFile(fileobj=file, mode="r") as tar:
        member = tar.next()
        if member is None or member.size > MAX_BYTES:
            raise ValueError("not there, or larger than a picture may be")
        file.seek(member.offset_data)
        data = file.read(member.size)
    if len(data) != member.size:
        raise ValueError("cut short")
    return data


def braces(pattern: str) -> list[str]:
    """shards/{00000..00099}.tar as a hundred names. Raises UsageError."""
    quoted = printable(pattern)
    try:
        from braceexpand import braceexpand
    except ImportError:
        raise UsageError("patterns with braces need braceexpand: pip install 'inquisight[batch]'") from None
    try:
        files = list(braceexpand(pattern))
    except ValueError:
        raise UsageError(f"'{quoted}' has braces that do not match; write shards/{{00000..00099}}.tar") from None
    missing = [file for file in files if not os.path.isfile(file)]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(f"'{quoted}': {printable(missing[0])}{more} of {len(files)} files does not exist")
    return files
