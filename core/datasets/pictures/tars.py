"""Pictures in webdataset and img2dataset shards: plain .tar files, read in place, never unpacked."""

from __future__ import annotations

import os
from collections.abc import Iterator

from core.datasets.folders import NO_PICTURE, count_beside, no_pictures
from core.datasets.left_out import PICTURE
from core.datasets.pictures.sources import Found, Item, PictureSource, unreadable
from core.datasets.shards import DamagedShard, members, stem_of, why_no_picture
from core.errors import ImageError, printable
from core.images.picture import MAX_BYTES

_BUFFER = 1 << 16


class Shards(PictureSource):
    """Every picture in some .tar files, with the key SHARD/NAME: its name in the shard without the last suffix."""

    def __init__(self, name: str, files: list[str]) -> None:
        super().__init__(name)
        self.files = files

    def scan(self) -> Iterator[Found]:
        found = False
        for part, file in enumerate(self.files):
            for name, begin in self._pictures(file):
                found = True
                yield f"{file}/{stem_of(name)}", part, begin
        if os.path.isdir(self.name):
            count_beside(self.name, self.left_out, PICTURE, self.files)
        if found:
            return
        if self.problems:
            raise ImageError(
                f"'{printable(self.name)}' holds no pictures that can be read: it is no plain .tar file, or was cut "
                "short; copy or download it again."
            )
        raise no_pictures(f"'{printable(self.name)}'", self.left_out)

    def _pictures(self, path: str) -> Iterator[tuple[str, int]]:
        """Yield (name, first byte of its header) of each picture, in a truncated shard those before the damage."""
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
                what = (
                    f"is cut short or damaged after byte {damage.at}; the pictures before that are taken. Copy or "
                    "download it again"
                )
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
        path = self.files[item.part]
        try:
            with open(path, "rb", buffering=_BUFFER) as file:
                member = next(members(file, os.path.getsize(path), item.cursor))
                if member.size <= MAX_BYTES:
                    file.seek(member.offset_data)
                    return file.read(member.size)
        except (OSError, DamagedShard, StopIteration):
            pass
        raise ImageError(f"'{printable(item.key)}' cannot be read from its shard; has the file changed?")
