"""A visitor's pictures: checked by `core.images.picture`, kept in memory under their sha256, shown with an alt text.

Nothing is written to disk. The name a visitor's file had is a label for people's eyes and for the name of a download.
"""

from __future__ import annotations

import io
import re
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import Any, Final

from PIL import Image

from core.errors import ImageError, printable
from core.images.picture import Picture, open_picture
from core.records import PictureInfo
from core.settings import get_settings
from ui.state.options import get_options

MOST: Final = 24  # pictures of one visitor
MOST_BYTES: Final = 120_000_000  # of all of them
MOST_PIXELS: Final = 50_000_000
SHOWN: Final = 1200  # pixels of the longer side of what is sent to a browser
THUMBNAIL: Final = 96
EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples" / "photos"


@dataclass(frozen=True, slots=True)
class Held:
    """A picture that was checked: its bytes, and a small copy to show."""

    info: PictureInfo
    data: bytes = field(repr=False)
    shown: bytes = field(repr=False)  # JPEG, at most SHOWN pixels wide or high
    thumbnail: bytes = field(repr=False)  # JPEG, at most THUMBNAIL pixels wide or high

    @property
    def id(self) -> str:
        """Its sha256."""
        return self.info.sha256

    @property
    def label(self) -> str:
        """What the visitor called it."""
        return self.info.source

    @property
    def stem(self) -> str:
        """The beginning of the name of a download."""
        return re.sub(r"[^\w\-]+", "-", Path(self.label).stem).strip("-") or "picture"

    def open(self) -> Picture:
        """Decode it again: pixels are not kept, since those of a large picture weigh fifty times as much."""
        return open_picture(self.data, name=self.label, max_pixels=_most_pixels())


def label_of(name: str) -> str:
    """A file's name as a label: no folders, nothing that is not printable, not long."""
    return printable(PureWindowsPath(name).name.strip() or "picture", limit=60)


def check(data: bytes, name: str) -> Held:
    """Look at uploaded bytes. Raises ImageError."""
    picture = open_picture(
        data, name=label_of(name), max_pixels=_most_pixels(), max_bytes=get_options().upload_mb * 1_000_000
    )
    return Held(picture.info(), data, small(picture.image), small(picture.image, THUMBNAIL))


def small(image: Image.Image, most: int = SHOWN) -> bytes:
    """A JPEG of at most `most` pixels in width and height."""
    copy = image.copy() if max(image.size) <= most else image
    if copy is image:
        copy = image.resize(_within(image.size, most), Image.Resampling.LANCZOS, reducing_gap=2.0)
    out = io.BytesIO()
    copy.save(out, "JPEG", quality=86)
    return out.getvalue()


def _within(size: tuple[int, int], most: int) -> tuple[int, int]:
    scale = most / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _most_pixels() -> int:
    return min(MOST_PIXELS, get_settings().max_pixels)


class Shelf:
    """The pictures of one visitor, by sha256, in the order in which they came.

    Several pages may hold the same picture; it goes when the last of them lets go of it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._pages: dict[str, set[str]] = {}  # sha256 -> pages that hold it

    def __len__(self) -> int:
        return len(self._held)

    @property
    def nbytes(self) -> int:
        """How much memory they fill."""
        with self._lock:
            return sum(len(one.data) + len(one.shown) + len(one.thumbnail) for one in self._held.values())

    def all(self) -> list[Held]:
        """Every picture, oldest first."""
        with self._lock:
            return list(self._held.values())

    def get(self, sha256: str) -> Held | None:
        """The picture with that digest, where it is one of this visitor's."""
        return self._held.get(sha256)

    def add(self, data: bytes, name: str, page: str = "") -> Held:
        """Check a picture and keep it for `page`. Raises ImageError."""
        held = check(data, name)
        with self._lock:
            if held.id in self._held:  # the same picture under another name
                held = replace(self._held[held.id], info=held.info)
            elif len(self._held) >= MOST:
                raise ImageError(f"you have {MOST} pictures here, which is the most; remove one first")
            elif sum(len(one.data) for one in self._held.values()) + len(data) > MOST_BYTES:
                raise ImageError(f"your pictures fill {MOST_BYTES // 1_000_000} MB with this one; remove one first")
            self._held[held.id] = held
            self._pages.setdefault(held.id, set()).add(page)
        return held

    def remove(self, sha256: str, page: str = "") -> None:
        """`page` lets go of a picture."""
        with self._lock:
            pages = self._pages.get(sha256, set())
            pages.discard(page)
            if not pages:
                self._pages.pop(sha256, None)
                self._held.pop(sha256, None)


def examples() -> dict[str, Path]:
    """Photographs that come with the source, by name; none in an installed package."""
    if not EXAMPLES.is_dir():
        return {}
    return {path.stem: path for path in sorted(EXAMPLES.glob("*.jpg"))}


def show(held: Held, *, alt: str = "", width: Any = "stretch") -> None:
    """The picture on the page. `alt`: what it shows, for those who do not see it."""
    import streamlit as st

    st.image(held.shown, alt=alt or f"{held.label}, not described yet", width=width)
