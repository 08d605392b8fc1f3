"""A small camera raw file, written by hand: a DNG with a Bayer mosaic and, if wanted, a JPEG preview."""

from __future__ import annotations

import io
import struct
from typing import Any

from PIL import Image

_MATRIX = (32405, -15371, -4985, -9693, 18760, 416, 556, -2040, 10572)  # XYZ to sRGB, in 10000ths


def _directory(entries: dict[int, tuple[int, Any]], at: int) -> bytes:
    """A TIFF directory at offset `at`, with its long values behind it."""
    codes = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 10: "ii"}
    head, tail = struct.pack("<H", len(entries)), b""
    behind = at + 2 + 12 * len(entries) + 4
    for tag, (kind, values) in sorted(entries.items()):
        if kind == 2:
            body, count = values, len(values)
        else:
            flat = values if isinstance(values, tuple) else (values,)
            count = len(flat) // len(codes[kind])
            body = struct.pack("<" + codes[kind] * count, *flat)
        if len(body) <= 4:
            field = body.ljust(4, b"\0")
        else:
            field = struct.pack("<I", behind + len(tail))
            tail += body + b"\0" * (len(body) & 1)
        head += struct.pack("<HHI", tag, kind, count) + field
    return head + struct.pack("<I", 0) + tail


def dng(image: Image.Image, preview: Image.Image | None = None, *, orientation: int = 1, **jpeg: Any) -> bytes:
    """A DNG 1.4 whose sensor saw `image`, RGB with even sides; `preview` goes in as a JPEG, as cameras do."""
    width, height = image.size
    red, green, blue = (channel.tobytes() for channel in image.convert("RGB").split())
    mosaic = bytearray(2 * width * height)
    for y in range(height):
        for x in range(width):
            level = (red if x % 2 == y % 2 == 0 else blue if x % 2 == y % 2 == 1 else green)[y * width + x]
            struct.pack_into("<H", mosaic, 2 * (y * width + x), int((level / 255) ** 2.2 * 16000))
    file = bytearray(struct.pack("<2sHI", b"II", 42, 8))
    sensor: dict[int, tuple[int, Any]] = {
        254: (4, 0), 256: (4, width), 257: (4, height), 258: (3, 16), 259: (3, 1), 262: (3, 32803), 277: (3, 1),
        278: (4, height), 279: (4, len(mosaic)), 33421: (3, (2, 2)), 33422: (1, (0, 1, 1, 2)), 50717: (4, 16000),
    }  # fmt: skip
    main: dict[int, tuple[int, Any]] = {
        271: (2, b"Maker\0"), 272: (2, b"Camera\0"), 274: (3, orientation), 50706: (1, (1, 4, 0, 0)),
        50708: (2, b"Maker Camera\0"), 50721: (10, tuple(part for value in _MATRIX for part in (value, 10000))),
        50728: (5, (1, 1, 1, 1, 1, 1)), 50778: (3, 21),
    }  # fmt: skip
    space = 1000  # bytes of a directory with its values
    if preview is None:
        body_at = 8 + space
        file += _directory({**main, **sensor, 273: (4, body_at)}, 8).ljust(space, b"\0")
        return bytes(file + mosaic)
    buffer = io.BytesIO()
    preview.save(buffer, "JPEG", quality=92, **jpeg)
    data = buffer.getvalue()
    jpeg_at = 8 + 2 * space
    mosaic_at = jpeg_at + len(data) + len(data) % 2
    first = {**main, 254: (4, 1), 256: (4, preview.width), 257: (4, preview.height), 258: (3, (8, 8, 8)), 259: (3, 7),
             262: (3, 6), 277: (3, 3), 278: (4, preview.height), 273: (4, jpeg_at), 279: (4, len(data)),
             330: (4, 8 + space)}  # fmt: skip
    file += _directory(first, 8).ljust(space, b"\0")
    file += _directory({**sensor, 273: (4, mosaic_at)}, 8 + space).ljust(space, b"\0")
    file += data + b"\0" * (len(data) % 2)
    return bytes(file + mosaic)
