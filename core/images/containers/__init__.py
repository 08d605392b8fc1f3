"""Reduce a picture file to the parts that its pixels need, before a decoder sees it.

Text, profiles, thumbnails and previews are never decoded: a damaged or huge one cannot spoil healthy
pixels, and a compressed one cannot fill the memory. What the orientation is read from is kept beside
the data. Each format's parts are walked by their lengths; nothing is decoded here but text, up to a limit.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field

MIB = 1 << 20


class DamagedError(Exception):
    """A part that the pixels need is missing or damaged."""


@dataclass(slots=True)
class Parts:
    """A picture file without what its pixels do not need."""

    data: bytes  # for the decoder
    info: dict[str, bytes | str] = field(default_factory=dict)  # Pillow's keys, for `getexif`
    frames: int | None = None  # None: not counted here, or the format has no frames
    notes: list[str] = field(default_factory=list)  # what a user should know


def reduce(kind: str, data: bytes, *, animated: bool = False) -> Parts:
    """The parts of `data` that the pixels need; `animated` keeps the frames after the first one.

    Raises DamagedError where those parts are not there. A format that has no reader here comes back as it is.
    """
    name = {"PNG": "png", "JPEG": "jpeg", "GIF": "gif", "WEBP": "webp", "BMP": "bmp", "TIFF": "tiff"}.get(kind)
    if name is None or (animated and kind == "GIF"):
        return Parts(data)
    reader = importlib.import_module(f"core.images.containers.{name}")
    parts: Parts = reader.reduce(data, animated=animated)
    return parts


def ignored(found: dict[str, str]) -> list[str]:
    """The note for parts that were left out: name to reason."""
    return [f"extra data ignored: {', '.join(f'{name} {why}' for name, why in found.items())}"] if found else []


def after_end(data: bytes, end: int) -> list[str]:
    """The note for bytes after the end of the picture; zeros are padding and not worth one."""
    count = len(data) - end
    return [f"{count:,} bytes after its end ignored"] if count > 0 and data[end:].strip(b"\0") else []
