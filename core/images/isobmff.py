"""Read what the container of a HEIC or AVIF file says of its main picture (ISO/IEC 23008-12), without a decoder.

Decoders apply rotation and mirroring, but leave colours to their caller, and Pillow does not pass them on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_BOXES: Final = 20_000  # limit of boxes in a file
_LONGEST: Final = 16_000_000  # bytes of a meta box; real ones have some kilobytes


@dataclass(slots=True)
class MainPicture:
    """Properties of the primary item."""

    size: tuple[int, int] | None = None  # (width, height), before rotation
    primaries: int = 2  # H.273; 2: not specified
    transfer: int = 2
    thumbnail: tuple[int, tuple[int, int]] | None = None  # (item, size) of the largest one
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)  # of every item
    pitm: tuple[int, int] = (0, 0)  # (offset, bytes) of the number of the primary item
    sound: bool = False  # one meta box, whose names are text
    references: dict[int, int] = field(default_factory=dict)  # thumbnail item: offset of its reference's type


def read_main_picture(data: bytes) -> MainPicture:
    """The properties of the primary item; those that are missing or damaged keep their defaults."""
    main = MainPicture()
    found = [(start + 4, end) for name, start, end in boxes(data, 0, len(data)) if name == b"meta"]
    if len(found) != 1 or found[0][1] - found[0][0] > _LONGEST:
        return main
    try:
        _read_meta(data, *found[0], main)
        main.sound = _names_are_text(data, *found[0])
    except (struct.error, IndexError, ValueError):
        pass
    return main


def with_thumbnail_as_main(data: bytes, main: MainPicture) -> bytes | None:
    """`data` with the largest thumbnail as its primary item, None without one."""
    if main.thumbnail is None or not main.pitm[1]:
        return None
    item, _ = main.thumbnail
    at, width = main.pitm
    changed = bytearray(data)
    changed[at : at + width] = item.to_bytes(width)
    spot = main.references[item]
    changed[spot : spot + 4] = b"free"  # a decoder hides an item that is the thumbnail of another one
    return bytes(changed)


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of the content of each box; stops at the first impossible length."""
    for _ in range(_BOXES):
        if start + 8 > end:
            return
        length, name = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        elif length == 0:
            length = end - start
        if length < head or start + length > end:
            return
        yield name, start + head, start + length
        start += length


def _read_meta(data: bytes, start: int, end: int, main: MainPicture) -> None:
    inner = {name: (at, stop) for name, at, stop in boxes(data, start, end)}
    at, stop = inner.get(b"pitm", (0, 0))
    if stop - at < 6:
        return
    main.pitm = (at + 4, 4 if data[at] else 2)
    primary = int.from_bytes(data[at + 4 : at + 4 + main.pitm[1]])
    properties: list[tuple[bytes, int, int]] = []
    used: dict[int, list[int]] = {}
    if b"iprp" in inner:
        for name, at, stop in boxes(data, *inner[b"iprp"]):
            if name == b"ipco":
                properties = list(boxes(data, at, stop))
            elif name == b"ipma":
                _read_associations(data, at, stop, used)
    for item, numbers in used.items():
        for name, at, stop in (properties[number - 1] for number in numbers if 0 < number <= len(properties)):
            if name == b"ispe" and stop - at >= 12:
                main.sizes[item] = struct.unpack_from(">II", data, at + 4)
            elif name == b"colr" and item == primary and data[at : at + 4] == b"nclx" and stop - at >= 8:
                main.primaries, main.transfer = struct.unpack_from(">HH", data, at + 4)
    main.size = main.sizes.get(primary)
    if b"iref" in inner:
        _read_thumbnails(data, *inner[b"iref"], primary, main)


def _names_are_text(data: bytes, start: int, end: int) -> bool:
    """Whether the names and types of items and of auxiliary pictures are UTF-8; pi-heif 1.4.0 crashes at others."""
    for name, at, stop in boxes(data, start, end):
        if name == b"iinf":
            # After version and flags: the number of the item (2 bytes, 4 in version 3) and of its protection (2).
            entries = [(at + (6 if data[at] == 0 else 8), stop, b"infe", 8)]
        elif name == b"iprp":
            entries = [(begin, last, b"auxC", 4) for inner, begin, last in boxes(data, at, stop) if inner == b"ipco"]
        else:
            continue
        for begin, last, wanted, skipped in entries:
            for inner, first, final in boxes(data, begin, last):
                if inner == wanted and not _is_text(data[first + skipped : final]):
                    return False
    return True


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _read_associations(data: bytes, start: int, end: int, used: dict[int, list[int]]) -> None:
    """ipma (9.3.2): the numbers of the properties of each item."""
    version, wide = data[start], data[start + 3] & 1
    (count,) = struct.unpack_from(">I", data, start + 4)
    at = start + 8
    for _ in range(min(count, _BOXES)):
        if at >= end:
            return
        item = int.from_bytes(data[at : at + (4 if version else 2)])
        at += 4 if version else 2
        numbers = data[at]
        at += 1
        step = 2 if wide else 1
        spots = range(at, min(at + numbers * step, end), step)
        used[item] = [int.from_bytes(data[spot : spot + step]) & (0x7FFF if wide else 0x7F) for spot in spots]
        at += numbers * step


def _read_thumbnails(data: bytes, start: int, end: int, primary: int, main: MainPicture) -> None:
    """iref (ISO 14496-12, 8.11.12): items that are thumbnails of the primary one."""
    width = 4 if data[start] else 2
    for name, at, _ in boxes(data, start + 4, end):
        item = int.from_bytes(data[at : at + width])
        target = int.from_bytes(data[at + width + 2 : at + 2 * width + 2])
        size = main.sizes.get(item)
        if name != b"thmb" or target != primary or size is None:
            continue
        main.references[item] = at - 4
        if main.thumbnail is None or size > main.thumbnail[1]:
            main.thumbnail = (item, size)
