"""A visitor's images: checked by `core.images.picture`, kept in memory by sha256. Only thumbnails are stored."""

from __future__ import annotations

import io
import re
import threading
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PureWindowsPath
from typing import ClassVar, Final

from PIL import Image, ImageOps

from core.errors import ImageError, printable
from core.images.picture import Picture, open_picture
from core.records import PictureInfo
from ui.state.options import get_options

MAX_IMAGES: Final = 24  # of one visitor
MAX_BYTES: Final = 120_000_000  # of all images of one visitor
MAX_PIXELS: Final = 50_000_000  # of one image that is kept; larger ones are scaled down when they arrive
PREVIEW: Final = 1200  # pixels of the longer side of the copy that browsers receive
THUMBNAIL: Final = 96
UPLOAD_QUALITY: Final = 90  # of the JPEG that an image over the limits becomes
EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples" / "photos"


class Upload:
    """An uploaded file; `info.source` is its name."""

    info: PictureInfo
    kind: ClassVar[str] = "image"

    @property
    def label(self) -> str:
        """Its file name."""
        return self.info.source

    @property
    def stem(self) -> str:
        """Its file name without suffix, for downloads."""
        return stem_of(self.label, self.kind)


@dataclass(frozen=True)
class UploadedImage(Upload):
    """A checked image: its bytes, and JPEG copies to show."""

    info: PictureInfo
    data: bytes = field(repr=False)
    preview: bytes = field(repr=False)  # at most PREVIEW pixels wide or high
    thumbnail: bytes = field(repr=False)  # at most THUMBNAIL pixels wide or high

    @property
    def id(self) -> str:
        """Its sha256."""
        return self.info.sha256

    @property
    def nbytes(self) -> int:
        """The memory it takes."""
        return len(self.data) + len(self.preview) + len(self.thumbnail)

    def open(self) -> Picture:
        """Decode it again; pixels would take fifty times the memory of the file."""
        picture = open_picture(self.data, name=self.label, max_pixels=MAX_PIXELS)
        return replace(picture, sha256=self.info.sha256, note=self.info.note)


def stem_of(name: str, default: str) -> str:
    """A file name without its suffix, in letters, digits and hyphens; `default` if nothing is left."""
    return re.sub(r"[^\w\-]+", "-", Path(name).stem).strip("-") or default


def label_of(name: str, default: str = "image") -> str:
    """A file name as a label: without folders and unprintable characters, at most 60 characters."""
    return printable(PureWindowsPath(name).name.strip() or default, limit=60)


def jpeg(image: Image.Image, longest: int = PREVIEW) -> bytes:
    """A JPEG of at most `longest` pixels in width and height."""
    scale = min(1.0, longest / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    out = io.BytesIO()
    image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0).save(out, "JPEG", quality=86)
    return out.getvalue()


def arriving_bytes() -> int:
    """Bytes of the largest file that may arrive; what is larger than `upload_mb` is scaled down."""
    options = get_options()
    return max(options.upload_mb, options.video_mb) * 1_000_000


def open_upload(data: bytes, name: str) -> tuple[Picture, bytes]:
    """(the image, the bytes to keep): both scaled down if the file or its pixels exceed the limits. Raises ImageError.

    The sha256 stays that of the file.
    """
    most = get_options().upload_mb * 1_000_000
    picture = open_picture(data, name=name, max_bytes=arriving_bytes())
    if len(data) <= most and picture.width * picture.height <= MAX_PIXELS:
        return picture, data
    full = picture.image.size
    image = picture.image
    scale = min(1.0, (MAX_PIXELS / (image.width * image.height)) ** 0.5)
    while True:
        size = (max(1, int(full[0] * scale)), max(1, int(full[1] * scale)))
        image = image if image.size == size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        out = io.BytesIO()
        image.save(out, "JPEG", quality=UPLOAD_QUALITY)
        if out.tell() <= most:
            break
        scale *= 0.75
    note = f"{full[0]} x {full[1]} pixels and {len(data) / 1_000_000:.1f} MB, kept as a JPEG of {size[0]} x {size[1]}"
    notes = [note for note in (picture.note, note) if note]
    return replace(picture, image=image, note="; ".join(notes)), out.getvalue()


class ImageStore:
    """The images of one visitor by sha256, in upload order.

    Several pages may use the same image; it is freed when the last of them removes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._images: dict[str, UploadedImage] = {}
        self._pages: dict[str, set[str]] = {}  # sha256 -> pages that use it

    def __len__(self) -> int:
        return len(self._images)

    @property
    def nbytes(self) -> int:
        """The memory of all images."""
        return sum(one.nbytes for one in self.all())

    def all(self) -> list[UploadedImage]:
        """Every image, oldest first."""
        with self._lock:
            return list(self._images.values())

    def get(self, sha256: str) -> UploadedImage | None:
        """The image with that digest, if the visitor has it."""
        return self._images.get(sha256)

    def add(self, data: bytes, name: str, page: str = "") -> UploadedImage:
        """Check an image and keep it for `page`. Raises ImageError."""
        picture, data = open_upload(data, label_of(name))
        image = UploadedImage(picture.info(), data, jpeg(picture.image), jpeg(picture.image, THUMBNAIL))
        with self._lock:
            if image.id in self._images:  # the same image under another name
                image = replace(self._images[image.id], info=image.info)
            elif len(self._images) >= MAX_IMAGES:
                raise ImageError(f"you have {MAX_IMAGES} images here, which is the maximum; remove one first")
            elif sum(len(one.data) for one in self._images.values()) + len(data) > MAX_BYTES:
                raise ImageError(f"your images would exceed {MAX_BYTES // 1_000_000} MB; remove one first")
            self._images[image.id] = image
            self._pages.setdefault(image.id, set()).add(page)
        return image

    def remove(self, sha256: str, page: str = "") -> None:
        """Remove an image from `page`."""
        with self._lock:
            pages = self._pages.get(sha256, set())
            pages.discard(page)
            if not pages:
                self._pages.pop(sha256, None)
                self._images.pop(sha256, None)


@lru_cache(maxsize=16)
def example_thumbnail(path: Path) -> bytes:
    """A JPEG of an example, cropped to 3:2, that is small enough to load at once."""
    with Image.open(path) as image:
        return jpeg(ImageOps.fit(image.convert("RGB"), (300, 200)))


def examples() -> dict[str, Path]:
    """Example photographs by name; none in an installed package."""
    return {path.stem: path for path in sorted(EXAMPLES.glob("*.jpg"))}
