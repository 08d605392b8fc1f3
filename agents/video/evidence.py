"""What witnesses found in frames of a video, in sentences: what is there, how many, when, what comes and goes.

Counts are estimates, since a detector misses some things: "about five people at a time". Comings and goings are told
only if the frames are close enough to follow things (`agents.video.tracks`). Nothing is told about who somebody is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median_low
from typing import Final

from agents.text.cleaning import clean_quoted
from agents.video.tracks import MISSED, SHORTEST, SURE, Moment, Side, Track, can_follow, entered, follow, left
from agents.witnesses.words import NO_TEXT, NO_THINGS, number, plural_phrase, text_in_words
from core.findings import Box, Findings, Kind, TextLine, Thing, Third
from core.nouns import plural, with_article
from core.video.base import clock

MOST_NAMES: Final = 8  # that are told
MOST_TIMES: Final = 4  # of comings and goings by one side
MOST_SPANS: Final = 3
EXACT: Final = 3  # counts above it are "about"
STILL: Final = 0.9  # share of the boxes in one third of the frame, from which the place is told
SAME: Final = 0.6  # overlap from which two names are taken for one thing
REPEATED: Final = 2  # frames that a line of text must be in
NEARLY: Final = 0.85  # share of the frames from which a thing is there "nearly the whole time"
ACROSS: Final = 0.25  # of the frame's width, from which a movement to one side is told
WHOLE: Final = " the whole time"
_IN: Final[dict[Side, str]] = {
    "left": "from the left", "right": "from the right", "top": "from above", "bottom": "from below",
}  # fmt: skip
_OUT: Final[dict[Side, str]] = {"left": "to the left", "right": "to the right", "top": "upwards", "bottom": "downwards"}
_PLACES: Final[dict[Third, str]] = {"left": " on the left", "middle": " in the middle", "right": " on the right"}


@dataclass(frozen=True, slots=True)
class Fact:
    """What witnesses say about one part of a video: the answer in words, their names, whether it is certain."""

    part: int  # from 0
    kind: Kind
    answer: str
    names: str
    sure: bool


def facts(moments: Sequence[Sequence[Moment]], parts: Sequence[tuple[float, float]]) -> list[Fact]:
    """The facts about each part (begin and end in seconds); `moments` are those of each witness, in order of time.

    Of several witnesses that look for things, each tells the names that none before it told.
    """
    watched = [Watched(one) for one in moments if one and any("things" in found.looked_for for _, found in one)]
    lines = _repeated(moment for one in moments for moment in one)
    told: list[Fact] = []
    for part, (begin, end) in enumerate(parts):
        texts: list[str] = []
        names: set[str] = set()
        for one in watched:
            text, new = one.told(begin, end, names)
            texts += [text] if text else []
            names |= new
        if watched:
            by = ", ".join(dict.fromkeys(one.witness for one in watched))
            told.append(Fact(part, "things", clean_quoted(" ".join(texts) or NO_THINGS), by, bool(texts)))
        here = [moment for one in moments for moment in one if begin <= moment[0] <= end]
        if found := [lines[key] for key in dict.fromkeys(_keys(here)) if key in lines]:
            text = text_in_words([Findings(witness="", revision="", width=1, height=1, lines=tuple(found))])
            by = ", ".join(dict.fromkeys(seen.witness for _, seen in here if seen.lines))
            if text != NO_TEXT:
                told.append(Fact(part, "text", clean_quoted(text), by, True))
    return told


def _keys(moments: Iterable[Moment]) -> Iterable[str]:
    return (_key(line) for _, found in moments for line in found.lines if line.certain)


def _key(line: TextLine) -> str:
    return "".join(line.text.casefold().split())


def _repeated(moments: Iterable[Moment]) -> dict[str, TextLine]:
    """The lines of text that are certain in several frames, or in the only one."""
    seen: dict[str, set[float]] = {}
    best: dict[str, TextLine] = {}
    times: set[float] = set()
    for seconds, found in moments:
        times.add(seconds)
        for line in found.lines:
            if line.certain:
                key = _key(line)
                seen.setdefault(key, set()).add(seconds)
                best[key] = max(best.get(key, line), line, key=lambda one: one.score)
    return {key: line for key, line in best.items() if len(seen[key]) >= min(REPEATED, len(times))}


class Watched:
    """What one witness found in frames of a video, and the tracks of the things where they could be followed."""

    def __init__(self, moments: Sequence[Moment]) -> None:
        self.moments = moments
        self.witness = moments[0][1].witness
        self.seconds = [seconds for seconds, _ in moments]
        self.followed = can_follow(self.seconds)
        self.tracks = _without_doubles(follow(moments)) if self.followed else []

    def told(self, begin: float, end: float, known: Iterable[str] = ()) -> tuple[str, set[str]]:
        """Sentences about the time from `begin` to `end`, and the names in them; those in `known` are left out."""
        places = [place for place, seconds in enumerate(self.seconds) if begin <= seconds < end]
        if not places and self.seconds:
            places = [min(range(len(self.seconds)), key=lambda place: abs(self.seconds[place] - begin))]
        counts = {name: counted for name in self._names(places) if (counted := self._counts(name, places))}
        order = sorted(set(counts) - set(known), key=lambda name: (-sum(map(bool, counts[name])), name))
        sentences = [sentence for name in order[:MOST_NAMES] for sentence in self._about(name, counts[name], places)]
        if (more := len(order) - MOST_NAMES) > 0:
            kinds = "kind of thing" if more == 1 else "kinds of things"
            sentences.append(f"{number(more).capitalize()} more {kinds} can be made out.")
        if sentences and not self.followed and len(places) > 1:
            gap = (self.seconds[places[-1]] - self.seconds[places[0]]) / (len(places) - 1)
            sentences.append(
                f"These are counts at moments about {gap:.0f} seconds apart; comings and goings were not followed."
            )
        return " ".join(sentences), set(order)

    # --- how many, when -----------------------------------------------------------------------------------------------

    def _names(self, places: Sequence[int]) -> set[str]:
        if self.followed:
            return {track.name for track in self.tracks}
        return {thing.name for place in places for thing in self._sure(place)}

    def _sure(self, place: int) -> list[Thing]:
        return [thing for thing in self.moments[place][1].things if thing.score >= SURE]

    def _counts(self, name: str, places: Sequence[int]) -> list[int]:
        """How many at each of these places; [] if it was found too seldom."""
        if self.followed:
            mine = [track for track in self.tracks if track.name == name]
            found = [sum(place in track.places for track in mine) for place in places]
            bridged = [any(track.first <= place <= track.last for track in mine) for place in places]
            counts = [max(count, int(there)) for count, there in zip(found, bridged, strict=True)]
        else:
            counts = [sum(thing.name == name for thing in self._sure(place)) for place in places]
        return counts if sum(map(bool, counts)) >= min(SHORTEST, len(places)) else []

    def _about(self, name: str, counts: Sequence[int], places: Sequence[int]) -> list[str]:
        there = sorted(count for count in counts if count)
        typical, most = median_low(there), there[math.ceil(0.9 * len(there)) - 1]
        be, (many, at_a_time) = "is" if most == 1 else "are", _how_many(name, typical, most)
        boxes = self._boxes(name, places)
        place = _place(boxes, self.moments[0][1].width)
        when = self._when(counts, places)
        if when == WHOLE:
            sentences = [f"There {be} {many}{place}{when}{at_a_time}."]
        else:  # a detector that misses a thing is no proof that it is gone
            sentences = [f"{many[0].upper()}{many[1:]} can be made out{place}{when}{at_a_time}."]
        if self.followed:
            mine = [track for track in self.tracks if track.name == name]
            only = f"the {name}" if len(mine) == 1 else ""
            coming = [(track.seconds[0], track.first, entered(track, self.moments)) for track in mine]
            going = [(track.seconds[-1], track.last, left(track, self.moments)) for track in mine]
            sentences += _crossings(name, only, coming, places, ("comes into view", "come into view"), _IN)
            sentences += _crossings(name, only, going, places, ("goes out of view", "go out of view"), _OUT)
            if only and not place and (way := _way(boxes, self.moments[0][1].width)):
                sentences.append(f"The {name} moves {way}.")
        return sentences

    def _boxes(self, name: str, places: Sequence[int]) -> list[Box]:
        """In order of time."""
        if not self.followed:
            return [thing.box for place in places for thing in self._sure(place) if thing.name == name]
        wanted = set(places)
        found = [
            (place, box)
            for track in self.tracks
            if track.name == name
            for place, box in zip(track.places, track.boxes, strict=True)
            if place in wanted
        ]
        return [box for _, box in sorted(found, key=lambda pair: pair[0])]

    def _when(self, counts: Sequence[int], places: Sequence[int]) -> str:
        """ " the whole time", " from 0:03 to 0:12", or the like."""
        there = [at for at, count in enumerate(counts) if count]
        if not self.followed:
            return (
                " at all of these moments"
                if len(there) == len(counts) > 1
                else f" at {self._of_moments(there, counts)}"
            )
        spans: list[list[int]] = []
        for at in there:
            if spans and at - spans[-1][1] <= MISSED + 1:
                spans[-1][1] = at
            else:
                spans.append([at, at])
        if len(spans) == 1 and spans[0][0] <= 1 and spans[0][1] >= len(counts) - 2:
            return WHOLE
        if len(there) >= NEARLY * len(counts):
            return " nearly the whole time"
        times = [(clock(self.seconds[places[a]]), clock(self.seconds[places[b]])) for a, b in spans]
        if len(times) > MOST_SPANS:
            return f" at times between {times[0][0]} and {times[-1][1]}"
        return " " + _listed([f"from {a} to {b}" if a != b else f"at {a}" for a, b in times])

    @staticmethod
    def _of_moments(there: Sequence[int], counts: Sequence[int]) -> str:
        return f"{len(there)} of {len(counts)} moments" if len(counts) > 1 else "one moment"


def _how_many(name: str, typical: int, most: int) -> tuple[str, str]:
    """Subject and what follows the time: "two people", ""; "people", ", about five or six at a time"."""
    if most == 1:
        return with_article(name), ""
    many = plural_phrase(name)
    if typical == most <= EXACT:
        return f"{number(most)} {many}", ""
    about = "about " if most > EXACT else ""
    if most <= typical + 1:
        counts = _bare(most) if typical == most else f"{_bare(typical)} or {_bare(most)}"
        return many, f", {about}{counts} at a time"
    return many, f", about {_bare(typical)} at a time and up to about {_bare(most)}"


def _bare(count: int) -> str:
    return number(count).removeprefix("about ")


def _place(boxes: Sequence[Box], width: int) -> str:
    """The third of the frame in which nearly all boxes lie, or ""."""
    thirds = [box.third(width) for box in boxes]
    return next((text for third, text in _PLACES.items() if thirds and thirds.count(third) >= STILL * len(thirds)), "")


def _way(boxes: Sequence[Box], width: int) -> str:
    moved = (boxes[-1].left + boxes[-1].right - boxes[0].left - boxes[0].right) / 2 / width
    if abs(moved) < ACROSS:
        return ""
    return "from left to right" if moved > 0 else "from right to left"


def _crossings(
    name: str,
    only: str,
    events: Iterable[tuple[float, int, Side | None]],
    places: Sequence[int],
    verbs: tuple[str, str],
    ways: dict[Side, str],
) -> list[str]:
    """ "People come into view from the left at 0:14 and 0:20, and from the right at 0:33." """
    inside = set(places)
    times: dict[Side, list[str]] = {}
    for seconds, place, side in sorted(events, key=lambda event: event[0]):
        if side is not None and place in inside:
            times.setdefault(side, []).append(clock(seconds))
    if not times:
        return []
    single = only or (with_article(name) if sum(map(len, times.values())) == 1 else "")
    subject, verb = (
        (single, verbs[0]) if single else (plural(name) if " " not in name else plural_phrase(name), verbs[1])
    )
    by_side = [f"{ways[side]} at {_some(list(dict.fromkeys(times[side])))}" for side in times]
    return [f"{subject[0].upper()}{subject[1:]} {verb} {_listed(by_side, comma=True)}."]


def _some(times: list[str]) -> str:
    more = len(times) - MOST_TIMES
    return (
        _listed(times)
        if more <= 0
        else f"{', '.join(times[:MOST_TIMES])} and {number(more)} more time{'s' * (more > 1)}"
    )


def _listed(items: Sequence[str], *, comma: bool = False) -> str:
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])}{',' * comma} and {items[-1]}"


def _without_doubles(tracks: list[Track]) -> list[Track]:
    """Without the shorter of two tracks of different names in the same place: one thing with two names."""
    kept: list[Track] = []
    for track in sorted(tracks, key=lambda one: -len(one.places)):
        if not any(other.name != track.name and _mean_box(other).overlap(_mean_box(track)) > SAME for other in kept):
            kept.append(track)
    return sorted(kept, key=lambda one: one.first)


def _mean_box(track: Track) -> Box:
    boxes = track.boxes
    return Box(
        left=fmean(box.left for box in boxes),
        top=fmean(box.top for box in boxes),
        right=fmean(box.right for box in boxes),
        bottom=fmean(box.bottom for box in boxes),
    )
