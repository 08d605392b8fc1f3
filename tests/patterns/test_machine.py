"""The counter of steps finds what `re` finds, and its counts grow as the time that `re` takes."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from tests.patterns.machine import Machine, TooManySteps

ATOMS = st.sampled_from(
    ["a", "b", "ab", " ", ".", r"\w", r"\s", r"\b", "[ab]", "[^a]", r"\W", "^", "$", r"\Z", "(a)", "(?i:A)", r"(?<=a)"]
    + [r"(?<!b)", r"(?=b)", r"(?!a)", "(?>a|ab)", "(?s:.)", r"(a|b)\1", "(?:(a)|b)(?(1)a|b)"]
)
REPEATS = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "*+", "++", "{2}", "{1,3}", "{0,2}?", "{2,}+"])


def _takes_letters(pattern: str) -> bool:
    """How often a part that may be empty is repeated is a matter of `re`'s own; such a pattern is an example below."""
    return re._parser.parse(pattern).getwidth()[0] > 0  # type: ignore[attr-defined]


def _more(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner.filter(_takes_letters), REPEATS).map(lambda two: f"(?:{two[0]}){two[1]}"),
    )


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.recursive(ATOMS, _more, max_leaves=6), st.text("ab AB\n_", max_size=9), st.sampled_from([0, re.I, re.M]))
@example(r"(\S{1,4}?)\1{2,}", "abababab", 0)
@example(r"(?:a*?)*b", "aaab", 0)
@example(r"\b", "a b", 0)
def test_it_finds_what_re_finds(pattern: str, text: str, flags: int) -> None:
    try:
        compiled = re.compile(pattern, flags)
    except re.error:
        assume(False)
    expected = [match.span() for match in compiled.finditer(text)]
    found = Machine(pattern, flags).search_all(text, limit=2_000_000)
    assert [spans[0] for spans in found.spans] == expected


@pytest.mark.parametrize(
    ("pattern", "text", "groups"),
    [
        (r"(a)|(b)", "ab", [((0, 1), (0, 1), (-1, -1)), ((1, 2), (-1, -1), (1, 2))]),
        (r"<(\w+)>.*?(?:</\1>|\Z)", "<b>x</b>", [((0, 8), (1, 2))]),
    ],
)
def test_it_finds_the_groups(pattern: str, text: str, groups: list[tuple[tuple[int, int], ...]]) -> None:
    assert Machine(pattern).search_all(text).spans == groups


@pytest.mark.parametrize(
    ("pattern", "pump", "tail", "power"),
    [
        (r"a+b", "b", "", 1),
        (r"\s+$", " ", "x", 2),
        (r"(?<!\s)\s++$", " ", "x", 1),
        (r"^\s*a*\s*a*b", "a", "x", 2),
        (r"(?s)<think>.*?</think>", "<think>", "", 2),
        (r"(?:a\s*){1,4}c", "a", "x", 1),
        (r"(?:[a-z]+\s*){1,2}c", "a", "x", 3),
    ],
)
def test_its_steps_grow_as_they_should(pattern: str, pump: str, tail: str, power: int) -> None:
    steps = [Machine(pattern).search_all(pump * times + tail).steps for times in (40, 80)]
    assert steps[1] / steps[0] == pytest.approx(2**power, rel=0.15)


def test_it_gives_up_at_its_limit() -> None:
    with pytest.raises(TooManySteps):
        Machine(r"(?:a|a)*b").search_all("a" * 60, limit=10_000)
