"""Frames of a video examined by witnesses: those that look for things see more frames than the vision model.

A witness that fails loses no video: the others go on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from agents.video.sampling import Stretch, uniform
from agents.video.tracks import Moment
from agents.witnesses.examination import Find, examine_pictures

if TYPE_CHECKING:
    from core.images.picture import Picture
    from core.video.base import Video

PER_SECOND: Final = 2.0  # frames that are examined for things
MOST: Final = 160  # of them per video
BATCH: Final = 4  # frames that are examined together


@dataclass(slots=True)
class ExaminedVideo:
    """What each witness found, in order of time; one line for each that failed; the seconds it took."""

    moments: list[list[Moment]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def frames_for_things(times: Sequence[float], about: Stretch) -> list[int]:
    """Up to two frames a second and `MOST` in all, evenly in time."""
    return uniform(times, about, min(MOST, max(2, math.ceil(about.seconds * PER_SECOND))))


def examine_video(
    video: Video,
    about: Stretch,
    frames: Sequence[int],
    names: Sequence[str],
    examined: ExaminedVideo,
    find: Find | None = None,
) -> Iterator[str]:
    """Add what the witnesses find to `examined`; yields the progress before each batch. Raises VideoError.

    `frames`: those that the vision model answers about. A witness that does not look for things examines only these.
    """
    for name in names:
        yield f"examining frame 1 of {len(frames)}"
        moments = _examined(video, list(video.pictures(frames[:1])), name, find, examined)
        numbers = list(frames[1:]) if moments else []
        if any("things" in found.looked_for for _, found in moments):
            moments, numbers = [], frames_for_things(video.times, about)
        pictures = video.pictures(numbers) if numbers else iter(())
        count = 0
        while batch := list(islice(pictures, BATCH)):
            yield f"examining frame {count + 1} of {len(numbers)}"
            found = _examined(video, batch, name, find, examined)
            if not found:
                break
            moments += found
            count += len(batch)
        examined.moments.append(moments)


def _examined(
    video: Video, batch: Sequence[tuple[int, Picture]], name: str, find: Find | None, examined: ExaminedVideo
) -> list[Moment]:
    """What the witness finds in these frames; problems and seconds are added to `examined`."""
    moments: list[Moment] = []
    results = examine_pictures([name], [picture for _, picture in batch], find)
    for (number, _), result in zip(batch, results, strict=True):
        moments += [(video.times[number], found) for found in result.findings]
        examined.problems += [line for line in result.problems if line not in examined.problems]
        examined.seconds += result.seconds
    return moments
