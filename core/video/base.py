"""The interface of an opened video: frames by number and time, and limits."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from PIL import Image

from core.errors import InquisightError, printable
from core.images.picture import Picture
from core.records import PictureInfo


class VideoError(InquisightError):
    """An unusable video: missing, damaged, too long, or not a video."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """Limits on the actual content of a video, checked before frames are decoded."""

    bytes: int = 32_000_000_000
    seconds: float = 6 * 3600.0
    frames: int = 2_000_000
    pixels: int = 100_000_000
    """Of one frame."""
    side: int = 1280
    """Longer sides of frames are scaled down to this; no vision model uses more."""


class Video(ABC):
    """An opened video. Frames are numbered from 0 in display order."""

    def __init__(self, path: Path, source: str, sha256: str, limits: VideoLimits) -> None:
        self.path, self.source, self.sha256, self.limits = path, source, sha256, limits
        self.quoted = f"'{printable(source)}'"
        self.notes: list[str] = []

    times: Sequence[float]
    """Display time of each frame in seconds, ascending."""
    keys: Sequence[int]
    """Numbers of the key frames."""
    end: float
    """End of the last frame in seconds."""
    width: int
    """Pixels from left to right as displayed: upright, with square pixels, not scaled down."""
    height: int

    @abstractmethod
    def pictures(self, numbers: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        """The frames with these numbers, in ascending order, each once.

        A damaged frame is replaced by the nearest intact one. Raises VideoError if there is none.
        """

    @abstractmethod
    def changes(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, float]]:
        """(frame, scene score 0-1 against the previous one) from `first` to `last`, in ascending order.

        FFmpeg's score of small copies: the smaller of the mean difference and its change, so that steady motion scores
        low and a cut high (https://ffmpeg.org/ffmpeg-filters.html#select_002c-aselect). The first frame scores 0.
        Raises VideoError.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:  # noqa: B027
        """Both decoders open the file only while they read it."""

    @cached_property
    def seconds(self) -> float:
        """Duration in seconds."""
        return max(0.0, self.end - self.times[0])

    def at(self, seconds: float) -> int:
        """The number of the frame displayed at that time; the first one for any earlier time."""
        return max(0, bisect_right(self.times, seconds) - 1)

    def info(self) -> PictureInfo:
        """The record of this video for transcripts."""
        count = "1 frame" if len(self.times) == 1 else f"{len(self.times)} frames"
        note = "; ".join([f"video of {clock(self.seconds, exact=True)}, {count}", *self.notes])
        return PictureInfo(sha256=self.sha256, source=self.source, width=self.width, height=self.height, note=note)

    def _picture(self, image: Image.Image, number: int) -> Picture:
        """The upright RGB `image` as the Picture of a frame; its sha256 covers video, frame number and size."""
        name = f"{self.sha256}:{number}:{image.width}x{image.height}"
        shown = f"{self.source} at {clock(self.times[number], exact=True)}"
        return Picture(image=image, sha256=hashlib.sha256(name.encode()).hexdigest(), source=shown)

    def _fitting(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) scaled down to `VideoLimits.side`."""
        scale = min(1.0, self.limits.side / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))

    def _check_frame(self, width: int, height: int) -> None:
        if width < 1 or height < 1:
            raise VideoError(f"{self.quoted} has no pixels ({width} x {height}).")
        if width * height > self.limits.pixels:
            raise VideoError(
                f"{self.quoted} has frames of {width} x {height} pixels, more than the {self.limits.pixels:,} allowed; "
                "scale it down, or raise the limit (INQUISIGHT_MAX_PIXELS)."
            )

    def _check_length(self) -> None:
        if self.seconds > self.limits.seconds:
            raise VideoError(
                f"{self.quoted} is {clock(self.seconds)} long, more than the {clock(self.limits.seconds)} allowed; "
                "cut it into pieces first."
            )

    def _too_many_frames(self) -> VideoError:
        return VideoError(f"{self.quoted} has more than {self.limits.frames:,} frames; cut it into pieces first.")

    def _damaged(self, kind: str) -> VideoError:
        return VideoError(
            f"{self.quoted} is a {kind} file that is truncated or damaged and cannot be decoded; "
            "copy, download or export it again."
        )


def clock(seconds: float, *, exact: bool = False) -> str:
    """ "1:02:03" or "2:03", and "2:03.4" if `exact`."""
    if exact:
        tenths = round(max(0.0, seconds) * 10)
        whole, tenth = divmod(tenths, 10)
        return f"{clock(whole)}.{tenth}"
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
