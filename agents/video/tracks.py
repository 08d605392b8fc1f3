"""Follow things from frame to frame by name, overlap and movement, so that none is counted twice.

    tracks = follow([(0.0, findings), (0.5, findings), ...])

Takes what one witness found in frames of a video. A box joins the track of the same name whose expected box it overlaps
most; a small, fast thing may also lie beside it. Tracks bridge a few frames in which the thing was missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final, Literal

from core.findings import Box, Findings

Side = Literal["left", "right", "top", "bottom"]

MOST_GAP: Final = 1.0  # seconds between two frames, up to which things are followed
MISSED: Final = 3  # frames in a row in which a thing may be missed
SHORTEST: Final = 3  # frames of a track
SURE: Final = 0.45  # least mean score of a track
SURER: Final = 0.55  # the same for one that is not there in most frames
DENSE: Final = 0.6  # least share of its frames, from first to last, in which a thing was found
OVERLAP: Final = 0.2  # least intersection over union with the expected box
REACH: Final = 0.6  # else: largest distance of the centres, in longer sides of the expected box
ALIKE: Final = 0.45  # then: least ratio of the two areas
EDGE: Final = 0.02  # share of the frame beside an edge that counts as the edge
MOVED: Final = 0.5  # least movement of a thing that comes or goes, in its width (or height)

Moment = tuple[float, Findings]
"""Seconds, and what was found in the frame at that time."""


@dataclass(slots=True)
class Track:
    """One thing: the frames in which it was found, by their place in the list of moments, and its boxes."""

    name: str
    places: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    @property
    def first(self) -> int:
        return self.places[0]

    @property
    def last(self) -> int:
        return self.places[-1]

    @property
    def score(self) -> float:
        """Mean score."""
        return fmean(self.scores)

    @property
    def dense(self) -> bool:
        """Whether the thing was found in most frames from the first to the last."""
        return len(self.places) >= DENSE * (self.last - self.first + 1)

    def add(self, place: int, seconds: float, box: Box, score: float) -> None:
        self.places.append(place)
        self.seconds.append(seconds)
        self.boxes.append(box)
        self.scores.append(score)

    def speed(self, *, end: bool = True) -> tuple[float, float]:
        """Pixels per second to the right and down, over the last (or first) three boxes; (0, 0) for a single box."""
        part = slice(-3, None) if end else slice(0, 3)
        boxes, seconds = self.boxes[part], self.seconds[part]
        span = seconds[-1] - seconds[0]
        if span <= 0:
            return 0.0, 0.0
        (x, y), (later_x, later_y) = _centre(boxes[0]), _centre(boxes[-1])
        return (later_x - x) / span, (later_y - y) / span

    def expected(self, seconds: float, *, end: bool = True) -> Box:
        """Where the box would be at that time if the movement went on (or had begun earlier)."""
        box, known = (self.boxes[-1], self.seconds[-1]) if end else (self.boxes[0], self.seconds[0])
        right, down = self.speed(end=end)
        x, y = right * (seconds - known), down * (seconds - known)
        return Box(left=box.left + x, top=box.top + y, right=box.right + x, bottom=box.bottom + y)


def can_follow(seconds: Sequence[float]) -> bool:
    """Whether frames at these times are close enough to each other to follow things."""
    return len(seconds) > 1 and all(
        later - earlier <= MOST_GAP for earlier, later in zip(seconds, seconds[1:], strict=False)
    )


def follow(moments: Sequence[Moment]) -> list[Track]:
    """The tracks of all things, in order of appearance. Short and unsure ones are dropped."""
    tracks: list[Track] = []
    for place, (seconds, findings) in enumerate(moments):
        open_tracks = [track for track in tracks if place - track.last <= MISSED + 1]
        pairs = sorted(
            (
                (likeness, -at, -number)
                for at, track in enumerate(open_tracks)
                for number, thing in enumerate(findings.things)
                if thing.name == track.name and (likeness := _likeness(track, seconds, thing.box)) > 0
            ),
            reverse=True,
        )
        taken: set[int] = set()
        grown: set[int] = set()
        for _, at, number in pairs:
            if -at not in grown and -number not in taken:
                grown.add(-at)
                taken.add(-number)
                thing = findings.things[-number]
                open_tracks[-at].add(place, seconds, thing.box, thing.score)
        for number, thing in enumerate(findings.things):
            if number not in taken:
                tracks.append(Track(thing.name))
                tracks[-1].add(place, seconds, thing.box, thing.score)
    least = min(SHORTEST, len(moments))
    return [
        track
        for track in tracks
        if len(track.places) >= least
        and track.dense
        and track.score >= (SURE if 2 * len(track.places) > len(moments) else SURER)
    ]


def entered(track: Track, moments: Sequence[Moment]) -> Side | None:
    """The side from which the thing came into view; None if it was there from the start, or appeared elsewhere."""
    return _side(track, moments, end=False) if track.first > 0 else None


def left(track: Track, moments: Sequence[Moment]) -> Side | None:
    """The side to which the thing went out of view; None if it was there to the end, or was lost elsewhere."""
    return _side(track, moments, end=True) if track.last < len(moments) - 1 else None


def _side(track: Track, moments: Sequence[Moment], *, end: bool) -> Side | None:
    """The edge that the box touches, or would touch one frame before its first (after its last) one."""
    place = track.last if end else track.first
    beyond = moments[place + (1 if end else -1)][0]
    width, height = moments[place][1].width, moments[place][1].height
    known = track.boxes[-1] if end else track.boxes[0]
    box = track.expected(beyond, end=end)
    other = track.boxes[max(0, len(track.boxes) - 4)] if end else track.boxes[min(3, len(track.boxes) - 1)]
    (x, y), (other_x, other_y) = _centre(known), _centre(other)
    wide, high = max(known.right - known.left, 1.0), max(known.bottom - known.top, 1.0)
    # How far each edge was approached, in widths or heights of the thing.
    approached: dict[Side, float] = {
        "left": (other_x - x) / wide if box.left <= EDGE * width else 0.0,
        "right": (x - other_x) / wide if box.right >= (1 - EDGE) * width else 0.0,
        "top": (other_y - y) / high if box.top <= EDGE * height else 0.0,
        "bottom": (y - other_y) / high if box.bottom >= (1 - EDGE) * height else 0.0,
    }
    side = max(approached, key=lambda one: approached[one])
    return side if approached[side] >= MOVED else None


def _likeness(track: Track, seconds: float, box: Box) -> float:
    """From 0 (another thing) to 2: overlaps count more than nearness."""
    expected = track.expected(seconds)
    best = max(expected.overlap(box), track.boxes[-1].overlap(box) * 0.9)
    if best >= OVERLAP:
        return 1.0 + best
    areas = sorted((track.boxes[-1].area, box.area))
    if not areas[0] or areas[0] / areas[1] < ALIKE:
        return 0.0
    (x, y), (other_x, other_y) = _centre(expected), _centre(box)
    longer = max(expected.right - expected.left, expected.bottom - expected.top)
    distance = float(((x - other_x) ** 2 + (y - other_y) ** 2) ** 0.5) / longer
    return 1.0 - distance / REACH if distance < REACH else 0.0


def _centre(box: Box) -> tuple[float, float]:
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2
