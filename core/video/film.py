"""MP4, WebM, Matroska and similar files as a Video, decoded by PyAV (FFmpeg's libraries)."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from struct import error as StructError
from struct import unpack
from typing import Any, Final

from PIL import Image

from core.images.picture import Picture
from core.video.base import Video, VideoError, VideoLimits
from core.video.colours import colour_note, peak_of, to_image
from core.video.scenes import pyav, scored, small_size

EXACT: Final = 30_000  # frames; of longer videos only key frames are compared, since encoders put cuts there

# Display matrix (a, b, c, d; ISO 14496-12, 8.5.2) -> Pillow's transposition.
_TURNS: Final[dict[tuple[int, int, int, int], Image.Transpose | None]] = {
    (1, 0, 0, 1): None,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
_SIDEWAYS: Final = (
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
)


class Film(Video):
    """A video file. Decoding of a frame starts at the key frame before it."""

    def __init__(self, path: Path, source: str, sha256: str, limits: VideoLimits, kind: str, reader: str) -> None:
        super().__init__(path, source, sha256, limits)
        self.kind, self.reader = kind, reader
        self._av = pyav()
        with self._opened() as (container, stream):
            self._read_packets(container, stream)
        self._check_length()
        with self._opened() as (container, stream):
            self._decode_first(container, stream)

    # --- opening ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """(container, its video stream), opened with the detected demuxer."""
        try:
            with (
                self.path.open("rb") as file,
                self._av.open(file, format=self.reader, metadata_errors="replace") as container,
            ):
                yield container, self._stream(container)
        except (self._av.error.FFmpegError, EOFError):
            raise self._damaged(self.kind) from None
        except OSError as error:
            raise VideoError(f"{self.quoted} cannot be read: {(error.strerror or 'unknown error').lower()}.") from None
        except MemoryError:
            raise VideoError(f"{self.quoted} does not fit into memory; scale it down first.") from None

    def _stream(self, container: Any) -> Any:
        """The video track that players show: the default one, of several the largest.

        Cover pictures, thumbnails of chapters and layers that only refine another track are none.
        """
        kinds = self._av.stream.Disposition
        aside = kinds.attached_pic | kinds.timed_thumbnails | kinds.still_image | kinds.dependent
        tracks = [stream for stream in container.streams.video if not stream.disposition & aside]
        decodable = [stream for stream in tracks if stream.codec_context is not None]
        if decodable:
            stream = max(decodable, key=lambda one: (bool(one.disposition & kinds.default), *_extent(one)))
            stream.thread_type = "AUTO"
            return stream
        if tracks:
            raise VideoError(
                f"{self.quoted} is a {self.kind} file with a kind of picture that cannot be decoded here; "
                "convert it to MP4."
            )
        if container.streams.audio:
            raise VideoError(f"{self.quoted} has sound but no pictures; name a file with a video stream.")
        raise VideoError(f"{self.quoted} is a {self.kind} file without a single frame; copy or export it again.")

    def _read_packets(self, container: Any, stream: Any) -> None:
        """Read times and key frames from all packets, without decoding."""
        shown: dict[int, bool] = {}  # presentation time, in ticks: key frame?
        entry: dict[int, int] = {}  # of key frames: the seek position
        last = (0, 0)
        try:
            for packet in container.demux(stream):
                ticks = packet.pts if packet.pts is not None else packet.dts
                if not packet.size or ticks is None or packet.is_discard:
                    continue
                shown[ticks] = shown.get(ticks, False) or packet.is_keyframe
                if packet.is_keyframe:
                    # Matroska seeks by presentation time, other formats by decoding time.
                    by_shown = self.reader == "matroska" or packet.dts is None
                    entry[ticks] = ticks if by_shown else packet.dts
                last = max(last, (ticks, packet.duration or 0))
                if len(shown) > self.limits.frames:
                    raise self._too_many_frames()
        except (self._av.error.FFmpegError, EOFError):
            self.notes.append("its end is missing")
        if not shown:
            raise VideoError(f"{self.quoted} is a {self.kind} file without a single frame; copy or export it again.")
        self._ticks = array("q", sorted(shown))
        self.keys = [number for number, ticks in enumerate(self._ticks) if shown[ticks]]
        self._entries = [entry[self._ticks[number]] for number in self.keys]
        base = Fraction(stream.time_base or Fraction(1, 1000))
        self._base = base
        first = self._ticks[0] * base
        # A player's clock starts with the earliest stream, which may be the sound.
        start = min(first, Fraction(container.start_time, 1_000_000)) if container.start_time is not None else first
        self.times = array("d", (float(ticks * base - start) for ticks in self._ticks))
        steps = len(self._ticks) - 1
        usual = (self._ticks[-1] - self._ticks[0]) / steps if steps else 0
        rate = stream.average_rate or stream.guessed_rate
        shortest = float(1 / rate) if rate else 0.04
        self.end = self.times[-1] + (float((last[1] or usual) * base) or shortest)

    def _decode_first(self, container: Any, stream: Any) -> None:
        """Read size, pixel shape and orientation from a decoded frame, since headers are often wrong."""
        self._check_frame(stream.codec_context.width or 1, stream.codec_context.height or 1)
        frame = next(self._decoded(container, stream), None)
        if frame is None:
            raise self._damaged(self.kind)
        self._check_frame(frame.width, frame.height)
        ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        self._stretch = float(ratio) if ratio and 0.1 < ratio < 10 else 1.0
        self._turn = _turn(frame)
        self._peak = peak_of(frame)
        width, height = max(1, round(frame.width * self._stretch)), frame.height
        self.width, self.height = (height, width) if self._turn in _SIDEWAYS else (width, height)
        gaps = [b - a for a, b in zip(self._ticks, self._ticks[1:], strict=False)]
        if gaps and max(gaps) > 3 * sorted(gaps)[len(gaps) // 2]:
            self.notes.append("variable frame rate")
        if self._turn is not None:
            self.notes.append("turned upright")
        if (note := colour_note(frame)) is not None:
            self.notes.append(note)

    # --- decoding ---------------------------------------------------------------------------------------------------

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        """Intact frames from the current position to the end; damaged packets are skipped."""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (self._av.error.FFmpegError, EOFError):  # truncated file: flush the decoder
                packet = None
            try:
                # None flushes the decoder.
                frames = stream.codec_context.decode(packet) if packet is None or packet.size else []
            except (self._av.error.FFmpegError, EOFError):
                frames = []
            for frame in frames:
                if frame.pts is not None and not frame.is_corrupt:
                    yield frame
            if packet is None:
                return

    def pictures(self, numbers: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        waiting: list[int] = []  # before the first frame that can be decoded
        good: Image.Image | None = None
        with self._opened() as (container, stream):
            cursor = _Cursor(self, container, stream)
            for number in sorted(set(numbers)):
                frame = cursor.to(number)
                if frame is not None:
                    good = self._upright(frame)
                elif good is None:
                    waiting.append(number)
                    continue
                for one in (*waiting, number):
                    assert good is not None
                    yield one, self._picture(good, one)
                waiting.clear()
        if waiting:
            raise self._damaged(self.kind)

    def _upright(self, frame: Any) -> Image.Image:
        size = self._fitting(max(1, round(frame.width * self._stretch)), frame.height)
        image = to_image(frame, size, self._peak)
        return image.transpose(self._turn) if self._turn is not None else image

    def changes(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, float]]:
        return scored(self._small_frames(first, len(self._ticks) - 1 if last is None else last))

    def _small_frames(self, first: int, last: int) -> Iterator[tuple[int, Any]]:
        with self._opened() as (container, stream):
            if last - first >= EXACT:
                stream.codec_context.skip_frame = "NONKEY"
            place = bisect_right(self.keys, first) - 1
            if place > 0:
                with suppress(self._av.error.FFmpegError):
                    container.seek(self._entries[place], stream=stream, backward=True, any_frame=False)
            for frame in self._decoded(container, stream):
                number = max(0, bisect_right(self._ticks, frame.pts) - 1)
                if number < first:
                    continue
                if number > last:
                    return
                width, height = small_size(frame.width, frame.height)
                yield number, frame.reformat(width=width, height=height, format="rgb24")


class _Cursor:
    """Moves from one requested frame to the next, and seeks if a key frame saves decoding."""

    def __init__(self, film: Film, container: Any, stream: Any) -> None:
        self.film, self.container, self.stream = film, container, stream
        self.frames: Iterator[Any] | None = None
        self.held: Any = None  # the last decoded frame that is not later than the target
        self.ahead: Any = None  # a decoded frame later than the target
        self.whole = False  # seeking failed once: decode all frames from now on

    def to(self, number: int) -> Any:
        """The frame with that number, or the nearest intact one before it, or the next one; None if there is none."""
        film = self.film
        target = film._ticks[number]
        place = bisect_right(film.keys, number) - 1
        here = self.ahead or self.held
        if self.frames is None or (place >= 0 and not self.whole and here and film._ticks[film.keys[place]] > here.pts):
            self._jump(film._entries[place] if place >= 0 else None)
        self._forward(target)
        if self.held is None and not self.whole:  # seeking landed behind the frame: the file has no usable index
            self.whole = True
            self._jump(None)
            self._forward(target)
        return self.held or self.ahead

    def _jump(self, ticks: int | None) -> None:
        self.held = self.ahead = None
        if ticks is None:
            ticks = min(0, self.film._ticks[0], *self.film._entries[:1])
        # After a failed seek, `to` notices that the position is behind the target.
        with suppress(self.film._av.error.FFmpegError):
            self.container.seek(ticks, stream=self.stream, backward=True, any_frame=False)
        self.frames = self.film._decoded(self.container, self.stream)

    def _forward(self, target: int) -> None:
        assert self.frames is not None
        if self.ahead is not None and self.ahead.pts <= target:
            self.held, self.ahead = self.ahead, None
        while self.ahead is None and (self.held is None or self.held.pts < target):
            frame = next(self.frames, None)
            if frame is None:
                return
            if frame.pts <= target:
                self.held = frame
            else:
                self.ahead = frame


# --- tracks, orientation and change -----------------------------------------------------------------------------------


def _extent(stream: Any) -> tuple[int, float]:
    """(pixels of a frame, seconds), to choose between tracks; the first of equal ones wins."""
    context = stream.codec_context
    seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    return (context.width or 0) * (context.height or 0), seconds


def _turn(frame: Any) -> Image.Transpose | None:
    """The transposition that makes a frame upright; None for other angles than right ones."""
    for data in frame.side_data:
        if "DISPLAYMATRIX" in str(data.type).upper():
            try:
                a, b, _, c, d, *_ = unpack("=9i", bytes(data)[:36])
            except (StructError, TypeError, ValueError):
                return None
            return _TURNS.get((_sign(a), _sign(b), _sign(c), _sign(d)))
    return None


def _sign(fixed: int) -> int:
    """16.16 fixed point as -1, 0 or 1; 2 for any other value."""
    value = fixed / 65536
    return round(value) if abs(value - round(value)) < 0.01 and abs(value) < 1.5 else 2
