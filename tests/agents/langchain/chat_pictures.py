"""Pictures as message blocks, for tests of the chat model."""

from __future__ import annotations

import base64
from typing import Any

from tests import pictures

RED, BLUE = (200, 30, 30), (30, 30, 200)


def png(colour: tuple[int, int, int] = RED, size: tuple[int, int] = (64, 48)) -> bytes:
    return pictures.encoded(colour, size)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def block(data: bytes, style: str = "v1") -> dict[str, Any]:
    """The same picture in each of the ways in which messages hold one."""
    text = encoded(data)
    url = f"data:image/png;base64,{text}"
    return {
        "v1": {"type": "image", "base64": text, "mime_type": "image/png"},
        "v1 data url": {"type": "image", "url": url},
        "v0": {"type": "image", "source_type": "base64", "data": text, "mime_type": "image/png"},
        "openai": {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        "openai short": {"type": "image_url", "image_url": url},
    }[style]


STYLES = ("v1", "v1 data url", "v0", "openai", "openai short")


def words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
