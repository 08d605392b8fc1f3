"""Thumbnails on disk: made once for each version of a file, by a few threads.

    thumbnails = Thumbnails(folder)
    with thumbnails.request("photos/a.jpg", 320) as wanted:   # a request that nobody waits for any more is dropped
        path = wanted.future.result()                         # a JPEG, upright

A file is known by its path, size and time of change, so a cached thumbnail is found without reading the picture.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from core.errors import ImageError, InquisightError, printable, why
from core.files.atomic import replacing
from core.images.decode import load
from core.images.file_type import header_size, sniff
from core.images.picture import open_picture

WORKERS: Final = 2
LARGE: Final = 24_000_000  # pixels; one such picture is decoded at a time, to bound memory
HEAD: Final = 1 << 18  # bytes that hold the size of most pictures
MAX_BYTES: Final = 2_000_000_000  # of the folder; the oldest thumbnails are deleted
PRUNE_EVERY: Final = 1000  # new thumbnails between two checks of that
QUALITY: Final = 82
_UNKNOWN: Final = (LARGE, 2)


@dataclass(slots=True)
class Wanted:
    """A thumbnail that is being made, and how many requests wait for it."""

    future: Future[Path]
    waiting: int = 0


class Thumbnails:
    """The thumbnails in `folder`, which is created if missing."""

    def __init__(self, folder: Path, *, workers: int = WORKERS, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="thumbnail")
        self._lock = threading.Lock()
        self._large = threading.Lock()
        self._wanted: dict[Path, Wanted] = {}
        self._made = 0

    def find(self, path: str | Path, edge: int, folder: Path | None = None) -> Path:
        """Where the thumbnail of `path` with at most `edge` pixels a side is or will be. Raises ImageError."""
        try:
            facts = os.stat(path)
        except (OSError, ValueError) as error:
            reason = why(error) if isinstance(error, OSError) else "no such name"
            raise ImageError(f"'{printable(path)}' cannot be read: {reason}.") from None
        name = f"{os.path.abspath(path)}\0{facts.st_size}\0{facts.st_mtime_ns}\0{edge}"
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        return (folder or self.folder) / digest[:2] / f"{digest[2:34]}.jpg"

    @contextmanager
    def request(self, path: str | Path, edge: int, folder: Path | None = None) -> Iterator[Wanted]:
        """A thumbnail, cached or made by a worker; several requests for it share the work. Raises ImageError.

        `folder`: another one than that of all, such as a private one. If the last of these blocks is left before a
        worker has begun, nothing is made.
        """
        target = self.find(path, edge, folder)
        with self._lock:
            wanted = self._wanted.get(target)
            if wanted is None:
                if target.is_file():
                    wanted = Wanted(Future())
                    wanted.future.set_result(target)
                else:
                    wanted = Wanted(self._pool.submit(self._make, str(path), edge, target))
                    self._wanted[target] = wanted
            wanted.waiting += 1
        try:
            yield wanted
        finally:
            with self._lock:
                wanted.waiting -= 1
                if not wanted.waiting:
                    wanted.future.cancel()
                    if self._wanted.get(target) is wanted:
                        del self._wanted[target]

    def get(self, path: str | Path, edge: int) -> Path:
        """The thumbnail's file; waits until it is made. Raises ImageError."""
        with self.request(path, edge) as wanted:
            return wanted.future.result()

    def close(self) -> None:
        """Finish the thumbnails that are being made, drop the others."""
        self._pool.shutdown(cancel_futures=True)

    # --- in a worker ----------------------------------------------------------------------------------------------

    def _make(self, path: str, edge: int, target: Path) -> Path:
        with self._large if _is_large(path) else nullcontext():
            picture = open_picture(path)
            image = picture.image
            image.thumbnail((edge, edge), Image.Resampling.LANCZOS, reducing_gap=2.0)
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target, InquisightError, sync=False) as file:
            image.save(file, "JPEG", quality=QUALITY)
        self._count()
        return target

    def _count(self) -> None:
        with self._lock:
            self._made += 1
            due = self._made % PRUNE_EVERY == 1
        if due:
            prune(self.folder, self.max_bytes)


def prune(folder: Path, max_bytes: int) -> None:
    """Delete the oldest thumbnails until 9/10 of `max_bytes` are left, if there are more."""
    found: list[tuple[float, int, str]] = []
    for inner in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError), os.scandir(inner) as entries:
            for entry in entries:
                facts = entry.stat()
                found.append((facts.st_mtime, facts.st_size, entry.path))
    total = sum(size for _, size, _ in found)
    if total <= max_bytes:
        return
    for _, size, path in sorted(found):
        with suppress(OSError):
            os.unlink(path)
        total -= size
        if total <= 0.9 * max_bytes:
            return


def _is_large(path: str) -> bool:
    """Whether the header says so, or does not tell."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except (OSError, ValueError):
        return False  # opening it says why
    kind = sniff(head)
    if kind is None:
        return False  # the same
    try:
        opened = kind in ("JPEG", "PNG", "GIF")  # those whose decoders allocate nothing yet
        width, height = header_size(kind, head) or (load(kind, head).size if opened else _UNKNOWN)
    except Exception:  # noqa: BLE001 - whatever a decoder raises: the header is longer than that, or damaged
        return True
    return width * height > LARGE
