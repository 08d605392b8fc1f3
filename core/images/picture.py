"""Open a picture from a path, bytes, a file object, standard input, a PIL image or a NumPy array.

The result is always upright, opaque 8-bit RGB. Everything else ends in one ImageError with the file, the reason and
the way out. Messages of decoders are never shown, because they can contain memory addresses and paths.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import stat
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

from PIL import Image, ImageMath, ImageOps, _imaging, features

from core.errors import ImageError, printable, why
from core.files.paths import why_missing
from core.images.file_type import WORDS, Kind, explain, header_size, sniff
from core.images.jpeg import check_whole, parse_jpeg
from core.images.salvage import NOTE, without_metadata
from core.records import PictureInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PIXELS = 100_000_000
MAX_BYTES = 200_000_000
_COUNT_FRAMES_BELOW = 8_000_000  # bytes; counting reads the whole file, so a large one only gets "first of several"
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262
_FEATURES: dict[Kind, str] = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}  # optional in Pillow
_ONE_FRAME: frozenset[Kind] = frozenset({"JPEG", "BMP", "JPEG2000", "PPM", "ICO"})  # more in one: previews, sizes
_pillow_limit_lock = threading.Lock()

PictureSource: TypeAlias = "str | Path | bytes | BinaryIO | Image.Image | NDArray[Any] | Picture"
"""What `open_picture` takes."""

# Pillow warns about odd EXIF blocks, short reads and large pictures. What matters to users is an ImageError here.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture: upright, opaque RGB."""

    image: Image.Image = field(repr=False, compare=False)  # mode RGB, (height, width)
    sha256: str  # hex, of the original bytes; of the RGB pixels if the source was a PIL image or an array
    source: str  # path or description, safe to print
    note: str | None = None  # for the user, e.g. "animated: first of 12 frames"

    @property
    def width(self) -> int:
        """Pixels from left to right, after orientation."""
        return self.image.width

    @property
    def height(self) -> int:
        """Pixels from top to bottom, after orientation."""
        return self.image.height

    def info(self) -> PictureInfo:
        """The record of this picture, without its pixels."""
        return PictureInfo(sha256=self.sha256, source=self.source, width=self.width, height=self.height, note=self.note)


def open_picture(
    source: PictureSource,
    *,
    max_pixels: int | None = None,
    max_bytes: int = MAX_BYTES,
    name: str | None = None,
) -> Picture:
    """Read and decode one picture in any format of `core.images.file_type.Kind`; `"-"` reads standard input.

    A NumPy array has the shape (height, width) or (height, width, 1, 3 or 4 channels) and the type uint8, uint16,
    bool, or float between 0 and 1; four channels are RGBA. A Picture is returned unchanged. The pixel count is read
    from the header and checked before decoding; `max_pixels=None` means INQUISIGHT_MAX_PIXELS. `name` replaces the
    source in messages and records. Raises ImageError.
    """
    if max_pixels is None:
        from core.settings import get_settings

        max_pixels = get_settings().max_pixels
    if isinstance(source, Picture):
        return replace(source, source=printable(name, limit=None)) if name else source
    if isinstance(source, Image.Image):
        label = name or str(getattr(source, "filename", "") or "PIL image")
        return _from_pil(source, max_pixels, label)
    numpy = sys.modules.get("numpy")  # imported already if the source is an array
    # Another thread may be importing numpy at this moment; then the source is no array.
    if numpy is not None and hasattr(numpy, "ndarray") and isinstance(source, numpy.ndarray):
        label = name or "NumPy array"
        return _from_pil(_from_array(source, max_pixels, f"'{printable(label)}'"), max_pixels, label)
    data, label = _read(source, max_bytes, name)
    quoted = f"'{printable(label)}'"
    kind = sniff(data)
    if kind is None:
        raise ImageError(f"{quoted} is {explain(data)}.")
    if not can_decode(kind):
        raise ImageError(
            f"{quoted} is {WORDS[kind]} picture, and the installed Pillow cannot decode those; "
            "pip install --upgrade pillow, or export it as PNG or JPEG."
        )
    _check_size(header_size(kind, data), max_pixels, quoted)
    try:
        image, notes = _decode(kind, data, max_pixels, quoted)
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(f"{quoted} does not fit into memory; scale it down first.") from None
    except Exception:  # decoders raise OSError, SyntaxError, ValueError, struct.error, KeyError and more
        layout = (
            ", or has a pixel layout that is not supported," if kind == "TIFF" else ""
        )  # 64-bit floats, for example
        raise ImageError(
            f"{quoted} is {WORDS[kind]} file that is truncated or damaged{layout} and cannot be decoded; "
            "copy, download or export it again.",
            "truncated",
        ) from None
    return Picture(
        image=image,
        sha256=hashlib.sha256(data).hexdigest(),
        source=printable(label, limit=None),
        note="; ".join(notes) or None,
    )


@cache
def can_decode(kind: Kind) -> bool:
    """Whether the installed Pillow has the library for a format."""
    return kind not in _FEATURES or bool(features.check(_FEATURES[kind]))


def _read(source: PictureSource, max_bytes: int, name: str | None) -> tuple[bytes, str]:
    """(bytes, label). Never reads more than `max_bytes` + 1."""
    if isinstance(source, bytes | bytearray | memoryview):
        data, label = bytes(source), name or "picture from memory"
    elif isinstance(source, str | Path) and str(source) != "-":
        label = name or str(source)
        data = _read_path(str(source), max_bytes, f"'{printable(label)}'")
    else:
        stream: Any = source
        if isinstance(source, str | Path):
            stream, label = getattr(sys.stdin, "buffer", sys.stdin), name or "standard input"
            if stream is None or (hasattr(stream, "isatty") and stream.isatty()):
                raise ImageError("'-' reads a picture from standard input, but nothing is piped into it.")
        elif callable(getattr(source, "read", None)):
            label = name or str(getattr(source, "name", "") or "picture from a file object")
        else:
            raise ImageError(
                "a picture is a path, bytes, an open file, a PIL image or a NumPy array, "
                f"not a {type(source).__name__}."
            )
        data = _read_stream(stream, max_bytes, f"'{printable(label)}'")
    _check_bytes(len(data), max_bytes, f"'{printable(label)}'")
    return data, label


def _read_path(path: str, max_bytes: int, quoted: str) -> bytes:
    if path.lower().startswith(("http://", "https://")):
        raise ImageError(f"{quoted} is a web address; download the picture and name the file.")
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{quoted} is a folder, not a picture; name a file in it.")
        if not stat.S_ISREG(status.st_mode):  # a named pipe may block for ever, a device never ends
            raise ImageError(f"{quoted} is not a regular file; pipe its bytes in and name '-' instead.")
        _check_bytes(status.st_size, max_bytes, quoted)
        with open(path, "rb") as file:
            return file.read(max_bytes + 1)
    except FileNotFoundError:
        raise ImageError(f"{quoted} does not exist{why_missing(path)}; check the path.") from None
    except ValueError:  # a NUL inside the name
        raise ImageError(f"{quoted} cannot be a file name; check the path.") from None
    except OSError as error:
        raise ImageError(f"{quoted} cannot be read: {why(error)}.") from None


def _read_stream(stream: BinaryIO, max_bytes: int, quoted: str) -> bytes:
    """All of `stream`; sockets and raw pipes return less than requested at a time."""
    parts: list[bytes] = []
    size = 0
    try:
        while size <= max_bytes:
            part = stream.read(min(1 << 20, max_bytes + 1 - size))
            if not part:
                break
            if not isinstance(part, bytes):
                raise ImageError(f"{quoted} was opened as text; open it in binary mode.")
            parts.append(part)
            size += len(part)
    except (OSError, ValueError) as error:  # ValueError: closed file, or undecodable text
        reason = (isinstance(error, OSError) and error.strerror) or "it is closed or not binary"
        raise ImageError(f"{quoted} cannot be read: {reason.lower()}.") from None
    return b"".join(parts)


def _from_pil(image: Image.Image, max_pixels: int, label: str) -> Picture:
    """The current frame of `image`, copied."""
    quoted = f"'{printable(label)}'"
    _check_size(image.size, max_pixels, quoted)
    try:
        with _pillow_limit(image.width * image.height):
            image.load()
        rgb, notes = _normalised(image, cast(Kind, image.format), quoted)
    except ImageError:
        raise
    except Exception:  # its file is truncated or closed, or its mode cannot be converted
        raise ImageError(
            f"{quoted} is a PIL image of mode {printable(image.mode)} that cannot be converted to RGB; name its file "
            "instead, or load and convert it first."
        ) from None
    digest = hashlib.sha256(f"RGB {rgb.width} x {rgb.height}\n".encode())
    digest.update(rgb.tobytes())
    return Picture(rgb, digest.hexdigest(), printable(label, limit=None), "; ".join([*notes, *_thin(rgb)]) or None)


def _from_array(array: NDArray[Any], max_pixels: int, quoted: str) -> Image.Image:
    """An image of mode L, RGB or RGBA with the values scaled to 8 bits."""
    import numpy as np

    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise ImageError(
            f"{quoted} has the shape {array.shape}; a picture has (height, width), (height, width, 3) or "
            "(height, width, 4)."
        )
    height, width = array.shape[:2]
    _check_size((width, height), max_pixels, quoted)
    if np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ImageError(f"{quoted} holds floats outside of 0 to 1; scale them, or convert them to uint8.")
        array = (array * 255).round()
    elif array.dtype == np.uint16:
        array = (array + 128.0) // 257  # 65535 is white
    elif array.dtype == bool:
        array = array * 255
    elif array.dtype != np.uint8:
        raise ImageError(f"{quoted} holds values of type {array.dtype}; convert them to uint8.")
    eight_bit = np.ascontiguousarray(array, dtype=np.uint8)
    return Image.fromarray(eight_bit[:, :, 0] if array.ndim == 3 and channels == 1 else eight_bit)


def _check_bytes(size: int, max_bytes: int, quoted: str) -> None:
    if size == 0:
        raise ImageError(f"{quoted} is empty (0 bytes); copy, download or export it again.", "empty")
    if size > max_bytes:
        raise ImageError(f"{quoted} is larger than the {max_bytes:,} bytes allowed; scale it down first.", "too large")


def _check_size(size: tuple[int, int] | None, max_pixels: int, quoted: str) -> None:
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


def load(kind: str, data: bytes) -> Image.Image:
    """Open lazily, with the decoder of `kind` alone. The caller checks the size."""
    if kind == "TIFF":
        _silence_libtiff()
    try:
        return Image.open(BytesIO(data), formats=[kind])
    except Image.DecompressionBombError:
        with _pillow_limit(None):
            return Image.open(BytesIO(data), formats=[kind])


@cache
def _silence_libtiff() -> None:
    """Stop libtiff from writing to standard error; Pillow keeps libtiff's default handlers."""
    try:
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            getattr(library, name)(None)
    except (OSError, AttributeError):  # linked statically, or absent
        return


def _decode(kind: Kind, data: bytes, max_pixels: int, quoted: str) -> tuple[Image.Image, list[str]]:
    """(upright RGB image, notes). May raise whatever a decoder raises."""
    try:
        return _decode_file(kind, data, max_pixels, quoted)
    except (ImageError, MemoryError):
        raise
    except Exception:
        if (reduced := without_metadata(kind, data)) is None:
            raise
    image, notes = _decode_file(kind, reduced, max_pixels, quoted)
    return image, [*notes, NOTE]


def _decode_file(kind: Kind, data: bytes, max_pixels: int, quoted: str) -> tuple[Image.Image, list[str]]:
    jpeg = parse_jpeg(data) if kind == "JPEG" else None
    data = jpeg.data if jpeg else data
    image = load(kind, data)
    _check_size(image.size, max_pixels, quoted)
    with _pillow_limit(image.width * image.height):
        notes = [remark] if (remark := _frames_note(kind, data)) else []
        image.load()
        if jpeg:
            check_whole(jpeg.scans, _pixels, grey_corner=_grey_corner(image))
            image.info.update(jpeg.info)
            notes += jpeg.notes
    rgb, remarks = _normalised(image, kind, quoted)
    return rgb, [*notes, *remarks, *_thin(rgb)]


def _normalised(image: Image.Image, kind: Kind, quoted: str) -> tuple[Image.Image, list[str]]:
    """(upright RGB copy without metadata, notes) of a loaded image."""
    rgb, converted = _to_rgb(image, kind, quoted)
    rgb, turned = _upright(image, rgb)
    rgb.info = {}  # drops comments, profiles and EXIF with its location
    return rgb, [note for note in (converted, turned) if note]


def _thin(image: Image.Image) -> list[str]:
    if min(image.size) > 1 or max(image.size) == 1:
        return []
    return [f"only one pixel {'wide' if image.width == 1 else 'high'}"]


@contextmanager
def _pillow_limit(pixels: int | None) -> Iterator[None]:
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


def _pixels(data: bytes) -> bytes:
    """A digest of the pixels of a JPEG."""
    image = load("JPEG", data)
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


def _upright(image: Image.Image, rgb: Image.Image) -> tuple[Image.Image, str | None]:
    """(`rgb` rotated by the EXIF orientation of `image`, note). The TIFF decoder rotates by itself."""
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:
        return rgb, "its EXIF data is damaged, it may be sideways"
    if orientation not in range(2, 9):
        return rgb, None
    exif = Image.Exif()
    exif[0x0112] = orientation
    rgb.info = {"exif": exif.tobytes()}
    return ImageOps.exif_transpose(rgb), None


def _to_rgb(image: Image.Image, kind: Kind, quoted: str) -> tuple[Image.Image, str | None]:
    """(8-bit RGB over white, note) from any mode of the supported formats."""
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        return _deep_grey(image, kind), None
    if image.mode in ("I", "F"):
        return _stretched(image, quoted), "high-range values stretched to 8 bits"
    if image.mode == "LAB":
        from PIL import ImageCms

        converted = ImageCms.profileToProfile(
            image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        return cast(Image.Image, converted), None
    if image.has_transparency_data:
        return over_white(image), None
    return (image.copy() if image.mode == "RGB" else image.convert("RGB")), None


def over_white(image: Image.Image) -> Image.Image:
    """`image` as RGB over a white background."""
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")


def _deep_grey(image: Image.Image, kind: Kind) -> Image.Image:
    """12- and 16-bit grey scaled to 8 bits; `Image.convert` would clip every value above 255 to white."""
    tags: Any = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS, (16,))
    depth = int(bits[0] if isinstance(bits, tuple) else bits)
    scale = 255 / (2**depth - 1)
    levels = image.convert("I")
    white_is_zero = kind == "TIFF" and tags.get(_TIFF_PHOTOMETRIC) == 0
    slope, offset = (-scale, 255.5) if white_is_zero else (scale, 0.5)
    rgb = levels.point(lambda value: value * slope + offset).convert("L").convert("RGB")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        mask = ImageMath.lambda_eval(
            lambda args: args["convert"]((args["levels"] == transparent) * 255, "L"), levels=levels
        )
        rgb.paste("white", mask=mask)
    return rgb


def _stretched(image: Image.Image, quoted: str) -> Image.Image:
    """32-bit values have no standard white level: map the smallest to black and the largest to white."""
    values = image.convert("F")
    low, high = cast(tuple[float, float], values.getextrema())
    if not (low <= high and abs(low) < 1e38 and abs(high) < 1e38):
        raise ImageError(f"{quoted} holds values that are not finite numbers; export it as 8 or 16 bits per channel.")
    if low >= 0.0 and high <= 1.0:
        low, high = 0.0, 1.0
    scale = 255 / (high - low) if high > low else 0.0
    return values.point(lambda value: value * scale + (0.5 - low * scale)).convert("L").convert("RGB")
