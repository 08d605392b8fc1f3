"""Which frames are chosen, and where scenes begin: properties that hold for every video."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.video.sampling import (
    LONGEST_SCENE,
    SHORTEST_SCENE,
    Stretch,
    between,
    by_key,
    by_scene,
    by_time,
    cuts_in,
    default_scenes,
    scenes,
    split,
    stretch,
    uniform,
)
from core.errors import UsageError

gaps = st.lists(st.floats(0.001, 30), min_size=0, max_size=60)


def times_of(gaps_: list[float]) -> list[float]:
    times = [0.0]
    for gap in gaps_:
        times.append(times[-1] + gap)
    return times


def whole(times: list[float], last: float = 0.1) -> Stretch:
    return Stretch(0, len(times) - 1, times[0], times[-1] + last)


@settings(deadline=None)
@given(gaps, st.integers(1, 70))
def test_uniform_gives_exactly_as_many_as_asked(gaps_: list[float], count: int) -> None:
    times = times_of(gaps_)
    chosen = uniform(times, whole(times), count)
    assert len(chosen) == min(count, len(times))
    assert chosen == sorted(set(chosen)) and chosen[0] >= 0 and chosen[-1] < len(times)
    if count >= 2:
        assert chosen[0] == 0 and chosen[-1] == len(times) - 1, "beginning and end are looked at"


def test_uniform_is_even_in_time_not_in_numbers() -> None:
    times = [0.0, 0.1, 0.2, 0.3, 0.4, 5.0, 10.0]
    assert uniform(times, whole(times), 3) == [0, 5, 6]
    assert uniform(times, whole(times), 1) == [5], "the middle"
    assert uniform([float(n) for n in range(81)], Stretch(0, 80, 0, 81), 5) == [0, 20, 40, 60, 80]


@settings(deadline=None)
@given(gaps, st.integers(1, 70), st.integers(0, 59), st.integers(0, 59))
def test_a_part_gives_only_its_own_frames(gaps_: list[float], count: int, one: int, two: int) -> None:
    times = times_of(gaps_)
    first, last = sorted((one % len(times), two % len(times)))
    part = stretch(times, times[-1] + 0.1, first, last)
    chosen = uniform(times, part, count)
    assert set(chosen) <= set(range(first, last + 1)) and len(chosen) == min(count, last - first + 1)


def test_by_time() -> None:
    times = [number / 10 for number in range(100)]
    part = Stretch(0, 99, 0.0, 10.0)
    assert by_time(times, part, 2.5, 10) == [0, 25, 50, 75]
    assert by_time(times, part, 60, 10) == [0]
    assert by_time([0.0, 9.0], Stretch(0, 1, 0.0, 10.0), 1.0, 20) == [0, 1], "a frame that stands still comes once"
    with pytest.raises(UsageError, match="would be 100 frames, more than 10"):
        by_time(times, part, 0.1, 10)


def test_by_key() -> None:
    times = [number / 10 for number in range(100)]
    part = Stretch(0, 99, 0.0, 10.0)
    assert by_key(times, part, [0, 30, 60, 90], 8) == [0, 30, 60, 90]
    assert by_key(times, part, range(0, 100, 10), 4) == [0, 30, 60, 90]
    assert by_key(times, Stretch(31, 39, 3.1, 4.0), [0, 30, 60], 3) == [31], "no key frame inside: its first one"


@settings(deadline=None)
@given(gaps, st.lists(st.integers(0, 60), max_size=10), st.integers(1, 20))
def test_by_scene_looks_into_every_scene_it_can(gaps_: list[float], cuts: list[int], count: int) -> None:
    times = times_of(gaps_)
    part = whole(times)
    chosen = by_scene(times, part, cuts, count)
    found = split(times, part, cuts)
    assert len(chosen) == min(count, len(times)) and chosen == sorted(set(chosen))
    if len(found) <= count:
        assert all(any(scene.first <= number <= scene.last for number in chosen) for scene in found)


def test_longer_scenes_get_more_frames() -> None:
    times = [number / 10 for number in range(100)]
    chosen = by_scene(times, Stretch(0, 99, 0.0, 10.0), [20], 5)
    assert sum(number < 20 for number in chosen) == 1 and sum(number >= 20 for number in chosen) == 4


def test_cuts() -> None:
    assert cuts_in([(0, 0.0), (5, 0.29), (9, 0.31), (12, 1.0)]) == [9, 12]


@settings(deadline=None)
@given(gaps, st.lists(st.integers(0, 60), max_size=20), st.integers(1, 12))
def test_scenes_cover_everything_once(gaps_: list[float], cuts: list[int], most: int) -> None:
    times = times_of(gaps_)
    part = whole(times)
    found = scenes(times, part, cuts, most)
    assert 1 <= len(found) <= most
    assert found[0].first == 0 and found[-1].last == len(times) - 1
    assert found[0].begin == part.begin and found[-1].end == part.end
    for one, two in zip(found, found[1:], strict=False):
        assert one.last + 1 == two.first and one.end == two.begin == times[two.first]


def test_scenes_join_flashes_and_divide_what_is_long() -> None:
    times = [number / 10 for number in range(1000)]
    part = Stretch(0, 999, 0.0, 100.0)
    assert [scene.first for scene in split(times, part, [300, 302, 600, 998])] == [0, 300, 600]
    assert SHORTEST_SCENE > 0.2
    assert [scene.first for scene in scenes(times, part, [300, 310, 600], 3)] == [0, 300, 600], "short ones are joined"
    slow = [float(number) for number in range(3600)]
    hour = scenes(slow, Stretch(0, 3599, 0.0, 3600.0), [], 12)
    assert len(hour) == 12 and all(scene.seconds <= LONGEST_SCENE for scene in hour)


def test_how_many_scenes() -> None:
    assert [default_scenes(seconds) for seconds in (0, 60, 61, 120, 3600)] == [1, 1, 3, 4, 12]


def test_between_two_times() -> None:
    times = [number / 10 for number in range(100)]
    assert between(times, 10.0, None, None) == Stretch(0, 99, 0.0, 10.0)
    assert between(times, 10.0, 2.0, 3.0) == Stretch(20, 29, 2.0, 3.0)
    assert between(times, 10.0, 9.95, None).first == 99
    for begin, until in ((10.0, None), (None, 0.0), (50.0, 60.0)):
        with pytest.raises(UsageError, match=r"leave nothing of this video, which is 10\.0 seconds long"):
            between(times, 10.0, begin, until)
