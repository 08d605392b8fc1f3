"""Uploaded videos of all visitors: checked by `core.video.clip` and stored in a private temporary folder.

Videos are decoded from disk. A file is deleted when its visitor removes or replaces it or is forgotten; the folder is
deleted with the server, or by the next server if this one is killed.
"""

from __future__ import annotations

import io
import secrets
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar, Final

import streamlit as st
from filelock import FileLock, Timeout

from core.errors import UsageError
from core.records import PictureInfo
from core.settings import get_settings
from core.video.base import Video, VideoLimits
from core.video.clip import open_video
from ui.state.images import Upload, label_of
from ui.state.options import get_options

MAX_BYTES: Final = 4_000_000_000  # of all visitors' videos
PREFIX: Final = "inquisight-videos-"
LOCK: Final = "claim"  # the file in the folder that its server keeps locked


@dataclass(eq=False)
class UploadedVideo(Upload):
    """A checked video, and its file."""

    info: PictureInfo
    path: Path
    format: str
    """The container format, such as MP4."""
    seconds: float
    kind: ClassVar[str] = "video"

    def __post_init__(self) -> None:
        self.remove = weakref.finalize(self, self.path.unlink, missing_ok=True)
        """Delete the file."""

    def open(self) -> Video:
        """Open the file again. Raises VideoError."""
        return _open(self.path, self.label)


def _open(path: Path, name: str) -> Video:
    limits = VideoLimits(pixels=get_settings().max_pixels, bytes=get_options().video_mb * 1_000_000)
    return open_video(path, limits=limits, name=name)


class VideoStore:
    """The files of all visitors."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
            with suppress(OSError, Timeout), FileLock(left, timeout=0):  # its server does not run any more
                shutil.rmtree(left.parent, ignore_errors=True)
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self._claim = FileLock(self.folder / LOCK)
        self._claim.acquire()
        self._lock = threading.Lock()
        self._writing: dict[Path, int] = {}  # files that are being written, and their final number of bytes

    def add(self, file: IO[bytes], name: str) -> UploadedVideo:
        """Store a file and check it. Raises InquisightError, and stores nothing then."""
        label, path = label_of(name, "video"), self.folder / secrets.token_hex(16)
        try:
            with self._reserve(path, file.seek(0, io.SEEK_END)), path.open("wb") as out:
                file.seek(0)
                shutil.copyfileobj(file, out, 1 << 20)
            with _open(path, label) as video:
                return UploadedVideo(video.info(), path, str(getattr(video, "kind", "")), video.seconds)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                reason = (error.strerror or "unknown error").lower()
                raise UsageError(f"the video cannot be stored: {reason}") from None
            raise

    @contextmanager
    def _reserve(self, path: Path, length: int) -> Iterator[None]:
        """Reserve space while a file is written, so that several can be written at once. Raises UsageError."""
        with self._lock:
            if self._used() + length > self.max_bytes:
                raise UsageError("the dashboard holds as many videos as it may; try again in a while")
            self._writing[path] = length
        try:
            yield
        except BaseException:
            path.unlink(missing_ok=True)  # before its space is free again
            raise
        finally:
            with self._lock:
                del self._writing[path]

    def _used(self) -> int:
        """Bytes of all files; those being written count with their final size."""
        total = sum(self._writing.values())
        for path in self.folder.iterdir():
            if path not in self._writing:
                with suppress(FileNotFoundError):  # removed meanwhile
                    total += path.stat().st_size
        return total


@st.cache_resource(show_spinner=False)
def video_store() -> VideoStore:
    """The videos of this server."""
    return VideoStore()
