"""Decode the bytes of a picture of a known format: limits first, then the decoder of that format alone.

A picture of more pixels than allowed is decoded scaled down where its format permits that without all its pixels in
memory: JPEG and JPEG 2000 by their transforms, TIFF by strips or tiles, PNG by rows, HEIC and camera raw by their
previews.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.util import find_spec
from io import BytesIO
from typing import Any, BinaryIO, Final

from PIL import Image, _imaging, features

from core.errors import ImageError
from core.images import heif, jxl, raw
from core.images.bands import FileSlices, read_scaled
from core.images.colour import normalised
from core.images.file_type import NAMES, Kind, header_size
from core.images.isobmff import read_main_picture, with_thumbnail_as_main
from core.images.jpeg import DamagedError, JpegParts, check_whole, parse_jpeg, scale_for
from core.images.png_bands import read_scaled_png
from core.images.salvage import NOTE, without_metadata

SMALLEST_PREVIEW: Final = 160  # pixels of the longer side of a HEIC thumbnail that is worth a caption
_COUNT_FRAMES_BELOW = 8_000_000  # bytes; counting reads the whole file, so a large one only gets "first of several"
_FEATURES: Final[dict[Kind, str]] = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}  # optional in Pillow
_MODULES: Final[dict[Kind, str]] = {"HEIF": "pi_heif", "JXL": "imagecodecs", "RAW": "rawpy"}
HOW_TO_GET: Final[dict[Kind, str]] = {
    "HEIF": "pip install pi-heif",
    "JXL": "pip install 'inquisight[jxl]'",
    "RAW": "pip install 'inquisight[raw]'",
}
_ONE_FRAME: frozenset[Kind] = frozenset({"JPEG", "BMP", "JPEG2000", "PPM", "ICO"})  # more in one: previews, sizes
_J2K_LEVELS: Final = re.compile(rb"\xff\x52.{7}(.)", re.DOTALL)  # COD: the number of halvings (T.800 A.6.1)
_PNG_COLOURS: Final = re.compile(rb"\x00\x00\x00\x04cICP(.)(.)", re.DOTALL)  # PNG 3rd ed., 11.3.2.6
_pillow_limit_lock = threading.Lock()


@dataclass(slots=True)
class _Loaded:
    """A decoded image before its conversion to RGB."""

    image: Image.Image
    notes: list[str] = field(default_factory=list)
    primaries: int = 2  # H.273 code points; 2: not specified
    transfer: int = 2
    turned: bool = False  # the decoder has made it upright
    full: tuple[int, int] | None = None  # (width, height) of the file, if the image is scaled down
    converted: bool = False  # the image is upright RGB already


@cache
def can_decode(kind: Kind) -> bool:
    """Whether the decoder of a format is installed."""
    if kind in _MODULES:
        return find_spec(_MODULES[kind]) is not None
    return kind not in _FEATURES or bool(features.check(_FEATURES[kind]))


def supported() -> str:
    """The formats whose decoders are installed, separated by commas."""
    return ", ".join(name for kind, name in NAMES.items() if can_decode(kind))


def check_size(size: tuple[int, int] | None, max_pixels: int, quoted: str) -> None:
    """Raise ImageError for a picture without pixels or with too many."""
    if size is None:
        return
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{quoted} has no pixels ({width} x {height}).")
    if width * height > max_pixels:
        raise ImageError(
            f"{quoted} has {width} x {height} pixels, more than the {max_pixels:,} allowed; "
            "scale it down, or raise the limit (INQUISIGHT_MAX_PIXELS).",
            "too large",
        )


def decode(kind: Kind, data: bytes, max_pixels: int, quoted: str) -> tuple[Image.Image, list[str]]:
    """(upright RGB image of at most `max_pixels`, notes). Raises ImageError, and whatever a decoder raises."""
    if kind == "RAW":
        decode_jpeg = partial(decode, "JPEG", max_pixels=max_pixels, quoted=quoted)
        image, notes = raw.decode(data, max_pixels, quoted, decode_jpeg)
        check_size(image.size, max_pixels, quoted)
        return image, notes
    try:
        return _decode_file(kind, data, max_pixels, quoted)
    except (ImageError, MemoryError):
        raise
    except Exception:
        if (reduced := without_metadata(kind, data)) is None:
            raise
    image, notes = _decode_file(kind, reduced, max_pixels, quoted)
    return image, [*notes, NOTE]


def decode_large_tiff(file: BinaryIO, max_pixels: int, quoted: str) -> tuple[Image.Image, list[str]]:
    """As `decode`, for a TIFF that is too large to be read into memory: pieces of the file are read where it lies."""
    _silence_libtiff()
    with pillow_limit(None):
        image = Image.open(file, formats=["TIFF"])
    full = image.size
    if full[0] * full[1] <= max_pixels:
        with pillow_limit(full[0] * full[1]):
            image.load()
        rgb, notes = normalised(image, "TIFF", quoted)
    else:
        scaled = read_scaled(image, FileSlices(file), max_pixels, quoted)
        if scaled is None:
            check_size(full, max_pixels, quoted)
            raise DamagedError
        rgb, notes = scaled
        notes = [_scaled_note(full, rgb.size), *notes]
    return rgb, [*notes, *thin_note(rgb)]


def load(kind: str, data: bytes) -> Image.Image:
    """Open lazily, with Pillow's decoder of `kind` alone. The caller checks the size."""
    if kind == "TIFF":
        _silence_libtiff()
    try:
        return Image.open(BytesIO(data), formats=[kind])
    except Image.DecompressionBombError:
        with pillow_limit(None):
            return Image.open(BytesIO(data), formats=[kind])


@contextmanager
def pillow_limit(pixels: int | None) -> Iterator[None]:
    """Raise Pillow's global pixel limit to `pixels`, which the caller has checked; None lifts it."""
    if Image.MAX_IMAGE_PIXELS is None or (pixels is not None and pixels <= Image.MAX_IMAGE_PIXELS):
        yield
        return
    with _pillow_limit_lock:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def thin_note(image: Image.Image) -> list[str]:
    """The note for a picture of one row or column."""
    if min(image.size) > 1 or max(image.size) == 1:
        return []
    return [f"only one pixel {'wide' if image.width == 1 else 'high'}"]


def _decode_file(kind: Kind, data: bytes, max_pixels: int, quoted: str) -> tuple[Image.Image, list[str]]:
    if kind == "HEIF":
        loaded = _load_heif(data, max_pixels, quoted)
    elif kind == "JXL":
        loaded = _load_jxl(data, max_pixels, quoted)
    else:
        loaded = _load_by_pillow(kind, data, max_pixels, quoted)
    rgb = loaded.image
    remarks: list[str] = []
    if not loaded.converted:
        rgb, remarks = normalised(
            loaded.image,
            kind,
            quoted,
            primaries=loaded.primaries,
            transfer=loaded.transfer,
            turned=loaded.turned,
        )
    notes = [*loaded.notes, *remarks, *thin_note(rgb)]
    if loaded.full is not None:
        notes.insert(0, _scaled_note(loaded.full, rgb.size))
    return rgb, notes


def _scaled_note(full: tuple[int, int], size: tuple[int, int]) -> str:
    """Both sizes, since boxes of witnesses are measured in the smaller one."""
    if (full[0] < full[1]) != (size[0] < size[1]):
        full = (full[1], full[0])
    return f"scaled down from {full[0]} x {full[1]} to {size[0]} x {size[1]} pixels, in which boxes are measured"


def _load_by_pillow(kind: Kind, data: bytes, max_pixels: int, quoted: str) -> _Loaded:
    jpeg = parse_jpeg(data) if kind == "JPEG" else None
    data = jpeg.data if jpeg else data
    if kind != "JPEG2000":
        check_size(header_size(kind, data), max_pixels, quoted)
    image = load(kind, data)
    size = header_size(kind, data) or image.size
    scaled = None
    if size[0] * size[1] > max_pixels:
        scaled = _scaled(kind, image, data, jpeg, max_pixels, quoted)
        if scaled is None:
            check_size(size, max_pixels, quoted)
    check_size((min(size[0], 1), min(size[1], 1)), max_pixels, quoted)
    loaded = scaled or _Loaded(image)
    with pillow_limit(image.width * image.height):
        loaded.notes += [remark] if (remark := _frames_note(kind, data)) else []
        if not loaded.converted:
            image.load()
        if jpeg:
            scale = 1 if scaled is None else -(-size[0] // image.width)
            check_whole(jpeg.scans, partial(_pixels, scale=scale), grey_corner=_grey_corner(image))
            image.info.update(jpeg.info)
            loaded.notes += jpeg.notes
    if kind == "AVIF":
        main = read_main_picture(data)
        loaded.primaries, loaded.transfer = main.primaries, main.transfer
    elif kind == "PNG" and (colours := _PNG_COLOURS.search(data[:4096])):
        loaded.primaries, loaded.transfer = colours[1][0], colours[2][0]
    return loaded


def _scaled(
    kind: Kind, image: Image.Image, data: bytes, jpeg: JpegParts | None, max_pixels: int, quoted: str
) -> _Loaded | None:
    """`image` set up to be decoded scaled down, or decoded; None where that is not possible."""
    full = image.size
    if jpeg is not None:
        scale = scale_for(jpeg.scans, full, max_pixels)
        if scale is None:
            return None
        image.draft(None, (full[0] // scale, full[1] // scale))
        return _Loaded(image, full=full) if image.width * image.height <= max_pixels else None
    if kind == "JPEG2000" and header_size(kind, data) == full:
        found = _J2K_LEVELS.search(data)
        for halvings in range(1, 1 + min(found[1][0] if found else 0, 16)):
            if (full[0] >> halvings) * (full[1] >> halvings) <= max_pixels:
                image.reduce = halvings  # type: ignore[method-assign,assignment]
                return _Loaded(image, full=full)
    if kind == "TIFF":
        _silence_libtiff()
        if (read := read_scaled(image, data, max_pixels, quoted)) is not None:
            return _Loaded(read[0], read[1], full=full, converted=True)
    if kind == "PNG" and (read := read_scaled_png(image, data, max_pixels, quoted)) is not None:
        return _Loaded(read[0], read[1], full=full, converted=True)
    return None


def _load_heif(data: bytes, max_pixels: int, quoted: str) -> _Loaded:
    main = read_main_picture(data)
    full = main.size
    notes = []
    if full is not None and full[0] * full[1] > max_pixels:
        preview = with_thumbnail_as_main(data, main)
        if preview is None or main.thumbnail is None or max(main.thumbnail[1]) < SMALLEST_PREVIEW:
            check_size(full, max_pixels, quoted)
            raise AssertionError
        check_size(main.thumbnail[1], max_pixels, quoted)
        data = preview
        notes = ["only its preview was read"]
    else:
        full = None
    if not main.sound:
        raise DamagedError
    opened = heif.open_heif(data, main)
    check_size(opened.size, max_pixels, quoted)
    image, remarks = opened.load(main)
    if opened.note and full is None:
        notes.append(opened.note)
    deep = bool(remarks)  # the pixels are sRGB already
    return _Loaded(
        image,
        [*notes, *remarks],
        primaries=2 if deep else main.primaries,
        transfer=2 if deep else main.transfer,
        turned=True,
        full=full,
    )


def _load_jxl(data: bytes, max_pixels: int, quoted: str) -> _Loaded:
    header = jxl.read_header(data)
    if header is None:
        raise DamagedError
    check_size((header.width, header.height), max_pixels, quoted)
    if header.width * header.height * header.channels > 4 * max_pixels:
        raise ImageError(f"{quoted} has {header.channels} channels; export it as PNG or JPEG.")
    notes = ["animated: first of several frames"] if header.animated else []
    if header.unapplied_icc:
        notes.append("its colour profile was not applied")
    image = jxl.decode(data)
    return _Loaded(image, notes, primaries=header.primaries, transfer=header.transfer, turned=True)


@cache
def _silence_libtiff() -> None:
    """Stop libtiff from writing to standard error; Pillow keeps libtiff's default handlers."""
    try:
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            getattr(library, name)(None)
    except (OSError, AttributeError):  # linked statically, or absent
        return


def _pixels(data: bytes, *, scale: int) -> bytes:
    """A digest of the pixels of a JPEG, scaled down by the decoder."""
    image = load("JPEG", data)
    if scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))
    image.load()
    return hashlib.sha256(image.tobytes()).digest()


def _grey_corner(image: Image.Image) -> bool:
    """Whether the last pixel is mid-grey, which libjpeg writes where data is missing."""
    last = image.crop((image.width - 1, image.height - 1, *image.size))
    grey = last.getchannel("K") if image.mode == "CMYK" else last.convert("L")
    return grey.getpixel((0, 0)) in range(126, 131)


def _frames_note(kind: Kind, data: bytes) -> str | None:
    """The note for a file with several frames or pages, of which only the first is used."""
    if kind in _ONE_FRAME:
        return None
    image: Any = load(kind, data)
    try:
        if not getattr(image, "is_animated", False):
            return None
        count = f"first of {image.n_frames}" if len(data) < _COUNT_FRAMES_BELOW else "first of several"
    except Exception:  # a damaged later frame does not affect the first
        count = "first of several"
    return f"{count} pages" if kind == "TIFF" else f"animated: {count} frames"
