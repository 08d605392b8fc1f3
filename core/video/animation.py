"""GIF, animated WebP and animated PNG as a Video, decoded by Pillow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

from core.images.colour import over_white
from core.images.decode import load
from core.images.picture import Picture
from core.images.salvage import without_metadata
from core.video.base import Video, VideoError, VideoLimits

MAX_BYTES: Final = 200_000_000
MAX_WORK: Final = 20_000_000_000  # pixels of all frames together, since all are decoded
SHORTEST: Final = 0.02  # seconds; browsers show frames with shorter durations for `DEFAULT`
DEFAULT: Final = 0.1


class Animation(Video):
    """An animated picture. Each frame depends on the previous one, so all are decoded."""

    def __init__(self, path: Path, source: str, sha256: str, limits: VideoLimits, kind: str) -> None:
        super().__init__(path, source, sha256, limits)
        self.kind = kind
        if path.stat().st_size > MAX_BYTES:
            raise VideoError(f"{self.quoted} is larger than the {MAX_BYTES:,} bytes allowed for a {kind} file.")
        self._data = path.read_bytes()
        try:
            try:
                self._read_frames()
            except (VideoError, MemoryError):
                raise
            except Exception:
                if (reduced := without_metadata(kind, self._data)) is None:
                    raise
                self._data = reduced
                self._read_frames()
        except VideoError:
            raise
        except MemoryError:
            raise VideoError(f"{self.quoted} does not fit into memory; scale it down first.") from None
        except Exception:  # noqa: BLE001 - decoders raise anything, from SyntaxError to struct.error
            raise self._damaged(kind) from None
        self._check_length()

    def _opened(self) -> Any:
        return load(self.kind, self._data)

    def _read_frames(self) -> None:
        image = self._opened()
        self.width, self.height = image.size
        self._check_frame(self.width, self.height)
        count = getattr(image, "n_frames", 1)
        if count > self.limits.frames:
            raise self._too_many_frames()
        if count * self.width * self.height > MAX_WORK:
            raise VideoError(
                f"{self.quoted} has {count} frames of {self.width} x {self.height} pixels, which is too much for a "
                f"{self.kind} file; convert it to MP4."
            )
        times: list[float] = []
        now = 0.0
        for number in range(count):
            try:
                image.seek(number)
                image.load()
            except Exception:
                if not times:
                    raise
                self.notes.append(f"damaged after {number} frames")
                break
            times.append(now)
            shown = float(image.info.get("duration") or 0) / 1000
            now += shown if shown >= SHORTEST else DEFAULT
        self.times, self.end = times, now
        self.keys = [0]

    def pictures(self, numbers: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        requested = set(numbers)
        for number, image in self._frames(last=max(requested, default=-1)):
            if number in requested:
                size = self._fitting(*image.size)
                shown = image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)
                yield number, self._picture(shown, number)

    def changes(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, float]]:
        from core.video.scenes import scored, small

        frames = self._frames(last=len(self.times) - 1 if last is None else last)
        return scored((number, small(image)) for number, image in frames if number >= first)

    def _frames(self, *, last: int) -> Iterator[tuple[int, Image.Image]]:
        """Every frame up to `last` as RGB over white."""
        image = self._opened()
        for number in range(min(last + 1, len(self.times))):
            try:
                image.seek(number)
                frame = over_white(image)
            except Exception:  # noqa: BLE001 - see above
                raise self._damaged(self.kind) from None
            yield number, frame
