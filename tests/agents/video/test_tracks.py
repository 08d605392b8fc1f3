"""Things followed from frame to frame: on made-up findings, without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from agents.video.evidence import facts
from agents.video.tracks import Moment, can_follow, entered, follow, left
from core.findings import Box, Findings, TextLine, Thing

WIDTH, HEIGHT, STEP = 640, 480, 0.5
Path = Callable[[int], float | None]  # frame -> the left edge of a box, None where it is not found


def at(x: float, y: float = 200.0, *, name: str = "person", score: float = 0.8, size: float = 60.0) -> Thing:
    return Thing(name=name, score=score, box=Box(left=x, top=y, right=x + size / 2, bottom=y + size))


def moments(count: int, *paths: Path, step: float = STEP, mirrored: bool = False) -> list[Moment]:
    found: list[Moment] = []
    for frame in range(count):
        things = [at(x, y=150.0 + 5 * row) for row, path in enumerate(paths) if (x := path(frame)) is not None]
        found.append((frame * step, seen(things, mirrored=mirrored)))
    return found


def seen(things: Sequence[Thing], *, mirrored: bool = False, lines: Sequence[TextLine] = ()) -> Findings:
    if mirrored:
        flipped = [
            thing.box.model_copy(update={"left": WIDTH - thing.box.right, "right": WIDTH - thing.box.left})
            for thing in things
        ]
        things = [thing.model_copy(update={"box": box}) for thing, box in zip(things, flipped, strict=True)]
    return Findings(
        witness="detector", revision="1", width=WIDTH, height=HEIGHT, things=tuple(things), lines=tuple(lines),
        looked_for=("text",) if lines else ("things",),
    )  # fmt: skip


def walk(frame: int) -> float | None:
    """From beyond the left edge to beyond the right one, in frames 3 to 24 of 30."""
    x = -30.0 + 30 * (frame - 2)
    return x if 0 <= x <= WIDTH - 30 else None


def answer(found: Sequence[Moment], end: float | None = None) -> str:
    [fact] = facts([found], [(0.0, end or found[-1][0] + STEP)])
    return fact.answer


def test_two_that_cross_keep_their_tracks() -> None:
    tracks = follow(moments(21, lambda n: 100 + 20.0 * n, lambda n: 500 - 20.0 * n))
    assert [(round(t.boxes[0].left), round(t.boxes[-1].left)) for t in tracks] == [(100, 500), (500, 100)]


def test_a_thing_hidden_for_some_frames_or_missed_in_one_is_one_track() -> None:
    hidden = moments(20, lambda n: None if n in (7, 8, 9, 14) else 100 + 15.0 * n)
    [track] = follow(hidden)
    assert len(track.places) == 16 and (track.first, track.last) == (0, 19)
    assert answer(hidden) == "There is a person the whole time. The person moves from left to right."


def test_two_side_by_side_are_two() -> None:
    pair = moments(10, lambda n: 100 + 10.0 * n, lambda n: 135 + 10.0 * n)
    assert len(follow(pair)) == 2
    assert answer(pair) == "There are two people the whole time."


@pytest.mark.parametrize(("mirrored", "into", "out"), [(False, "left", "right"), (True, "right", "left")])
def test_who_comes_from_one_side_and_leaves_on_the_other(mirrored: bool, into: str, out: str) -> None:
    found = moments(30, walk, mirrored=mirrored)
    [track] = follow(found)
    assert (entered(track, found), left(track, found)) == (into, out)
    assert answer(found) == (
        f"A person can be made out from 0:01 to 0:11. The person comes into view from the {into} at 0:01. "
        f"The person goes out of view to the {out} at 0:11. The person moves from {into} to {out}."
    )


def test_what_is_there_from_the_start_or_ends_in_the_middle_crosses_no_edge() -> None:
    found = moments(12, lambda n: 2.0, lambda n: 200 + 20.0 * n if n < 6 else None)
    assert [(entered(t, found), left(t, found)) for t in follow(found)] == [(None, None)] * 2


def test_short_and_unsure_tracks_and_other_names_are_dropped() -> None:
    blink = moments(10, lambda n: 300.0 if n in (4, 5) else None)
    unsure = [(n * STEP, seen([at(300.0, score=0.3)])) for n in range(10)]
    assert follow(blink) == follow(unsure) == []
    assert answer(blink) == "No thing can be made out with certainty."
    one_thing = [(n * STEP, seen([at(300.0, name="truck" if n % 3 else "car")])) for n in range(12)]
    assert answer(one_thing) == "There is a truck in the middle the whole time."


def test_counts_are_about_and_parts_tell_their_own_time() -> None:
    crowd = [(n * STEP, seen([at(20.0 + 90 * k) for k in range(5 if n < 20 else 6)])) for n in range(40)]
    early, late = facts([crowd], [(0.0, 10.0), (10.0, 20.0)])
    assert early.answer == "There are people the whole time, about five at a time."
    assert late.answer == "There are people the whole time, about six at a time." and late.part == 1
    assert answer(crowd) == "There are people the whole time, about five or six at a time."


def test_frames_far_apart_give_counts_only() -> None:
    found = moments(10, walk, step=5.0)
    assert not can_follow([seconds for seconds, _ in found]) and can_follow([0.0, 0.5, 1.0])
    assert answer(found, 50.0) == (
        "A person can be made out on the left at 7 of 10 moments. "
        "These are counts at moments about 5 seconds apart; comings and goings were not followed."
    )


def test_text_must_be_certain_in_two_frames() -> None:
    def line(text: str, score: float = 0.95) -> TextLine:
        return TextLine(text=text, score=score, box=Box(left=0, top=0, right=9, bottom=9))

    read = [
        (0.0, seen([], lines=[line("Gate 9"), line("EXIT", 0.5)])),
        (1.0, seen([], lines=[line("GATE 9"), line("Once")])),
        (2.0, seen([], lines=[line("EXIT", 0.5)])),
    ]
    [fact] = facts([read], [(0.0, 3.0)])
    assert (fact.kind, fact.answer.casefold(), fact.sure) == ("text", 'it says "gate 9".', True)
    assert facts([], [(0.0, 3.0)]) == []
