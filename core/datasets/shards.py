"""Webdataset shards: plain .tar files, whose pictures are read where they are, never unpacked.

The place of a member is the byte of its header, so that any of them is found again without reading what comes before.
Keys follow the webdataset package (github.com/webdataset/webdataset, `tariterators.base_plus_ext`): a member's name up
to the first dot of its last part. That package groups members by it; a picture is one by its last suffix, so that
`photo.v2.jpg` and `photo.v3.jpg` are two.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, Final

from core.datasets.folders import HEAD, NO_PICTURE, is_hidden, picture_suffixes, suffix_of, why_not
from core.datasets.left_out import LINKED_MEMBER, SPARSE_MEMBER, SPECIAL, Reason

BLOCK: Final = tarfile.BLOCKSIZE
_PACKED: Final = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))


class DamagedShard(Exception):  # noqa: N818 - it says what the file is
    """A shard that does not go on from byte `at` as a tar does. `packed`: how the whole file is compressed, or ""."""

    def __init__(self, at: int, packed: str = "") -> None:
        super().__init__(at, packed)
        self.at, self.packed = at, packed


def members(file: BinaryIO, size: int, begin: int = 0) -> Iterator[tarfile.TarInfo]:
    """The members of a shard of `size` bytes from a header on. The file may be read elsewhere meanwhile.

    Raises DamagedShard where it is cut short or damaged, and OSError.
    """
    end = begin
    file.seek(begin)
    try:
        with tarfile.TarFile(fileobj=file, mode="r") as tar:
            kept: list[tarfile.TarInfo] = tar.members  # type: ignore[attr-defined]
            while (member := tar.next()) is not None:
                kept.clear()  # or memory would grow with the shard
                if member.size < 0 or tar.offset <= member.offset:  # a forged size leads back, and round for ever
                    raise DamagedShard(member.offset)
                if member.offset_data + (0 if member.issparse() else member.size) > size:
                    raise DamagedShard(member.offset)
                end = tar.offset
                yield member
        file.seek(end)
        rest = file.read(BLOCK)
    except (tarfile.TarError, ValueError, OverflowError, RecursionError):
        file.seek(0)
        head = file.read(8)
        packed = next((name for magic, name in _PACKED if head.startswith(magic)), "") if end == 0 else ""
        raise DamagedShard(end, packed) from None
    # A tar ends with blocks of zeros; `next` takes a header that it cannot read for the end.
    if rest.strip(b"\0") or len(rest) < BLOCK:
        raise DamagedShard(end)


def why_no_picture(member: tarfile.TarInfo, file: BinaryIO) -> Reason | None:
    """Why a member is not read as a picture; None where it is one."""
    name = os.path.basename(member.name)
    if is_passed(member):
        return NO_PICTURE
    if member.isreg() and not member.issparse():
        return why_not(name, lambda: head_of(member, file))
    if suffix_of(name) not in picture_suffixes():
        return NO_PICTURE
    return LINKED_MEMBER if member.islnk() or member.issym() else SPARSE_MEMBER if member.isreg() else SPECIAL


def is_passed(member: tarfile.TarInfo) -> bool:
    """Whether a member is a folder, or the system's business: `._photo.jpg`, `__MACOSX/...`."""
    return member.isdir() or is_hidden(os.path.basename(member.name)) or "__MACOSX" in member.name.split("/")


def head_of(member: tarfile.TarInfo, file: BinaryIO) -> bytes:
    """The first bytes of a member."""
    file.seek(member.offset_data)
    return file.read(min(member.size, HEAD))


def key_of(name: str) -> str:
    """The name that webdataset groups by: up to the first dot of the last part."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition('.')[0]}"


def stem_of(name: str) -> str:
    """A picture's name without its suffix, where that is one of a picture."""
    return name[: -len(os.path.splitext(name)[1])] if suffix_of(name) in picture_suffixes() else name
