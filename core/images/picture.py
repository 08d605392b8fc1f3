"""Open a picture from a path, bytes, a file object, standard input, a PIL image or a NumPy array.

The result is always upright, opaque 8-bit RGB. Everything else ends in one ImageError with the file, the reason and
the way out. Messages of decoders are never shown, because they can contain memory addresses and paths.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

from PIL import Image

from core.errors import ImageError, printable, why
from core.files.paths import why_missing
from core.images.colour import normalised
from core.images.decode import HOW_TO_GET, can_decode, check_size, decode, decode_large_tiff, pillow_limit, thin_note
from core.images.file_type import WORDS, Kind, explain, sniff
from core.records import PictureInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PIXELS = 100_000_000
MAX_BYTES = 200_000_000
MAX_TIFF_BYTES = 4_000_000_000  # of a file on disk, which is read in pieces
_TIFF_HEAD = 1_000_000

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
    from the header and checked before decoding; `max_pixels=None` means INQUISIGHT_MAX_PIXELS. A larger file is decoded
    scaled down, with a note, if its format permits that (see `core.images.decode`). `name` replaces the source in
    messages and records. Raises ImageError.
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
    if isinstance(source, str | Path) and max_bytes >= MAX_BYTES and _is_large_tiff(str(source), max_bytes):
        return _open_large_tiff(str(source), max_pixels, name or str(source))
    data, label = _read(source, max_bytes, name)
    quoted = f"'{printable(label)}'"
    kind = sniff(data)
    if kind is None:
        raise ImageError(f"{quoted} is {explain(data)}.")
    if not can_decode(kind):
        missing = "an optional part is missing" if kind in HOW_TO_GET else "the installed Pillow cannot decode those"
        raise ImageError(
            f"{quoted} is {WORDS[kind]} picture, and {missing}; "
            f"{HOW_TO_GET.get(kind, 'pip install --upgrade pillow')}, or export it as PNG or JPEG."
        )
    try:
        image, notes = decode(kind, data, max_pixels, quoted)
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(f"{quoted} does not fit into memory; scale it down first.") from None
    except Exception:  # decoders raise OSError, SyntaxError, ValueError, struct.error, KeyError and more
        raise _damaged(kind, quoted) from None
    return Picture(
        image=image,
        sha256=hashlib.sha256(data).hexdigest(),
        source=printable(label, limit=None),
        note="; ".join(notes) or None,
    )


def _damaged(kind: Kind, quoted: str) -> ImageError:
    layout = ", or has a pixel layout that is not supported," if kind == "TIFF" else ""  # 64-bit floats, for example
    return ImageError(
        f"{quoted} is {WORDS[kind]} file that is truncated or damaged{layout} and cannot be decoded; "
        "copy, download or export it again.",
        "truncated",
    )


def _is_large_tiff(path: str, max_bytes: int) -> bool:
    """Whether this file is larger than `max_bytes`, but can be read in pieces."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or not max_bytes < status.st_size <= MAX_TIFF_BYTES:
            return False
        with open(path, "rb") as file:
            return sniff(file.read(_TIFF_HEAD)) == "TIFF"
    except (OSError, ValueError):
        return False  # reading it reports why


def _open_large_tiff(path: str, max_pixels: int, label: str) -> Picture:
    quoted = f"'{printable(label)}'"
    try:
        with open(path, "rb") as file:
            image, notes = decode_large_tiff(file, max_pixels, quoted)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(f"{quoted} does not fit into memory; scale it down first.") from None
    except Exception:  # see above
        raise _damaged("TIFF", quoted) from None
    return Picture(image=image, sha256=digest, source=printable(label, limit=None), note="; ".join(notes) or None)


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
    check_size(image.size, max_pixels, quoted)
    try:
        with pillow_limit(image.width * image.height):
            image.load()
        rgb, notes = normalised(image, cast(Kind, image.format), quoted)
    except ImageError:
        raise
    except Exception:  # its file is truncated or closed, or its mode cannot be converted
        raise ImageError(
            f"{quoted} is a PIL image of mode {printable(image.mode)} that cannot be converted to RGB; name its file "
            "instead, or load and convert it first."
        ) from None
    digest = hashlib.sha256(f"RGB {rgb.width} x {rgb.height}\n".encode())
    digest.update(rgb.tobytes())
    return Picture(rgb, digest.hexdigest(), printable(label, limit=None), "; ".join([*notes, *thin_note(rgb)]) or None)


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
    check_size((width, height), max_pixels, quoted)
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
