"""Remove damaged or oversized metadata from a PNG, WebP or TIFF file, so that Pillow reads its intact pixels."""

from __future__ import annotations

import re
import struct
import zlib
from typing import Final

NOTE: Final = "damaged or oversized parts ignored"
_PNG_CHUNKS: Final = re.compile(rb"IHDR|PLTE|tRNS|eXIf|acTL|fcTL|fdAT|IDAT|IEND")
_WEBP_CHUNKS: Final = re.compile(rb"VP8X|VP8 |VP8L|ALPH|ANIM|ANMF|EXIF")
_MAX_FALSE_MATCHES: Final = 32  # each costs a checksum over up to the whole file
_TIFF_PAGES: Final = 10_000
# Size, layout, compression, colours, strips and tiles, orientation: TIFF 6.0, its technical notes, libtiff's codecs.
TIFF_TAGS: Final = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 297, 317, 320, 322, 323, 324, 325}
    | {332, 333, 334, 336, 338, 339, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532}
    | {32995, 32996, 32997, 32998, 37439, 50674}
)
_ORIENTATION, _SHORT, _LONG = 274, 3, 4
_EXIF, _ICC_AND_XMP = 0x08, 0x24  # VP8X flags (RFC 9649, 2.7.1)


def without_metadata(kind: str, data: bytes) -> bytes | None:
    """`data` with only pixels, transparency, frames and orientation; None for any other format."""
    if kind == "PNG":
        return data[:8] + b"".join(_png_chunks(data))
    if kind == "TIFF":
        return _tiff(data)
    return _webp(data) if kind == "WEBP" else None


def _png_chunks(data: bytes) -> list[bytes]:
    """The chunks (PNG 3rd ed., 5.3) with a correct checksum; they are searched, since a length may be damaged."""
    chunks: list[bytes] = []
    at, false_matches = 8, 0
    for found in _PNG_CHUNKS.finditer(data, 12):
        start = found.start() - 4
        end = start + 12 + int.from_bytes(data[start : start + 4])
        if start < at or end > len(data):
            continue
        if zlib.crc32(data[start + 4 : end - 4]) == int.from_bytes(data[end - 4 : end]):
            chunks.append(data[start:end])
            at = end
        elif (false_matches := false_matches + 1) > _MAX_FALSE_MATCHES:
            break
    return chunks


def _webp(data: bytes) -> bytes:
    """The complete chunks (RFC 9649, 2.3) in a container with the correct size."""
    chunks: list[tuple[bytes, bytes]] = []
    at = 12
    for found in _WEBP_CHUNKS.finditer(data, at):
        start = found.start()
        end = start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")
        if start >= at and end <= len(data):
            chunks.append((found[0], data[start + 8 : end]))
            at = end + (end - start & 1)
    dropped = _ICC_AND_XMP | (0 if any(name == b"EXIF" for name, _ in chunks) else _EXIF)
    parts = [b"WEBP"]
    for name, body in chunks:
        if name == b"VP8X":
            body = bytes([body[0] & ~dropped]) + body[1:]
        parts += [name, struct.pack("<I", len(body)), body, b"\0" * (len(body) & 1)]
    packed = b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(packed)) + packed


def _tiff(data: bytes) -> bytes:
    """The file whose directories (TIFF 6.0, section 2; BigTIFF) list only tags that the pixels need."""
    order = "<" if data[:2] == b"II" else ">"
    big = b"\x2b" in data[2:4]
    number, entry, pointer, offset = ("Q", "HHQQ", "Q", 8) if big else ("H", "HHII", "I", 4)
    step, wide = struct.calcsize(order + entry), struct.calcsize(order + number)
    changed = bytearray(data)
    seen: set[int] = set()
    try:
        (at,) = struct.unpack_from(order + pointer, data, offset)
        while at and at not in seen and len(seen) < _TIFF_PAGES:
            seen.add(at)
            (count,) = struct.unpack_from(order + number, data, at)
            begin, end = at + wide, at + wide + count * step
            following = data[end : end + offset]
            kept = b""
            for spot in range(begin, end, step):
                tag, kind, items, _ = struct.unpack_from(order + entry, data, spot)
                readable = tag != _ORIENTATION or (kind in (_SHORT, _LONG) and items == 1)
                kept += data[spot : spot + step] if tag in TIFF_TAGS and readable else b""
            struct.pack_into(order + number, changed, at, len(kept) // step)
            changed[begin : begin + len(kept) + offset] = kept + following
            (at,) = struct.unpack(order + pointer, following)
    except struct.error:  # a directory is missing; the decoder reports missing pixels
        pass
    return bytes(changed)
