"""GIF89a: a screen, then extensions and images, each in blocks of up to 255 bytes."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from core.images.containers import DamagedError, Parts, after_end, ignored

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_CODE_SIZES: Final = range(1, 12)


class _Images(NamedTuple):
    first: bytes  # with its control block, without its last block
    number: int
    sane: bool  # the first one lies on the screen and has a code size that can be
    notes: list[str]


def reduce(data: bytes, *, animated: bool = False) -> Parts:
    """The screen and the first image with its control block; the images are counted."""
    start = 13 + _table(data, 10)
    images = _walk(data, start)
    if images.number == 0 or not images.sane:
        # The length of a comment may be damaged. An image that fills the screen is found without it.
        at = data.find(b",\0\0\0\0" + data[6:10], start)
        if at >= 0:
            at -= 8 if data[at - 8 : at - 5] == b"!\xf9\x04" and data[at - 1] == 0 else 0
            images = _walk(data, at)
            images.notes.extend(ignored({"an extension": "damaged"}))
    if images.number == 0:
        raise DamagedError
    return Parts(data[:start] + images.first + b"\0;", frames=images.number, notes=images.notes)


def _walk(data: bytes, at: int) -> _Images:
    first, control, frames, sane = b"", b"", 0, False
    while at < len(data):
        kind = data[at]
        if kind == _TRAILER:
            return _Images(first, frames, sane, after_end(data, at + 1))
        if kind == _EXTENSION:
            end, _ = _blocks(data, at + 2)
            control = data[at:end] if data[at + 1 : at + 3] == b"\xf9\x04" else control
        elif kind == _IMAGE:
            lines = at + 11 + _table(data, at + 9)  # behind the descriptor, its colours and the code size
            end, last = _blocks(data, lines)
            if frames == 0:
                first, sane = control + data[at:lines] + last, _sane(data, at, lines)
            frames += 1
        elif frames and kind:  # what comes after the images is not GIF any more
            break
        else:
            end = at + 1
        at = end
    return _Images(first, frames, sane, ["its end is missing"])


def _sane(data: bytes, at: int, lines: int) -> bool:
    if lines > len(data):
        return False
    left, top, width, height = struct.unpack_from("<4H", data, at + 1)
    across, down = struct.unpack_from("<2H", data, 6)
    return left + width <= across and top + height <= down and data[lines - 1] in _CODE_SIZES


def _table(data: bytes, flags: int) -> int:
    """Bytes of the colour table that the flags at `flags` announce."""
    if flags >= len(data):
        return 0
    return 3 << (data[flags] & 7) + 1 if data[flags] & 0x80 else 0


def _blocks(data: bytes, at: int) -> tuple[int, bytes]:
    """(where the blocks at `at` end, the blocks without the empty last one); a cut one is as long as what is there."""
    start = at
    while at < len(data) and data[at]:
        size = data[at]
        if at + 1 + size > len(data):
            there = len(data) - at - 1
            return len(data), data[start:at] + (bytes([there]) + data[at + 1 :] if there else b"")
        at += 1 + size
    return at + 1, data[start:at]
