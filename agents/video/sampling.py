"""Which frames of a video are looked at, and where it is divided into scenes. Numbers in, numbers out; no decoding."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from core.errors import UsageError

Sampling = Literal["uniform", "time", "scene", "key"]
SAMPLINGS: Final[tuple[Sampling, ...]] = ("uniform", "time", "scene", "key")

CUT: Final = 0.3  # of FFmpeg's scene score, the value that its documentation recommends
SHORTEST_SCENE: Final = 0.5  # seconds; flashes and cuts that score twice are no scenes
WHOLE: Final = 60.0  # seconds up to which a video is told as a whole
LONGEST_SCENE: Final = 300.0  # seconds; longer ones are divided, also without a cut
MOST_SCENES: Final = 12


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames `first` to `last` (both included, from 0) and the time they are shown in, in seconds."""

    first: int
    last: int
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def stretch(times: Sequence[float], end: float, first: int, last: int) -> Stretch:
    """The frames from `first` to `last` of a video with these times, whose last frame goes at `end`."""
    return Stretch(first, last, times[first], times[last + 1] if last + 1 < len(times) else end)


def between(times: Sequence[float], end: float, begin: float | None, until: float | None) -> Stretch:
    """The frames that are shown between two times. Raises UsageError where there are none."""
    first = max(0, bisect_right(times, begin) - 1) if begin is not None else 0
    last = bisect_left(times, until) - 1 if until is not None else len(times) - 1
    if (begin is not None and begin >= end) or last < first:
        raise UsageError(f"--from and --to leave nothing of this video, which is {end:.1f} seconds long.")
    return stretch(times, end, first, last)


# --- frames ---------------------------------------------------------------------------------------------------------


def uniform(times: Sequence[float], part: Stretch, count: int) -> list[int]:
    """Exactly `count` different frames (all, where there are no more), evenly spread in time from first to last.

    Where frames stand still so long that two of these times show the same one, others stand in by their number.
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
    """The frame shown at the beginning and then every so many seconds. Raises UsageError for more than `most`."""
    count = math.floor(part.seconds / every - 1e-9) + 1
    if count > most:
        raise UsageError(
            f"one frame every {every:g} s would be {count} frames, more than {most}; take a longer --every, or raise "
            "--frames."
        )
    return sorted({_shown(times, part, part.begin + step * every) for step in range(count)})


def by_key(times: Sequence[float], part: Stretch, keys: Sequence[int], count: int) -> list[int]:
    """Frames that are stored whole; where there are more than `count`, those nearest to an even spread."""
    inside = [number for number in keys if part.first <= number <= part.last] or [part.first]
    places = uniform([times[number] for number in inside], Stretch(0, len(inside) - 1, part.begin, part.end), count)
    return [inside[place] for place in places]


def by_scene(times: Sequence[float], part: Stretch, cuts: Iterable[int], count: int) -> list[int]:
    """`count` frames (all, where there are no more), at least one of every scene, more of the longer ones.

    With more scenes than frames, those next to an even spread of scenes are taken.
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
    """The frame that is shown then, and belongs to the part."""
    return min(part.last, max(part.first, bisect_right(times, moment + 1e-6) - 1))


def _nearest(times: Sequence[float], part: Stretch, moment: float) -> int:
    """The frame that begins nearest to that time."""
    after = min(part.last, max(part.first, bisect_left(times, moment)))
    before = max(part.first, after - 1)
    return before if moment - times[before] < times[after] - moment else after


# --- scenes ---------------------------------------------------------------------------------------------------------


def cuts_in(changes: Iterable[tuple[int, float]], threshold: float = CUT) -> list[int]:
    """The frames with which something new begins."""
    return [number for number, score in changes if score > threshold]


def split(times: Sequence[float], part: Stretch, cuts: Iterable[int]) -> list[Stretch]:
    """The scenes between the cuts; one that would be shorter than `SHORTEST_SCENE` goes to the one before it."""
    begins = [part.first]
    for cut in sorted(cuts):
        if part.first < cut <= part.last and times[cut] - times[begins[-1]] >= SHORTEST_SCENE:
            begins.append(cut)
    if len(begins) > 1 and part.end - times[begins[-1]] < SHORTEST_SCENE:
        begins.pop()
    ends = [*(begin - 1 for begin in begins[1:]), part.last]
    return [
        Stretch(first, last, times[first], part.end if last == part.last else times[last + 1])
        for first, last in zip(begins, ends, strict=True)
    ]


def scenes(times: Sequence[float], part: Stretch, cuts: Iterable[int], most: int) -> list[Stretch]:
    """At most `most` scenes: short ones are joined with a neighbour, those over `LONGEST_SCENE` are divided."""
    found = split(times, part, cuts)
    while len(found) > most:
        at = min(range(len(found)), key=lambda place: found[place].seconds)
        beside = [place for place in (at - 1, at + 1) if 0 <= place < len(found)]
        other = min(beside, key=lambda place: found[place].seconds)
        low, high = sorted((at, other))
        found[low : high + 1] = [
            Stretch(found[low].first, found[high].last, found[low].begin, found[high].end),
        ]
    pieces = [1] * len(found)
    while sum(pieces) < most:
        at = max(range(len(found)), key=lambda place: found[place].seconds / pieces[place])
        if found[at].seconds / pieces[at] <= LONGEST_SCENE:
            break
        pieces[at] += 1
    return [part for scene, count in zip(found, pieces, strict=True) for part in _evenly(times, scene, count)]


def _evenly(times: Sequence[float], scene: Stretch, pieces: int) -> list[Stretch]:
    """The scene in so many pieces of the same length; fewer, where frames stand still for longer than that."""
    step = scene.seconds / pieces
    firsts = [_shown(times, scene, scene.begin + place * step) for place in range(pieces)]
    firsts = sorted({scene.first, *firsts})
    ends = [*(first - 1 for first in firsts[1:]), scene.last]
    return [
        Stretch(first, last, times[first], scene.end if last == scene.last else times[last + 1])
        for first, last in zip(firsts, ends, strict=True)
    ]


def scenes_wanted(seconds: float) -> int:
    """Scenes in which a video of that length is told where nobody said a number: 1 up to a minute, then up to 12."""
    return 1 if seconds <= WHOLE else min(MOST_SCENES, max(2, math.ceil(seconds / 30)))
