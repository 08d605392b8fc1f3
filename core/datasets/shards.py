"""Webdataset shards: plain .tar files, whose pictures are read in place, never unpacked.

The position of a member is the byte of its header, so any of them is found again without reading what comes before.
Keys follow the webdataset package (github.com/webdataset/webdataset, `tariterators.base_plus_ext`): a member's name up
to the first dot of its last part. That package groups members by key. Here a file is a picture by its last suffix, so
`photo.v2.jpg` and `photo.v3.jpg` are two. The package reads a shard as a stream and cannot report its position.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, Final

from core.datasets.folders import HEAD, NO_PICTURE, is_hidden, picture_suffixes, suffix_of, why_not
from core.datasets.left_out import LINKED_MEMBER, SPARSE_MEMBER, SPECIAL, Reason
from core.errors import UsageError, printable

BLOCK: Final = tarfile.BLOCKSIZE
_PACKED: Final = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))


class DamagedShard(Exception):  # noqa: N818 - it describes the file
    """A shard that is not a tar from byte `at` on. `packed`: how the whole file is compressed, or ""."""

    def __init__(self, at: int, packed: str = "") -> None:
        super().__init__(at, packed)
        self.at, self.packed = at, packed


def brace_shards(pattern: str) -> list[str]:
    """Expand shards/{00000..00099}.tar to a hundred paths. Raises UsageError, also if one does not exist."""
    quoted = f"'{printable(pattern)}'"
    try:
        from braceexpand import braceexpand
    except ImportError:
        raise UsageError("patterns with braces need braceexpand: pip install 'inquisight[batch]'.") from None
    try:
        files = [os.path.expanduser(file) for file in braceexpand(pattern)]
    except ValueError:
        raise UsageError(f"{quoted} has braces that do not match; write shards/{{00000..00099}}.tar.") from None
    if missing := [file for file in files if not os.path.isfile(file)]:
        raise UsageError(
            f"{quoted}: {len(missing)} of {len(files)} shards do not exist, the first is {printable(missing[0])}."
        )
    return files


def members(file: BinaryIO, size: int, begin: int = 0) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a shard of `size` bytes from a header on. The caller may move `file` meanwhile.

    Raises DamagedShard if it is truncated or damaged, and OSError.
    """
    end = begin
    file.seek(begin)
    try:
        with tarfile.TarFile(fileobj=file, mode="r") as tar:
            kept: list[tarfile.TarInfo] = tar.members  # type: ignore[attr-defined]
            while (member := tar.next()) is not None:
                kept.clear()  # or memory would grow with the shard
                if member.size < 0 or tar.offset <= member.offset:  # a forged size leads back, in an endless loop
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
    """Return why a member is not read as a picture; None for a picture."""
    name = os.path.basename(member.name)
    if is_passed(member):
        return NO_PICTURE
    if member.isreg() and not member.issparse():
        return why_not(name, lambda: head_of(member, file))
    if suffix_of(name) not in picture_suffixes():
        return NO_PICTURE
    return LINKED_MEMBER if member.islnk() or member.issym() else SPARSE_MEMBER if member.isreg() else SPECIAL


def is_passed(member: tarfile.TarInfo) -> bool:
    """Whether a member is a folder, or belongs to the system: `._photo.jpg`, `__MACOSX/...`."""
    return member.isdir() or is_hidden(os.path.basename(member.name)) or "__MACOSX" in member.name.split("/")


def head_of(member: tarfile.TarInfo, file: BinaryIO) -> bytes:
    """Return the first bytes of a member."""
    file.seek(member.offset_data)
    return file.read(min(member.size, HEAD))


def key_of(name: str) -> str:
    """Return the name that webdataset groups by: up to the first dot of the last part."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition('.')[0]}"


def stem_of(name: str) -> str:
    """Return a picture's name without its suffix, if that is one of a picture."""
    return name[: -len(os.path.splitext(name)[1])] if suffix_of(name) in picture_suffixes() else name
