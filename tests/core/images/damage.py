"""Pictures to damage, and what opening them gives."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

from PIL import Image

from core.errors import ImageError
from core.images.picture import open_picture

CASES = Path(__file__).parents[2] / "fixtures" / "cases" / "pictures"
MIB = 1 << 20
IGNORED = "damaged or oversized parts ignored"
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(width: int = 60, height: int = 44, seed: int = 1) -> Image.Image:
    """Soft shapes with some noise, as a photograph has them."""
    draw = random.Random(seed)
    coarse = Image.frombytes("RGB", (8, 6), draw.randbytes(8 * 6 * 3)).resize((width, height))
    return Image.blend(coarse, Image.frombytes("RGB", (width, height), draw.randbytes(width * height * 3)), 0.15)


def pixels(data: bytes) -> bytes:
    return open_picture(data).image.tobytes()


def refused(data: bytes) -> bool:
    """Whether `data` is called truncated; what is read instead is not."""
    try:
        open_picture(data)
    except ImageError as error:
        assert "truncated or damaged" in str(error) and str(error).isprintable()
        return True
    return False


def lying(kind: str, **options: Any) -> bytes:
    """40 x 20 pixels that are to be turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(photo(40, 20), kind, exif=exif, **options)
