"""Answers that cannot both be true are found; those that can are left alone."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.contradictions import contradictions
from core.records import Turn

Pair = tuple[str, str]


def turns(*pairs: Pair) -> list[Turn]:
    return [Turn(question=question, answer=answer) for question, answer in pairs]


def found(*pairs: Pair) -> list[tuple[int, int]]:
    return [(one.first, one.second) for one in contradictions(turns(*pairs))]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("Describe it.", "There is a dog on a lawn."), ("Is there a dog?", "No, there is no dog.")),
        (("Describe it.", "A brown dog runs over a lawn."), ("Is there a dog?", "No.")),
        (("What do you see?", "I see a bicycle."), ("Is there a bicycle in the picture?", "no")),
        (("How many ducks are there?", "There are two ducks."), ("Describe it.", "There are three ducks on a pond.")),
        (("How many ducks are there?", "two"), ("How many ducks do you count?", "four")),
        (("What colour is the car?", "It is red."), ("Tell me about the car.", "The car is blue and fast.")),
        (("What color is the car?", "grey"), ("What colour is the car?", "green")),
        (("Where is the cat?", "It is on the left."), ("Where is the cat sitting?", "on the right side")),
        (("Where is this?", "It is indoors, in a kitchen."), ("Is the sun shining?", "Yes, they are outdoors.")),
        (("Is the door open?", "Yes."), ("Is the door open?", "No, it is closed.")),
    ],
)
def test_what_cannot_both_be_true(first: Pair, second: Pair) -> None:
    assert found(first, second) == [(1, 2)]
    assert found(second, first) == [(1, 2)], "the order does not matter"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("Describe it.", "There is a dog on a lawn."), ("Is there a cat?", "No, there is no cat.")),
        (("Describe it.", "A man rides a horse."), ("Are there any other people?", "No.")),
        (("Describe it.", "There is a cat."), ("How many cats are there?", "There is one cat.")),
        (("What colour is the car?", "It is red."), ("What colour is the sky?", "It is blue.")),
        (("What colour is the cat?", "It is black and white."), ("What colour is the cat?", "white")),
        (("What colour is the car?", "It is gray."), ("Tell me about the car.", "The car is grey.")),
        (("Where is the cat?", "It is on the left."), ("Where is the dog?", "It is on the right.")),
        (("Where is the cat?", "It is on the left."), ("Where is the cat?", "It is on a table.")),
        (("How many ducks are there?", "two"), ("How many geese are there?", "three")),
        (("Is there a dog?", "No, there is no dog."), ("Is there anything else?", "No.")),
        (("Is there a dog?", "No, there is no dog."), ("What is it?", "It is not a dog.")),
        (("Describe it.", "There is a lot of grass."), ("Are there a lot of people?", "No.")),
    ],
)
def test_what_can_both_be_true(first: Pair, second: Pair) -> None:
    assert found(first, second) == []
    assert found(second, first) == []


def test_an_unsure_answer_contradicts_nothing() -> None:
    unsure = Turn(question="Is there a dog?", answer="I do not know.", certainty="unsure")
    assert contradictions([*turns(("Describe it.", "There is a dog.")), unsure]) == ()


def test_the_words_name_both_answers() -> None:
    [one] = contradictions(turns(("Describe it.", "There is a dog."), ("Is there a dog?", "No.")))
    assert one.words == "answer 1 says there is a dog, answer 2 that there is none"


def test_each_pair_is_told_once() -> None:
    said = turns(
        ("Describe it.", "There is a dog. The dog is brown."),
        ("Is there a dog?", "No."),
        ("What colour is the dog?", "It is white."),
    )
    assert [(one.first, one.second) for one in contradictions(said)] == [(1, 2), (1, 3)]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=120)), max_size=5))
def test_any_words_can_be_read(pairs: list[Pair]) -> None:
    for one in contradictions(turns(*pairs)):
        assert 1 <= one.first < one.second <= len(pairs)
        assert one.words.isprintable() or "\n" not in one.words
