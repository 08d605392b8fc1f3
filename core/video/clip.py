"""The only place that opens a video: a path to its frames' times, and the frames that were chosen as Pictures.

    with open_video("clip.mp4") as video:
        video.times                                # when each frame is shown, in seconds
        for number, picture in video.pictures([0, 40, 80]):
            ...

Opening reads the file once without decoding anything, so that times, length and key frames are what the file holds
and not what its header says. Films are decoded by PyAV (`core.video.film`), GIF and animated WebP and PNG by Pillow
(`core.video.animation`). Which decoder a file goes to is decided by its first bytes, never by FFmpeg's guessing:
playlists and the like, which make FFmpeg open other files and addresses, do not get through. Decoders' own words are
never shown.
"""

from __future__ import annotations

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from PIL import Image

from core.datasets.folders import NO_PICTURE, entries_below, judged, suffix_of
from core.datasets.left_out import PICTURE, LeftOut
from core.errors import InquisightError, printable
from core.images.file_type import WORDS, explain, sniff
from core.images.picture import Picture
from core.records import PictureInfo

SUFFIXES: Final = frozenset(
    ".mp4 .m4v .mov .webm .mkv .avi .mpg .mpeg .ts .m2ts .flv .wmv .ogv .3gp .gif .webp .apng".split()
)
_HEAD: Final = 4096
_SURE: Final = SUFFIXES - {".gif", ".webp", ".apng", ".ts"}  # these may be still pictures, or program text
_ISO_BOXES: Final = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_SOUNDS: Final = (b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9", b"#!AMR")
_KNOWN: Final = "MP4, MOV, WebM, Matroska, AVI, MPEG, FLV, WMV, Ogg, GIF, animated WebP or PNG"


class VideoError(InquisightError):
    """A video that cannot be used: missing, damaged, too long, or not a video."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Limits:
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

    def __init__(self, path: Path, source: str, sha256: str, limits: Limits) -> None:
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


def open_video(path: str | Path, *, limits: Limits | None = None, name: str | None = None) -> Video:
    """Look through a video file and check it; no frame is decoded but the first. `name` replaces the path in messages.

    Raises VideoError: one line for what is missing, empty, unreadable, no video, without pictures, or too large.
    """
    limits = limits or Limits()
    label = name or str(path)
    quoted = f"'{printable(label)}'"
    file = _checked_path(str(path), quoted, limits)
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD)
            opened.seek(0)
            kind, reader = _sorted_out(head, quoted)
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise VideoError(f"{quoted} cannot be read: {(error.strerror or 'unknown error').lower()}.") from None
    source = printable(label, limit=None)
    if reader == "pillow":
        from core.video.animation import Animation

        return Animation(file, source, sha256, limits, kind)
    from core.video.film import Film

    return Film(file, source, sha256, limits, kind, reader)


def find_videos(folder: str, left_out: LeftOut) -> list[str]:
    """Every video below a folder, in order: by its name's suffix, or by its content. `left_out` counts the others.

    Raises VideoError where there is none, and UsageError where the folder cannot be read.
    """
    found = []
    for entry in entries_below(folder, left_out):
        if suffix_of(entry.name) in _SURE or _is_video(entry):
            found.append(entry.path)
        elif (reason := judged(entry.path)) is not NO_PICTURE:
            left_out.add(reason or PICTURE, entry.path)
    if not found:
        also = f" ({left_out})" if left_out else ""
        raise VideoError(f"the folder '{printable(folder)}' holds no videos{also}; looked for {_KNOWN}.")
    return sorted(found)


def _is_video(entry: os.DirEntry[str]) -> bool:
    try:
        if not entry.is_file():
            return False
        with open(entry.path, "rb", buffering=0) as file:
            _sorted_out(file.read(_HEAD), "")
    except (OSError, VideoError):
        return False
    return True


def clock(seconds: float, *, exact: bool = False) -> str:
    """ "1:02:03", "2:03" or, exact, "2:03.4"; what a player shows."""
    if exact:
        tenths = round(max(0.0, seconds) * 10)
        whole, tenth = divmod(tenths, 10)
        return f"{clock(whole)}.{tenth}"
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _checked_path(path: str, quoted: str, limits: Limits) -> Path:
    if path == "-":
        raise VideoError("a video cannot be read from standard input; write it to a file and name that.")
    if path.lower().startswith(("http://", "https://")):
        raise VideoError(f"{quoted} is a web address; download the video and name the file.")
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise VideoError(f"{quoted} does not exist; check the path.") from None
    except ValueError:  # a NUL inside the name
        raise VideoError(f"{quoted} cannot be a file name; check the path.") from None
    except OSError as error:
        raise VideoError(f"{quoted} cannot be read: {(error.strerror or 'unknown error').lower()}.") from None
    if stat.S_ISDIR(status.st_mode):
        raise VideoError(f"{quoted} is a folder, not a video; name a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{quoted} is not a regular file; write the video to a file and name that.")
    if status.st_size == 0:
        raise VideoError(f"{quoted} is empty (0 bytes); copy, download or export it again.")
    if status.st_size > limits.bytes:
        raise VideoError(f"{quoted} is larger than the {limits.bytes:,} bytes allowed; cut it into pieces first.")
    return Path(path)


def _sorted_out(head: bytes, quoted: str) -> tuple[str, str]:
    """(what to call it, FFmpeg's name of the reader it goes to, or "pillow") by its first bytes."""
    picture = sniff(head)
    if picture == "GIF" or (picture == "WEBP" and b"ANIM" in head[:64]) or (picture == "PNG" and b"acTL" in head):
        return picture, "pillow"
    if picture is not None:
        raise VideoError(f"{quoted} is {WORDS[picture]} picture, not a video; use `inquisight caption`.")
    if head[4:8] in _ISO_BOXES and "HEIC" not in explain(head):
        return ("MOV" if head[8:12] == b"qt  " or head[4:8] != b"ftyp" else "MP4"), "mov"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return ("WebM" if b"webm" in head[:64] else "Matroska"), "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI", "avi"
    if head.startswith(b"FLV\x01"):
        return "FLV", "flv"
    if head.startswith(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"):
        return "WMV", "asf"
    if head.startswith(b"OggS"):
        return "Ogg", "ogg"
    if head.startswith(b"\x00\x00\x01\xba"):
        return "MPEG", "mpeg"
    for offset, size in ((0, 188), (4, 192)):  # transport stream; with the time codes of cameras
        if len(head) > offset + 2 * size and all(head[offset + step * size] == 0x47 for step in range(3)):
            return "MPEG", "mpegts"
    if head.startswith(_SOUNDS) or head[8:12] == b"WAVE":
        raise VideoError(f"{quoted} holds sound only, no pictures; there is nothing to look at.")
    raise VideoError(f"{quoted} is not a video in a supported format ({_KNOWN}).")
