"""Remove damaged or oversized metadata from a PNG or WebP file, so that Pillow reads its intact pixels."""

from __future__ import annotations

import re
import struct
import zlib
from typing import Final

NOTE: Final = "damaged or oversized parts ignored"
_PNG_CHUNKS: Final = re.compile(rb"IHDR|PLTE|tRNS|eXIf|acTL|fcTL|fdAT|IDAT|IEND")
_WEBP_CHUNKS: Final = re.compile(rb"VP8X|VP8 |VP8L|ALPH|ANIM|ANMF|EXIF")
_MAX_FALSE_MATCHES: Final = 32  # each costs a checksum over up to the whole file
_EXIF, _ICC_AND_XMP = 0x08, 0x24  # VP8X flags (RFC 9649, 2.7.1)


def without_metadata(kind: str, data: bytes) -> bytes | None:
    """`data` with only pixels, transparency, frames and orientation; None if the format is neither PNG nor WebP."""
    if kind == "PNG":
        return data[:8] + b"".join(_png_chunks(data))
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
