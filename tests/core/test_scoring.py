"""Scores by words: which choice an answer means, and what a backend without probabilities makes of it."""

from __future__ import annotations

import math

import pytest

from core.errors import UsageError
from core.scoring import ScoredToken, named_choice, scores_of_words, shown_tokens
from core.vision import EncodedImage, GenerationOptions, VisualQuestion
from tests.agents.fakes import CountingVision

YES_NO = ("yes", "no")
NUMBERS = ("0", "one", "2", "three", "4")
COLOURS = ("red", "grey", "dark red", "blue")
PLACES = ("on the left", "on the right", "in the middle")
IMAGE = EncodedImage("a" * 64, "1", None)


@pytest.mark.parametrize(
    ("answer", "choices", "named"),
    [
        ("Yes.", YES_NO, "yes"),
        ("No, there is no dog.", YES_NO, "no"),
        ("yes, and there are no others", YES_NO, "yes"),
        ("There isn't a dog.", YES_NO, "no"),
        ("There is no dog here.", YES_NO, "no"),
        ("The dog isn’t black.", YES_NO, "no"),
        ("There is a dog.", YES_NO, "yes"),
        ("There is a cat.", YES_NO, None),
        ("A brown wall.", YES_NO, None),
        ("I do not know.", YES_NO, None),
        ("I'm not sure.", YES_NO, None),
        ("Perhaps, yes.", YES_NO, None),
        ("", YES_NO, None),
        ("...", YES_NO, None),
        ("There are two dogs.", NUMBERS, "2"),
        ("2", NUMBERS, "2"),
        ("There are no dogs.", NUMBERS, "0"),
        ("none", NUMBERS, "0"),
        ("three or four", NUMBERS, None),
        ("Eleven", NUMBERS, None),
        ("It is gray.", COLOURS, "grey"),
        ("The car is dark red.", COLOURS, "dark red"),
        ("It is red and blue.", COLOURS, None),
        ("not red", COLOURS, None),
        ("blue, not red", COLOURS, "blue"),
        ("Left.", PLACES, "on the left"),
        ("The dog is on the right.", PLACES, "on the right"),
        ("At the center.", PLACES, None),
        ("In the center.", PLACES, "in the middle"),
        ("猫", ("猫", "犬"), "猫"),
        ("Katze", ("Hund", "Katze"), "Katze"),
    ],
)
def test_the_choice_that_an_answer_means(answer: str, choices: tuple[str, ...], named: str | None) -> None:
    found = named_choice(answer, choices, "Is there a dog?")
    assert (None if found is None else choices[found]) == named
    backwards = named_choice(answer, choices[::-1], "Is there a dog?")
    assert (None if backwards is None else choices[::-1][backwards]) == named


def test_the_named_choice_gets_most_and_the_others_share_the_rest() -> None:
    assert [round(math.exp(one), 3) for one in scores_of_words("two", ("1", "2", "3"))] == [0.05, 0.9, 0.05]
    assert [round(math.exp(one), 3) for one in scores_of_words("two", ("2", "two", "3"))] == [0.45, 0.45, 0.1]
    assert [round(math.exp(one), 3) for one in scores_of_words("perhaps", ("1", "2"))] == [0.5, 0.5]
    assert scores_of_words("yes", ("yes",)) == (0.0,)


def test_a_backend_without_probabilities_answers_once_and_greedily() -> None:
    vision = CountingVision({"Is there a dog?": "Yes, a dog.", "How many?": "I do not know."})
    options = GenerationOptions(max_new_tokens=7, temperature=0.8, seed=3)
    questions = [VisualQuestion(IMAGE, text, options=options) for text in ("Is there a dog?", "How many?")]
    dog, count = vision.score(questions, [YES_NO, NUMBERS])
    assert [asked.options for asked in vision.asked] == [GenerationOptions(max_new_tokens=7)] * 2
    assert dog[0] > dog[1] and len(set(count)) == 1 and len(count) == len(NUMBERS)
    assert vision.score([], []) == [] and not vision.scores


@pytest.mark.parametrize("choices", [[], [YES_NO, YES_NO], [()], [("yes", " ")], ["yes"]])
def test_choices_that_cannot_be_scored_are_refused(choices: list[tuple[str, ...]]) -> None:
    with pytest.raises(UsageError) as refused:
        CountingVision().score([VisualQuestion(IMAGE, "Is it?")], choices)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("written", "text", "shown"),
    [
        ([" a", " cat", "."], "A cat.", [" A", " cat", "."]),
        (["a", " cat", " on", " it"], "a cat", ["a", " cat"]),
        (["a", " ca", "t on", " it"], "a cat", ["a", " ca", "t on"]),
        (["a", " cat"], "Something else.", ["a", " cat"]),
        ([], "", []),
    ],
)
def test_tokens_are_those_of_the_text_that_is_shown(written: list[str], text: str, shown: list[str]) -> None:
    tokens = [ScoredToken(token, -1.0) for token in written]
    assert [token.text for token in shown_tokens(tokens, text)] == shown
