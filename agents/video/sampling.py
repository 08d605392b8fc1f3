"""Choose the frames of a video, and divide it into scenes. Works on frame numbers and times; decodes nothing."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from core.errors import UsageError

Sampling = Literal["uniform", "time", "scene", "key"]
SAMPLINGS: Final[tuple[Sampling, ...]] = ("uniform", "time", "scene", "key")

CUT: Final = 0.3  # FFmpeg's scene score, as its documentation recommends
SHORTEST_SCENE: Final = 0.5  # seconds; flashes and double cuts are no scenes
WHOLE: Final = 60.0  # seconds; shorter videos are described as a whole
LONGEST_SCENE: Final = 300.0  # seconds; longer scenes are divided, also without a cut
MOST_SCENES: Final = 12


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames `first` to `last` (inclusive, from 0) and their time in seconds."""

    first: int
    last: int
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def stretch(times: Sequence[float], end: float, first: int, last: int) -> Stretch:
    """Frames `first` to `last` of a video with these times that ends at `end`."""
    return Stretch(first, last, times[first], times[last + 1] if last + 1 < len(times) else end)


def between(times: Sequence[float], end: float, begin: float | None, until: float | None) -> Stretch:
    """The frames between two times. Raises UsageError if there are none."""
    first = max(0, bisect_right(times, begin) - 1) if begin is not None else 0
    last = bisect_left(times, until) - 1 if until is not None else len(times) - 1
    if (begin is not None and begin >= end) or last < first:
        raise UsageError(f"--from and --to leave nothing of this video, which is {end:.1f} seconds long.")
    return stretch(times, end, first, last)


# --- frames ---------------------------------------------------------------------------------------------------------


def uniform(times: Sequence[float], part: Stretch, count: int) -> list[int]:
    """Exactly `count` different frames (or all), evenly spaced in time from first to last.

    If two of these times show the same long frame, others are chosen by their number.
    """
    available = part.last - part.first + 1
    if available <= count:
        return list(range(part.first, part.last + 1))
    if count == 1:
        return [_shown(times, part, part.begin + part.seconds / 2)]
    gap = (times[part.last] - times[part.first]) / (count - 1)
    chosen = {_nearest(times, part, times[part.first] + step * gap) for step in range(count)}
    chosen |= {part.first, part.last}
    for step in range(count):
        if len(chosen) == count:
            break
        chosen.add(part.first + round(step * (available - 1) / (count - 1)))
    for number in range(part.first, part.last + 1):
        if len(chosen) == count:
            break
        chosen.add(number)
    return sorted(chosen)


def by_time(times: Sequence[float], part: Stretch, every: float, most: int) -> list[int]:
    """A frame every `every` seconds, from the beginning. Raises UsageError for more than `most`."""
    count = math.floor(part.seconds / every - 1e-9) + 1
    if count > most:
        raise UsageError(
            f"one frame every {every:g} s would be {count} frames, more than {most}; take a longer --every, or raise "
            "--frames."
        )
    return sorted({_shown(times, part, part.begin + step * every) for step in range(count)})


def by_key(times: Sequence[float], part: Stretch, keys: Sequence[int], count: int) -> list[int]:
    """Key frames; of more than `count`, an evenly spaced choice."""
    inside = [number for number in keys if part.first <= number <= part.last] or [part.first]
    places = uniform([times[number] for number in inside], Stretch(0, len(inside) - 1, part.begin, part.end), count)
    return [inside[place] for place in places]


def by_scene(times: Sequence[float], part: Stretch, cuts: Iterable[int], count: int) -> list[int]:
    """`count` frames (or all), at least one per scene and more of longer scenes.

    With more scenes than frames, evenly spaced scenes are chosen.
    """
    scenes = split(times, part, cuts)
    if len(scenes) >= count:
        places = uniform([scene.begin for scene in scenes], Stretch(0, len(scenes) - 1, part.begin, part.end), count)
        return [uniform(times, scenes[place], 1)[0] for place in places]
    shares = [1] * len(scenes)
    for _ in range(count - len(scenes)):
        room = [at for at, scene in enumerate(scenes) if shares[at] <= scene.last - scene.first]
        if not room:
            break
        shares[max(room, key=lambda at: (scenes[at].seconds / shares[at], -at))] += 1
    return [number for scene, share in zip(scenes, shares, strict=True) for number in uniform(times, scene, share)]


def _shown(times: Sequence[float], part: Stretch, moment: float) -> int:
    """The frame of the part that is shown at `moment`."""
    return min(part.last, max(part.first, bisect_right(times, moment + 1e-6) - 1))


def _nearest(times: Sequence[float], part: Stretch, moment: float) -> int:
    """The frame whose start is nearest to `moment`."""
    after = min(part.last, max(part.first, bisect_left(times, moment)))
    before = max(part.first, after - 1)
    return before if moment - times[before] < times[after] - moment else after


# --- scenes ---------------------------------------------------------------------------------------------------------


def cuts_in(changes: Iterable[tuple[int, float]], threshold: float = CUT) -> list[int]:
    """The frames that begin a new scene."""
    return [number for number, score in changes if score > threshold]


def split(times: Sequence[float], part: Stretch, cuts: Iterable[int]) -> list[Stretch]:
    """The scenes between the cuts; one shorter than `SHORTEST_SCENE` joins the scene before it."""
    begins = [part.first]
    for cut in sorted(cuts):
        if part.first < cut <= part.last and times[cut] - times[begins[-1]] >= SHORTEST_SCENE:
            begins.append(cut)
    if len(begins) > 1 and part.end - times[begins[-1]] < SHORTEST_SCENE:
        begins.pop()
    return _stretches(times, part, begins)


def scenes(times: Sequence[float], part: Stretch, cuts: Iterable[int], most: int) -> list[Stretch]:
    """At most `most` scenes: short ones join a neighbour, those over `LONGEST_SCENE` are divided."""
    found = split(times, part, cuts)
    while len(found) > most:
        at = min(range(len(found)), key=lambda place: found[place].seconds)
        beside = [place for place in (at - 1, at + 1) if 0 <= place < len(found)]
        other = min(beside, key=lambda place: found[place].seconds)
        low, high = sorted((at, other))
        found[low : high + 1] = [Stretch(found[low].first, found[high].last, found[low].begin, found[high].end)]
    pieces = [1] * len(found)
    while sum(pieces) < most:
        at = max(range(len(found)), key=lambda place: found[place].seconds / pieces[place])
        if found[at].seconds / pieces[at] <= LONGEST_SCENE:
            break
        pieces[at] += 1
    return [part for scene, count in zip(found, pieces, strict=True) for part in _evenly(times, scene, count)]


def _evenly(times: Sequence[float], scene: Stretch, pieces: int) -> list[Stretch]:
    """The scene in `pieces` equal parts; fewer if a frame lasts longer than one part."""
    step = scene.seconds / pieces
    firsts = [_shown(times, scene, scene.begin + place * step) for place in range(pieces)]
    firsts = sorted({scene.first, *firsts})
    return _stretches(times, scene, firsts)


def _stretches(times: Sequence[float], part: Stretch, firsts: Sequence[int]) -> list[Stretch]:
    """Divide the part at these frames."""
    lasts = [*(first - 1 for first in firsts[1:]), part.last]
    return [
        Stretch(first, last, times[first], part.end if last == part.last else times[last + 1])
        for first, last in zip(firsts, lasts, strict=True)
    ]


def default_scenes(seconds: float) -> int:
    """Default number of scenes for a video of this length: 1 up to a minute, then up to 12."""
    return 1 if seconds <= WHOLE else min(MOST_SCENES, max(2, math.ceil(seconds / 30)))
