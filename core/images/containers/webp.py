"""WebP (RFC 9649): chunks of name, size and body in a RIFF container."""

from __future__ import annotations

import re
import struct
from typing import Final

from core.images.containers import DamagedError, Parts, ignored

_PIXELS: Final = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_KNOWN: Final = (*_PIXELS, b"ICCP", b"EXIF", b"XMP ")
_LANDMARKS: Final = re.compile(rb"VP8 |VP8L|ALPH|ANIM|ANMF")
_TRIES: Final = 64
_EXTRAS: Final = 0x20 | 0x08 | 0x04  # VP8X flags: ICCP, EXIF, XMP


def reduce(data: bytes, *, animated: bool = False) -> Parts:
    """The chunks with pixels under a container of the right size."""
    parts = Parts(data)
    bad: dict[str, str] = {}
    kept: list[bytes] = []
    at, tries = 12, _TRIES
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        end = at + 8 + size
        body = data[at + 8 : end]
        label = name.decode("ascii", "replace").strip() if name in _KNOWN else "a chunk"
        if name in _PIXELS and end <= len(data):
            kept.append(_made(name, bytes([body[0] & ~_EXTRAS]) + body[1:] if name == b"VP8X" and body else body))
        elif name == b"ANMF" and any(one.startswith(b"ANMF") for one in kept):
            parts.notes.append("its end is missing")  # the first frame is there
            break
        elif name in _PIXELS:
            raise DamagedError
        elif end > len(data) or not _plausible(data, end + (size & 1)):
            if _has_pixels(kept) and name not in _KNOWN:
                break  # bytes after the end of the picture
            bad[label] = "damaged"
            at, tries = _next_landmark(data, at + 8, tries)
            continue
        elif name == b"EXIF":
            parts.info["exif"] = body if body.startswith(b"Exif\0\0") else b"Exif\0\0" + body
        elif name == b"XMP ":
            parts.info["xmp"] = body
        at = end + (size & 1)
    claimed = int.from_bytes(data[4:8], "little") + 8
    if claimed not in (len(data), len(data) + (len(data) & 1)):
        parts.notes.append("its size field is wrong or bytes follow its end")
    parts.notes += ignored(bad)
    packed = b"WEBP" + b"".join(kept)
    parts.data = b"RIFF" + struct.pack("<I", len(packed)) + packed
    return parts


def _has_pixels(kept: list[bytes]) -> bool:
    return any(one.startswith((b"VP8 ", b"VP8L", b"ANMF")) for one in kept)


def _plausible(data: bytes, at: int) -> bool:
    return at >= len(data) or data[at : at + 4] in _KNOWN or all(32 <= byte < 127 for byte in data[at : at + 4])


def _next_landmark(data: bytes, start: int, tries: int) -> tuple[int, int]:
    """(where the next chunk with pixels begins, tries left); the end of `data` where there is none."""
    for found in _LANDMARKS.finditer(data, start):
        if tries == 0:
            break
        tries -= 1
        at = found.start()
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if end <= len(data) and _plausible(data, end + (end - at & 1)):
            return at, tries
    return len(data), tries


def _made(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)
