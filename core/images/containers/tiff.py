"""TIFF 6.0 and BigTIFF: directories of tags, each with a type, a count, and a value or where it is."""

from __future__ import annotations

import struct
from typing import Final

from core.images.containers import Parts, ignored

_MOST_PAGES: Final = 10_000
_ORIENTATION: Final = 274
# What decoders need: size, layout, compression, colours, strips and tiles, orientation; XMP may hold the orientation.
# TIFF 6.0, its technical notes 1 and 2, and the tags that libtiff knows for its codecs.
_PIXELS: Final = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 297, 317, 320, 322, 323, 324, 325}
    | {332, 333, 334, 336, 338, 339, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 700}
    | {32995, 32996, 32997, 32998, 37439, 50674}
)
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def reduce(data: bytes, *, animated: bool = False) -> Parts:
    """The file without the tags that its pixels do not need, in every directory."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:3] == b"\x2b" or data[3:4] == b"\x2b"
    number, entry, offset = (order + "Q", order + "HHQQ", 8) if big else (order + "H", order + "HHII", 4)
    step, wide = struct.calcsize(entry), struct.calcsize(number)
    pointer = number if big else order + "I"
    changed = bytearray(data)
    bad: dict[str, str] = {}
    seen: set[int] = set()
    try:
        (at,) = struct.unpack_from(pointer, data, offset)
        while at and at not in seen and len(seen) < _MOST_PAGES:
            seen.add(at)
            (count,) = struct.unpack_from(number, data, at)
            begin, end = at + wide, at + wide + count * step
            following = data[end : end + offset]
            (at_next,) = struct.unpack(pointer, following)
            kept = b""
            for spot in range(begin, end, step):
                tag, kind, items, value = struct.unpack_from(entry, data, spot)
                sound = _sound(kind, items, value, offset, len(data))
                if tag == _ORIENTATION:
                    sound = sound and kind in (3, 4) and items == 1
                if not sound and (tag not in _PIXELS or tag in (_ORIENTATION, 700)):
                    bad[f"tag {tag}"] = "damaged"
                elif tag in _PIXELS:
                    kept += data[spot : spot + step]
            struct.pack_into(number, changed, at, len(kept) // step)
            changed[begin : begin + len(kept) + offset] = kept + following
            at = at_next
    except struct.error:  # a directory that is not there: its pixels are missing, which the decoder will say
        pass
    return Parts(bytes(changed), notes=ignored(bad))


def _sound(kind: int, items: int, value: int, inline: int, size: int) -> bool:
    """Whether a tag has a known type and its value is within the file."""
    length = _SIZES.get(kind, 0) * items
    return length > 0 and (length <= inline or value + length <= size)
