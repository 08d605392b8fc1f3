"""Read camera raw files: the JPEG that the camera put in, or the developed sensor values (rawpy, LibRaw)."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from math import isqrt
from typing import Any, Final

from PIL import Image

from core.errors import ImageError

LARGE_ENOUGH: Final = 1000  # pixels of the longer side of a preview; a smaller one is only used if nothing else works
_TURNS: Final = {3: Image.Transpose.ROTATE_180, 5: Image.Transpose.ROTATE_90, 6: Image.Transpose.ROTATE_270}

Decoded = tuple[Image.Image, list[str]]


def decode(data: bytes, max_pixels: int, quoted: str, decode_jpeg: Callable[[bytes], Decoded]) -> Decoded:
    """(upright sRGB image, notes). Raises ImageError, and whatever LibRaw raises."""
    import rawpy

    with rawpy.RawPy() as raw:
        raw.open_buffer(BytesIO(data))
        width, height = int(raw.sizes.width), int(raw.sizes.height)
        preview = _preview(raw, rawpy, decode_jpeg)
        if preview is not None and max(preview[0].size) >= min(LARGE_ENOUGH, max(width, height), isqrt(max_pixels)):
            return _described(preview, width, height)
        half = width * height > min(max_pixels, 24_000_000)
        if width * height > max_pixels * (4 if half else 1):
            if preview is not None:
                return _described(preview, width, height)
            raise ImageError(
                f"{quoted} has {width} x {height} pixels, more than the {max_pixels:,} allowed, and no preview; "
                "export it as JPEG, or raise the limit (INQUISIGHT_MAX_PIXELS).",
                "too large",
            )
        try:
            pixels = raw.postprocess(use_camera_wb=True, half_size=half, output_bps=8)  # upright, sRGB
        except rawpy.LibRawError:
            if preview is None:
                raise
            return _described(preview, width, height)
        return Image.fromarray(pixels), ["developed from a raw file" + (" at half its size" if half else "")]


def _preview(raw: Any, rawpy: Any, decode_jpeg: Callable[[bytes], Decoded]) -> Decoded | None:
    """The largest preview that LibRaw finds, upright; None without one that can be decoded."""
    try:
        found = raw.extract_thumb()
        if found.format == rawpy.ThumbFormat.BITMAP:
            image, oriented = Image.fromarray(found.data).convert("RGB"), False
            notes: list[str] = []
        else:
            image, notes = decode_jpeg(bytes(found.data))
            oriented = Image.open(BytesIO(found.data), formats=["JPEG"]).getexif().get(0x0112, 1) != 1
    except (rawpy.LibRawError, ImageError, OSError, ValueError, SyntaxError, TypeError):
        return None
    sizes = raw.sizes
    turn = _TURNS.get(sizes.flip)
    sideways = sizes.flip in (5, 6) and (image.width < image.height) != (sizes.width < sizes.height)
    if turn is not None and not oriented and not sideways:  # the camera wrote it as the sensor saw it
        image = image.transpose(turn)
    return image, notes


def _described(preview: Decoded, width: int, height: int) -> Decoded:
    image, notes = preview
    size = f"{image.width} x {image.height}"
    return image, [f"the raw file's preview of {size}; the sensor has {width} x {height}", *notes]
