"""What witnesses found, in words."""

from __future__ import annotations

import pytest

from agents.witnesses.words import (
    NO_TEXT,
    NO_THINGS,
    certain_words,
    number,
    plural_phrase,
    statements,
    text_in_words,
    things_in_words,
)
from core.witness import Box, Findings, TextLine, Thing


def thing(name: str, centre: float, finer: str | None = None) -> Thing:
    return Thing(name=name, score=0.9, finer=finer, box=Box(left=centre - 5, top=0, right=centre + 5, bottom=10))


def line(text: str, score: float = 0.99) -> TextLine:
    return TextLine(text=text, score=score, box=Box(left=0, top=0, right=9, bottom=9))


def found(*things: Thing, lines: tuple[TextLine, ...] = ()) -> Findings:
    return Findings(witness="w", revision="1", width=300, height=200, things=things, lines=lines)


@pytest.mark.parametrize(
    ("things", "words"),
    [
        ((), NO_THINGS),
        ((thing("dog", 50),), "A dog on the left."),
        ((thing("dog", 150, "beagle"),), "A beagle in the middle."),
        ((thing("umbrella", 250),), "An umbrella on the right."),
        ((thing("person", 50), thing("person", 60), thing("dog", 250)), "Two people on the left. A dog on the right."),
        (
            (thing("dog", 20, "beagle"), thing("person", 10), thing("person", 290), thing("dog", 150)),
            "Two dogs: one on the left, one in the middle. Two people: one on the left, one on the right.",
        ),
        (tuple(thing("traffic light", 150) for _ in range(12)), "About 12 traffic lights in the middle."),
    ],
)
def test_things_have_counts_and_places(things: tuple[Thing, ...], words: str) -> None:
    assert things_in_words([found(*things)]) == words


def test_findings_of_two_witnesses_are_told_together() -> None:
    assert things_in_words([found(thing("cat", 10)), found(thing("cat", 20))]) == "Two cats on the left."


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), NO_TEXT),
        ((line("O"),), NO_TEXT),
        ((line("EXIT"), line("Gate 9")), 'It says "EXIT", "Gate 9".'),
        ((line("YAMARA", 0.8),), 'Perhaps it says "YAMARA".'),
        ((line("EXIT"), line("m0re", 0.5)), 'It says "EXIT". Perhaps it also says "m0re".'),
    ],
)
def test_lines_are_quoted(lines: tuple[TextLine, ...], words: str) -> None:
    assert text_in_words([found(lines=lines)]) == words


def test_many_lines_are_counted() -> None:
    words = text_in_words([found(lines=tuple(line(f"row {n}") for n in range(50)))])
    assert words.endswith('"row 39" and 10 more lines.')


def test_numbers_and_plurals() -> None:
    assert [number(n) for n in (1, 10, 11)] == ["one", "ten", "about 11"]
    assert [plural_phrase(name) for name in ("wine glass", "person", "scissors", "sheep", "knife")] == [
        "wine glasses", "people", "scissors", "sheep", "knives"
    ]  # fmt: skip


def test_only_certain_words_are_used() -> None:
    assert certain_words(text_in_words([found(lines=(line("EXIT"), line("m0re", 0.5)))])) == 'It says "EXIT".'
    assert certain_words(text_in_words([found(lines=(line("m0re", 0.5),))])) == ""
    assert certain_words(NO_THINGS) == certain_words(NO_TEXT) == ""
    assert certain_words("Two dogs on the left.") == "Two dogs on the left."


def test_long_lines_are_counted_and_quotation_marks_stay_apart() -> None:
    words = text_in_words([found(lines=tuple(line("w" * 700) for _ in range(4)))])
    assert words.count('"') == 4 and words.endswith('" and 2 more lines.')
    assert text_in_words([found(lines=(line("w" * 9000), line("x1")))]).endswith(" and 1 more line.")
    assert text_in_words([found(lines=(line('5" pipe'),))]) == 'It says "5\' pipe".'


def test_each_statement_names_who_makes_it() -> None:
    seen = Findings(
        witness="a", revision="1", width=300, height=200, things=(thing("dog", 50),), looked_for=("things",)
    )
    read = Findings(witness="b", revision="1", width=300, height=200, lines=(line("EXIT"),), looked_for=("text",))
    told = [(one.kind, one.names, one.sure) for one in statements([seen, read, found(thing("cat", 1))])]
    assert told == [("things", "a, w", True), ("text", "b", True)]
    assert statements([]) == [] == statements([found().model_copy(update={"looked_for": ("text",)})])
    assert [(one.names, one.sure) for one in statements([found()])] == [("w", False)]


@pytest.mark.parametrize(("count", "words"), [(3, "Three"), (5, "Five"), (7, "About seven"), (14, "About 14")])
def test_more_than_five_things_are_an_estimate(count: int, words: str) -> None:
    assert things_in_words([found(*[thing("person", 150)] * count)]) == f"{words} people in the middle."
