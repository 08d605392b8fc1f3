"""Small pictures, as bytes and as files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image

Colour = str | tuple[int, ...]


def encoded(colour: Colour = "orange", size: tuple[int, int] = (64, 48), kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind, **options)
    return buffer.getvalue()


def saved(path: Path, colour: Colour = "orange", size: tuple[int, int] = (64, 48), **options: Any) -> Path:
    """A picture of one colour in a file, of the kind that its suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path
