"""An opened video: its frames by number and time, its limits; the decoders are subclasses."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from PIL import Image

from core.errors import InquisightError, printable
from core.images.picture import Picture
from core.records import PictureInfo


class VideoError(InquisightError):
    """A video that cannot be used: missing, damaged, too long, or not a video."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """What is too much. Checked on what the file really holds, before frames are decoded."""

    bytes: int = 32_000_000_000
    seconds: float = 6 * 3600.0
    frames: int = 2_000_000
    pixels: int = 100_000_000
    """Of one frame."""
    side: int = 1280
    """Frames with a longer side than this are scaled down to it: no eye here looks closer, and memory stays flat."""


class Video(ABC):
    """An opened video. Frames are numbered from 0 in the order in which they are shown."""

    def __init__(self, path: Path, source: str, sha256: str, limits: VideoLimits) -> None:
        self.path, self.source, self.sha256, self.limits = path, source, sha256, limits
        self.quoted = f"'{printable(source)}'"
        self.notes: list[str] = []

    times: Sequence[float]
    """When each frame is shown, in seconds from the beginning; rising."""
    keys: Sequence[int]
    """Numbers of the frames that were stored whole."""
    end: float
    """When the last frame goes, in seconds."""
    width: int
    """Pixels from left to right as shown: upright, with square pixels, not scaled down."""
    height: int

    @abstractmethod
    def pictures(self, numbers: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        """The frames with these numbers, in rising order, each once. Only these are turned into pictures and kept.

        A frame that is damaged gives way to the nearest good one. Raises VideoError where there is none.
        """

    @abstractmethod
    def changes(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, float]]:
        """(frame, how much it differs from the one before: 0-1) of the frames from `first` to `last`, in rising order.

        Small copies are compared, and the first one scores 0.
        FFmpeg's scene score: the smaller one of the mean difference and its own change, so that steady motion scores
        low and a cut high (https://ffmpeg.org/ffmpeg-filters.html#select_002c-aselect). Raises VideoError.
        """

    def close(self) -> None:  # noqa: B027 - most hold nothing open
        """Let go of the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def seconds(self) -> float:
        """From the first frame's beginning to the last one's end."""
        return max(0.0, self.end - self.times[0])

    def at(self, seconds: float) -> int:
        """The frame that is shown at that time; the first one for any time before it."""
        return max(0, bisect_right(self.times, seconds) - 1)

    def info(self) -> PictureInfo:
        """The record of this video as transcripts keep it."""
        count = "1 frame" if len(self.times) == 1 else f"{len(self.times)} frames"
        note = "; ".join([f"video of {clock(self.seconds, exact=True)}, {count}", *self.notes])
        return PictureInfo(sha256=self.sha256, source=self.source, width=self.width, height=self.height, note=note)

    def _picture(self, image: Image.Image, number: int) -> Picture:
        """`image`, upright RGB, as the Picture of that frame; its sha256 is the video's, the frame's and the size's."""
        name = f"{self.sha256}:{number}:{image.width}x{image.height}"
        shown = f"{self.source} at {clock(self.times[number], exact=True)}"
        return Picture(image=image, sha256=hashlib.sha256(name.encode()).hexdigest(), source=shown)

    def _fitting(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) scaled down to the limit of a side."""
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
    """ "1:02:03", "2:03" or, exact, "2:03.4"; what a player shows."""
    if exact:
        tenths = round(max(0.0, seconds) * 10)
        whole, tenth = divmod(tenths, 10)
        return f"{clock(whole)}.{tenth}"
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
