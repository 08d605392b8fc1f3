"""Make the data URL of a picture, bounded in size."""

from __future__ import annotations

import base64
import io
from typing import Final

from PIL import Image

from plugins.openai_vision.options import Format

QUALITY: Final = 90  # of JPEG; at 1,024 pixels a photograph has 100 to 300 KB


def data_url(image: Image.Image, max_side: int, format: Format) -> str:
    """An RGB image, already upright, as `data:image/...;base64,...` with no side longer than `max_side` pixels."""
    if max(image.size) > max_side:
        scale = max_side / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    kinds = {"auto": ("jpeg", "png"), "jpeg": ("jpeg",), "png": ("png",)}[format]
    written = {kind: _bytes(image, kind) for kind in kinds}
    # drawings, screenshots and flat colours are smaller as PNG, and lose nothing
    kind = min(written, key=lambda one: len(written[one]))
    return f"data:image/{kind};base64,{base64.b64encode(written[kind]).decode('ascii')}"


def _bytes(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "png":
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()
