"""Shards as webdataset and img2dataset write them: plain .tar files, read where they are, never unpacked."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from core.datasets.folders import NO_PICTURE, no_pictures
from core.datasets.pictures.sources import Found, Item, PictureSource, unreadable
from core.datasets.shards import DamagedShard, members, stem_of, why_no_picture
from core.errors import ImageError, UsageError, printable
from core.images.picture import MAX_BYTES

_BUFFER = 1 << 16


class Shards(PictureSource):
    """Every picture in some .tar files, named SHARD/NAME, where NAME is that in the shard without its last suffix."""

    def __init__(self, name: str, files: list[str]) -> None:
        super().__init__(name)
        self.files = files

    def scan(self) -> Iterator[Found]:
        found = False
        for part, file in enumerate(self.files):
            for name, begin in self._pictures(file):
                found = True
                yield f"{file}/{stem_of(name)}", part, begin
        self.count_beside(self.files)
        if found:
            return
        if self.problems:
            raise ImageError(
                f"'{printable(self.name)}' holds no pictures that can be read: it is no plain .tar file, or was cut "
                "short; copy or download it again."
            )
        raise no_pictures(f"'{printable(self.name)}'", self.left_out)

    def _pictures(self, path: str) -> Iterator[tuple[str, int]]:
        """(name, first byte of its header) of each picture; a shard that is cut short gives those before the damage."""
        try:
            with open(path, "rb", buffering=_BUFFER) as file:
                for member in members(file, os.path.getsize(path)):
                    reason = why_no_picture(member, file)
                    if reason is None:
                        yield member.name, member.offset
                    elif reason is not NO_PICTURE:
                        self.left_out.add(reason, f"{path}/{member.name}")
        except DamagedShard as damage:
            if damage.packed:
                what = f"is compressed ({damage.packed}), so nothing of it is read. Unpack it to a plain .tar"
            else:
                what = f"is cut short or damaged after byte {damage.at}; the pictures before that are taken. Copy or "
                what += "download it again"
            self.problems.append(f"'{printable(path)}' {what}, and the same command takes the others too")
        except OSError as error:
            raise unreadable(path, error) from None

    def name_of(self, part: int, cursor: int) -> str:
        path = self.files[part]
        try:
            with open(path, "rb", buffering=_BUFFER) as file:
                return f"{path}/{next(members(file, os.path.getsize(path), cursor)).name}"
        except (OSError, DamagedShard, StopIteration):
            raise ImageError(f"'{printable(path)}' has changed while it was listed; run the command again.") from None

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
