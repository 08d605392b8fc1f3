"""Read a large PNG scaled down, a band of rows at a time, so that its pixels are never in memory at once.

The rows are decompressed as a stream. Each band becomes a small PNG that Pillow decodes: same header, fewer rows, and
the last row of the band above first, since PNG stores rows as differences from the row above (PNG 3rd ed., 9.2).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from PIL import Image

from core.images.bands import BAND, Shrinker
from core.images.colour import normalised, upright

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MOST_WORK: Final = 10  # times the pixel limit: a file of few bytes may claim many pixels
_STORED: Final = 0  # level of compression
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PIECE: Final = 1 << 20  # bytes that are decompressed at a time


@dataclass(frozen=True, slots=True)
class _Header:
    """The chunks before the pixels."""

    width: int
    height: int
    depth: int
    colour: int
    chunks: bytes
    """Those that decide how pixels are read, such as the palette."""

    @property
    def row_bytes(self) -> int:
        return -(-self.width * self.depth * _CHANNELS[self.colour] // 8)

    @property
    def raw_mode(self) -> str | None:
        """How Pillow gives back the stored bytes of a row; None where it cannot."""
        if self.depth == 8:
            return ""
        if self.colour == 3:
            return f"P;{self.depth}"
        return {1: "1", 16: "I;16B"}.get(self.depth) if self.colour == 0 else None


def read_scaled_png(
    image: Image.Image, data: bytes, max_pixels: int, quoted: str
) -> tuple[Image.Image, list[str]] | None:
    """(upright RGB image of at most `max_pixels`, notes) of a PNG that is opened but not decoded.

    None if it is interlaced, or of 16 bits with colour. Raises what decoders raise.
    """
    header = _header(data)
    if header is None or header.width > max_pixels or header.width * header.height > MOST_WORK * max_pixels:
        return None
    shrinker, notes = Shrinker((header.width, header.height), max_pixels), dict[str, None]()
    for band in _bands(header, data):
        rgb, remarks = normalised(band, "PNG", quoted, turned=True)
        notes.update(dict.fromkeys(remarks))
        shrinker.add(rgb)
    about = Image.new("1", (1, 1))  # Pillow would decode `image` to find EXIF data after the pixels
    exif = next((data[begin:end] for kind, begin, end in _chunks(data) if kind == b"eXIf"), None)
    about.info = {**image.info, **({"exif": exif} if exif else {})}
    canvas, note = upright(about, shrinker.canvas)
    canvas.info = {}
    return canvas, [*notes, *([note] if note else [])]


def _bands(header: _Header, data: bytes) -> Iterator[Image.Image]:
    rows, before, done = max(1, BAND // header.width), b"", 0
    step = header.row_bytes + 1  # with the byte that names the filter
    waiting = bytearray()
    for piece in _decompressed(data, header.height * step):
        waiting += piece
        while done < header.height and len(waiting) >= (count := min(rows, header.height - done)) * step:
            band: Image.Image = Image.open(
                BytesIO(_small(header, before, bytes(waiting[: count * step]))), formats=["PNG"]
            )
            band.load()
            before = b"\0" + _stored_row(band, header)
            if done:
                crop = band.crop((0, 1, band.width, band.height))
                crop.info, band = band.info, crop
            yield band
            del waiting[: count * step]
            done += count
    if done < header.height:
        raise OSError("image file is truncated")


def _stored_row(band: Image.Image, header: _Header) -> bytes:
    last = band.crop((0, band.height - 1, band.width, band.height))
    return last.tobytes("raw", header.raw_mode) if header.raw_mode else last.tobytes()


def _small(header: _Header, before: bytes, rows: bytes) -> bytes:
    height = (len(before) + len(rows)) // (header.row_bytes + 1)
    about = struct.pack(">IIBBBBB", header.width, height, header.depth, header.colour, 0, 0, 0)
    pixels = zlib.compress(before + rows, _STORED)
    return b"".join((_SIGNATURE, _chunk(b"IHDR", about), header.chunks, _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, begin, end) of the content of each chunk."""
    at = len(_SIGNATURE)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at + 8, min(at + 8 + length, len(data))
        at += 12 + length


def _header(data: bytes) -> _Header | None:
    about, kept = b"", []
    for kind, begin, end in _chunks(data):
        if kind == b"IHDR":
            about = data[begin:end]
        elif kind in (b"PLTE", b"tRNS", b"iCCP"):
            kept.append(_chunk(kind, data[begin:end]))
        elif kind in (b"cICP", b"IDAT"):  # HDR is mapped by the levels of the whole picture
            if kind == b"cICP":
                return None
            break
    if len(about) != 13:
        return None
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", about)
    header = _Header(width, height, depth, colour, b"".join(kept))
    sound = colour in _CHANNELS and width > 0 and height > 0 and not interlaced
    return header if sound and header.raw_mode is not None else None


def _decompressed(data: bytes, most: int) -> Iterator[bytes]:
    """The filtered rows, at most `most` bytes in all."""
    stream, left = zlib.decompressobj(), most
    for kind, begin, end in _chunks(data):
        for at in range(begin, end, _PIECE) if kind == b"IDAT" else ():
            waiting = data[at : min(at + _PIECE, end)]
            while waiting and left >= 0:  # at 0, the checksum follows
                piece = stream.decompress(waiting, min(left + 1, 4 * _PIECE))
                left -= len(piece)
                waiting = stream.unconsumed_tail
                yield piece
