"""Read a large TIFF scaled down, a band of strips or tiles at a time, so that its pixels are never in memory at once.

Each band becomes a small TIFF that Pillow decodes: same tags, fewer strips.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from math import ceil, isqrt
from typing import Any, BinaryIO, Final, Protocol

from PIL import Image, ImageOps, TiffImagePlugin

from core.images.colour import normalised
from core.images.salvage import TIFF_TAGS

BAND: Final = 4_000_000  # pixels that are decoded at a time, if strips allow
MOST_WORK: Final = 40  # times the pixel limit
_WIDTH, _HEIGHT, _COMPRESSION, _ORIENTATION, _SAMPLES, _PLANAR = 256, 257, 259, 274, 277, 284
_STRIPS, _ROWS, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 273, 278, 279, 322, 323, 324, 325
_OLD_JPEG: Final = 6


class Slices(Protocol):
    """Bytes, or a file of which pieces are read: `data[start:stop]`."""

    def __getitem__(self, part: slice, /) -> bytes: ...


class FileSlices:
    """The pieces of an open file. Not mapped into memory: a file that somebody cuts would end the process."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __getitem__(self, part: slice, /) -> bytes:
        self._file.seek(part.start)
        return self._file.read(max(0, part.stop - part.start))


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the pixels are cut: `across` pieces beside each other, `rows` high each."""

    tags: Any
    prefix: bytes
    width: int
    height: int
    rows: int
    across: int
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    tiled: bool

    @property
    def down(self) -> int:
        return ceil(self.height / self.rows)


class Shrinker:
    """Puts bands of RGB pixels together from top to bottom, scaled down to at most `max_pixels`, in `canvas`."""

    def __init__(self, size: tuple[int, int], max_pixels: int) -> None:
        (width, self._left), pixels = size, size[0] * size[1]
        factor = isqrt(-(-pixels // max_pixels) - 1) + 1  # the square root, rounded up
        while ceil(width / factor) * ceil(size[1] / factor) > max_pixels:
            factor += 1
        self.canvas = Image.new("RGB", (ceil(width / factor), ceil(size[1] / factor)))
        self._factor = factor
        self._waiting: Image.Image | None = None
        self._top = 0

    def add(self, band: Image.Image) -> None:
        """Add the next rows; those that do not fill a row of the canvas wait for more, except at the bottom."""
        self._left -= band.height
        band = _stacked(self._waiting, band)
        whole = band.height // self._factor * self._factor if self._left > 0 else band.height
        if whole:
            small = band.crop((0, 0, band.width, whole)).reduce(self._factor)
            self.canvas.paste(small, (0, self._top))
            self._top += small.height
        self._waiting = band.crop((0, whole, band.width, band.height)) if whole < band.height else None


def read_scaled(image: Image.Image, data: Slices, max_pixels: int, quoted: str) -> tuple[Image.Image, list[str]] | None:
    """(upright RGB image of at most `max_pixels`, notes) of a TIFF that is opened but not decoded.

    None if its strips are too large, or its values can only be scaled all together. Raises what decoders raise.
    """
    layout = _layout(image)
    if layout is None:
        return None
    pixels = layout.width * layout.height  # as stored: Pillow's size is the upright one
    if layout.rows * layout.width > max_pixels or pixels > MOST_WORK * max_pixels:
        return None
    shrinker = Shrinker((layout.width, layout.height), max_pixels)
    notes: dict[str, None] = {}
    for blob in _bands(layout, data):
        band = Image.open(BytesIO(blob), formats=["TIFF"])
        band.load()
        if band.mode in ("I", "F"):
            return None
        if profile := image.info.get("icc_profile"):
            band.info["icc_profile"] = profile
        rgb, remarks = normalised(band, "TIFF", quoted, turned=True)
        notes.update(dict.fromkeys(remarks))
        shrinker.add(rgb)
    exif = Image.Exif()
    exif[_ORIENTATION] = layout.tags.get(_ORIENTATION, 1)
    canvas = shrinker.canvas
    canvas.info = {"exif": exif.tobytes()}
    canvas = ImageOps.exif_transpose(canvas)
    canvas.info = {}
    return canvas, list(notes)


def _stacked(above: Image.Image | None, below: Image.Image) -> Image.Image:
    if above is None:
        return below
    both = Image.new("RGB", (below.width, above.height + below.height))
    both.paste(above, (0, 0))
    both.paste(below, (0, above.height))
    return both


def _layout(image: Image.Image) -> _Layout | None:
    tags: Any = getattr(image, "tag_v2", {})
    tiled = _TILES in tags
    offsets = tuple(tags.get(_TILES if tiled else _STRIPS, ()))
    lengths = tuple(tags.get(_TILE_BYTES if tiled else _STRIP_BYTES, ()))
    width, height = int(tags.get(_WIDTH, 0)), int(tags.get(_HEIGHT, 0))
    rows = min(int(tags.get(_TILE_HEIGHT if tiled else _ROWS, height)), height)
    side = int(tags.get(_TILE_WIDTH, width)) if tiled else width
    if min(rows, side) < 1 or tags.get(_COMPRESSION) == _OLD_JPEG:
        return None
    layout = _Layout(tags, bytes(tags.prefix), width, height, rows, ceil(width / side), offsets, lengths, tiled)
    if len(offsets) != len(lengths) or len(offsets) < layout.across * layout.down * _planes(tags):
        return None
    return layout


def _planes(tags: Any) -> int:
    return int(tags.get(_SAMPLES, 1)) if tags.get(_PLANAR, 1) == 2 else 1


def _bands(layout: _Layout, data: Slices) -> Iterator[bytes]:
    """TIFFs of some rows each, from top to bottom."""
    group = max(1, BAND // (layout.width * layout.rows))
    planes, pieces = _planes(layout.tags), layout.across * layout.down
    for first in range(0, layout.down, group):
        stop = min(first + group, layout.down)
        numbers = [
            plane * pieces + number
            for plane in range(planes)
            for number in range(first * layout.across, stop * layout.across)
        ]
        height = min(stop * layout.rows, layout.height) - first * layout.rows
        yield _small_tiff(layout, data, numbers, height)


def _small_tiff(layout: _Layout, data: Slices, numbers: list[int], height: int) -> bytes:
    """A TIFF of the pieces `numbers`, in the byte order of the original."""
    body: list[bytes] = []
    places: list[int] = []  # from the end of the directory on
    at = 0
    for number in numbers:
        piece = data[layout.offsets[number] : layout.offsets[number] + layout.lengths[number]]
        places.append(at)
        body.append(piece + b"\0" * (len(piece) & 1))
        at += len(body[-1])
    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=layout.prefix)
    for tag, value in layout.tags.items():
        if tag in TIFF_TAGS and tag not in (254, 255, _ORIENTATION):
            directory.tagtype[tag] = layout.tags.tagtype[tag]
            directory[tag] = value
    directory[_HEIGHT] = height
    if not layout.tiled:
        directory[_ROWS] = layout.rows
    lengths, offsets = (_TILE_BYTES, _TILES) if layout.tiled else (_STRIP_BYTES, _STRIPS)
    directory.tagtype[lengths] = directory.tagtype[offsets] = 4
    directory[lengths] = tuple(layout.lengths[number] for number in numbers)
    directory[offsets] = tuple(places)
    if layout.tiled:  # for strips, Pillow adds the place of the directory's end
        end = 8 + len(directory.tobytes(8))
        directory[offsets] = tuple(end + place for place in places)
    order = "<" if layout.prefix == b"II" else ">"
    return struct.pack(f"{order}2sHI", layout.prefix, 42, 8) + directory.tobytes(8) + b"".join(body)
