"""PNG (third edition): chunks of length, name, body and checksum."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from core.images.containers import MIB, DamagedError, Parts, after_end, ignored

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_LETTERS: Final = re.compile(rb"[A-Za-z]{4}")
_LANDMARKS: Final = re.compile(rb"PLTE|tRNS|IDAT|IEND|eXIf")  # where reading goes on behind a damaged length
_FRAMES: Final = (b"acTL", b"fcTL", b"fdAT")
_PIXELS: Final = (b"IHDR", b"PLTE", b"IDAT")
_TEXTS: Final = (b"iCCP", b"zTXt", b"iTXt", b"tEXt")
_TRIES: Final = 32  # landmarks whose checksum is computed; a file may be full of false ones
_MOST_TEXT: Final = 16 * MIB  # decompressed, all chunks together
_TRANSPARENCY: Final = {0: 2, 2: 6}  # colour type: least bytes of tRNS


class _Chunk(NamedTuple):
    name: bytes
    body: memoryview
    raw: memoryview | bytes
    sound: bool | None  # the checksum is right; None: the file ends before it
    end: int


def reduce(data: bytes, *, animated: bool = False) -> Parts:
    """IHDR, PLTE, tRNS and IDAT with right checksums; `animated` keeps the frames' chunks too."""
    parts = Parts(data)
    bad: dict[str, str] = {}
    kept: list[memoryview | bytes] = [_SIGNATURE]
    room, frames, colour, end = _MOST_TEXT, 0, 3, 8
    first_is_frame = seen_pixels = ended = False
    for chunk in _chunks(data, bad):
        name, body, raw, sound, end = chunk
        label = name.decode("ascii")
        if name in _PIXELS:
            if sound is False:
                raise DamagedError
            kept.append(raw)
            seen_pixels |= name == b"IDAT"
            colour = body[9] if name == b"IHDR" and len(body) > 9 else colour
        elif not sound or (name == b"tRNS" and len(body) < _TRANSPARENCY.get(colour, 0)):
            bad[label] = "damaged"
        elif name == b"tRNS" or (animated and name in _FRAMES):
            kept.append(raw)
        elif name == b"eXIf":
            parts.info["exif"] = b"Exif\0\0" + bytes(body)
        elif name in _TEXTS:
            room = max(0, room - _text(name, bytes(body), min(room, MIB), parts.info, bad))
        if name == b"acTL" and sound and len(body) >= 8:
            frames = int.from_bytes(body[:4])
        first_is_frame |= name == b"fcTL" and not seen_pixels
        if ended := name == b"IEND":
            break
    kept.append(_made(b"IEND", b""))
    parts.data = b"".join(kept)
    parts.notes += after_end(data, end) if ended else ["its end is missing"]
    parts.notes += ignored(bad)
    if 0 < frames < 0x80000000:
        parts.frames = frames + (not first_is_frame)  # a still picture may come before the animation
    return parts


def _chunks(data: bytes, bad: dict[str, str]) -> Iterator[_Chunk]:
    at, tries = 8, _TRIES
    while at + 8 <= len(data):
        chunk = _read(data, at)
        if chunk is None or (not chunk.sound and chunk.name not in _PIXELS and not _plausible(data, chunk.end)):
            bad[chunk.name.decode("ascii") if chunk else "a chunk"] = "damaged"
            at, tries = _next_landmark(data, at + 8, tries)
        else:
            yield chunk
            at = chunk.end


def _read(data: bytes, at: int) -> _Chunk | None:
    """The chunk at `at`; None where no chunk can begin there."""
    length, name = struct.unpack_from(">I4s", data, at)
    end = at + 8 + length
    view = memoryview(data)
    if not _LETTERS.fullmatch(name):
        return None
    if end + 4 <= len(data):
        right = zlib.crc32(view[at + 4 : end]) == int.from_bytes(view[end : end + 4])
        return _Chunk(name, view[at + 8 : end], view[at : end + 4], right, end + 4)
    if name != b"IDAT":
        return None
    body = view[at + 8 : end]  # cut; whether pixels are missing is for the decoder to find out
    return _Chunk(name, body, _made(name, body), None, len(data))


def _plausible(data: bytes, at: int) -> bool:
    return at >= len(data) or (at + 8 <= len(data) and _read(data, at) is not None)


def _next_landmark(data: bytes, start: int, tries: int) -> tuple[int, int]:
    """(where the next chunk with a right checksum begins, tries left); the end of `data` where there is none."""
    for found in _LANDMARKS.finditer(data, start + 4):
        if tries == 0:
            break
        tries -= 1
        chunk = _read(data, found.start() - 4)
        if chunk is not None and chunk.sound is not False:
            return found.start() - 4, tries
    return len(data), tries


def _text(name: bytes, body: bytes, room: int, info: dict[str, bytes | str], bad: dict[str, str]) -> int:
    """Keep the text if the orientation may be in it. Returns the bytes decompressed, at most one more than `room`."""
    label = name.decode("ascii")
    keyword, _, text = body.partition(b"\0")
    packed = name != b"tEXt"
    if name == b"iTXt":  # compression flag, method, language, translated keyword
        packed = text[:1] == b"\1"
        text = text[1:2] + b"".join(text[2:].split(b"\0", 2)[2:])
    if name != b"tEXt" and text[:1] != b"\0":
        bad[label] = "damaged"
        return 0
    text = text[1:] if name != b"tEXt" else text
    if packed:
        unpacker = zlib.decompressobj()
        try:
            text = unpacker.decompress(text, room + 1)
        except zlib.error:
            bad[label] = "damaged"
            return 0
        if not unpacker.eof and len(text) <= room:
            bad[label] = "damaged"
    if len(text) > (room if packed else MIB):
        bad[label] = "over 1 MiB"
    if keyword == b"XML:com.adobe.xmp" and name == b"iTXt":
        info["xmp"] = text
    elif keyword == b"Raw profile type exif" and name in (b"tEXt", b"zTXt"):
        info["Raw profile type exif"] = text.decode("latin-1")
    return len(text) if packed else 0


def _made(name: bytes, body: bytes | memoryview) -> bytes:
    return b"".join((struct.pack(">I", len(body)), name, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))))
