"""Answers that cannot both be true are found; those that can are left alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import agents.text.claims as claims_module
import agents.text.contradictions as contradictions_module
from agents.text.contradictions import contradictions
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


NOUNS = st.sampled_from(
    ["dog", "dogs", "car", "cup\u200b", "o'clock", "people", "middle of the picture", "glass", "cafés"]
)
ANSWERS = st.sampled_from(
    ["Yes.", "no", "There is a {}.", "There is no {} on the left.\n", "There are two {}.", "There are three\t{}."]
    + ["The {} is red.", "The {}\nis blue.", "It is on the left.", "on the right", "It is indoors.", "outside", "four"]
)
QUESTIONS = st.sampled_from(
    ["Is there a {}?", "How many {} are there?", "What colour is the {}?", "Where is the {}?", "Describe it.", ""]
)


@settings(deadline=None)
@given(st.lists(st.tuples(QUESTIONS, ANSWERS, NOUNS), min_size=2, max_size=8))
def test_the_words_are_one_line_that_names_both_answers(said: list[tuple[str, str, str]]) -> None:
    pairs = [(question.format(noun), answer.format(noun)) for question, answer, noun in said]
    found_ = contradictions(turns(*pairs))
    assert [(one.second, one.first) for one in found_] == sorted({(one.second, one.first) for one in found_})
    for one in found_:
        assert 1 <= one.first < one.second <= len(pairs)
        assert one.words.isprintable() and one.words.strip() == one.words
        assert f"answer {one.first} " in one.words and f"answer {one.second} " in one.words
    assert found(("Is there a dog?", "No."), *pairs, ("", "There is a dog.")), "these two are found among any others"


# ---- a part and the whole, two moments, a material and a thing -----------------------------------------------------

D = "Describe it."
BOTH_TRUE: list[tuple[Pair, Pair]] = [
    ((D, "The middle of the picture is mostly blue."), (D, "The picture is grey and brown.")),
    (
        ("What is in the middle?", "The middle of the picture is mostly blue."),
        ("What colour is the picture?", "The picture is grey and brown."),
    ),
    (("What colour is the picture?", "The middle is mostly blue."), (D, "The picture is grey and brown.")),
    (("What colour is the picture?", "It is mostly blue in the middle."), (D, "The picture is grey and brown.")),
    ((D, "The picture is blue in the middle."), (D, "The picture is grey and brown.")),
    ((D, "The top of the car is red."), (D, "The car is white.")),
    ((D, "The top of the car is red."), (D, "The top of the table is white.")),
    (("What colour is the top of the car?", "red"), ("What colour is the top of the table?", "white")),
    (("What colour is the dog on the left?", "brown"), ("What colour is the dog on the right?", "white")),
    ((D, "The dog on the left is brown."), (D, "The dog on the right is white.")),
    ((D, "The dog on the left is brown."), (D, "The dog is white.")),
    ((D, "On the left, the dog is brown."), (D, "On the right, the dog is white.")),
    ((D, "The man in the car is green."), (D, "The car is red.")),
    ((D, "The sky is clear and the car is red."), (D, "The sky is blue.")),
    ((D, "The man is wearing a red shirt."), (D, "The man is wearing blue trousers.")),
    ((D, "The car is red at the front."), (D, "The car is blue.")),
    (("What colour is the car?", "The colour is red."), ("What colour is the sky?", "The colour is blue.")),
    ((D, "The main colours are green and blue."), (D, "The main colour is brown.")),
    ((D, "The main colours of the picture are green and blue."), (D, "The picture is brown.")),
    (
        ("What are the main colours of the picture?", "The main colours are green and blue."),
        ("What colour is the picture?", "brown"),
    ),
    (("What colours do you see?", "green"), ("What colours do you see in the background?", "red")),
    (("What are the main colours?", "The dominant colours are white and blue."), (D, "The colour is red.")),
    (("Frame 1: What colour is the light?", "red"), ("Frame 7: What colour is the light?", "green")),
    (("Frame 1: Is there a dog?", "Yes, there is a dog."), ("Frame 2: Is there a dog?", "No, there is no dog.")),
    (("Frame 1: What do you see?", "There are two dogs."), ("Frame 3: What do you see?", "There are three dogs.")),
    (("Scene 1, 0:00 to 0:05:", "There is a dog."), ("Scene 2, 0:05 to 0:10:", "There is no dog.")),
    ((D, "At first the light is red."), (D, "Later the light is green.")),
    ((D, "At the end there is no dog."), (D, "There is a dog.")),
    ((D, "In the first picture there is a dog."), (D, "In the second picture there is no dog.")),
    ((D, "There is no glass in the window."), (D, "There is a glass on the table.")),
    ((D, "There is no glass."), (D, "There are two glasses on the table.")),
    (("Is there any glass?", "No."), (D, "There is a glass on a table.")),
    (("Is there any light?", "No."), (D, "There is a light above the door.")),
    ((D, "There is no paper."), (D, "A man reads the paper.")),
    (("Is there a dog in the foreground?", "No."), (D, "There is a dog in the background.")),
    (("Is there a cup on the table?", "No."), (D, "There is a cup on the floor.")),
    (("Is there a cup on the table?", "No."), (D, "There is a cup under the table.")),
    (("Are there people sitting?", "No."), (D, "There are some people standing.")),
    ((D, "There is no dog on the left."), (D, "There is a dog.")),
    ((D, "There is no dog wearing a hat."), (D, "The dog runs.")),
    (("How many people are in the foreground?", "two"), ("How many people are there?", "five")),
    (("How many people are in the foreground?", "two"), ("How many people are in the background?", "five")),
    (("How many legs does the table have?", "four"), ("How many legs does the bird have?", "two")),
    ((D, "There are two dogs on the left."), (D, "There are three dogs.")),
    ((D, "There are two people on a bench."), (D, "There are five people.")),
    (("Where is the handle of the cup?", "on the left"), ("Where is the handle of the door?", "on the right")),
    (
        ("Where is the dog?", "It is to the left of the tree."),
        ("Where is the dog?", "It is on the right side of the picture."),
    ),
    (("Where is the ball?", "in his right hand"), ("Where is the ball?", "on the left")),
    (("Where is the cat?", "It is on top of the table."), ("Where is the cat?", "at the bottom of the picture")),
    (("Where is the dog?", "right in front of the house"), ("Where is the dog?", "on the left")),
    (("Where is the dog?", "There is a dog inside a car."), (D, "It is outdoors.")),
    ((D, "There is an indoor plant."), (D, "The scene is outdoors.")),
    ((D, "A man stands outside the window."), (D, "It is indoors.")),
    ((D, "There is a night stand."), (D, "It is day.")),
    ((D, "The centre of the image is mainly yellow."), (D, "The image is black and white.")),
    ((D, "The lower half of the photo is green."), (D, "The photo is blue.")),
    ((D, "The edges of the picture are dark brown."), (D, "The picture is light blue.")),
    ((D, "The background is mostly green."), (D, "The picture is grey and brown.")),
    ((D, "The background of the picture is white."), (D, "The background of the poster is red.")),
    ((D, "Most of the picture is blue."), (D, "The picture is grey.")),
    ((D, "Part of the wall is red."), (D, "The wall is white.")),
    ((D, "The wall behind the man is white."), (D, "The wall on the right is red.")),
    ((D, "The door is red on the inside."), (D, "The door is white.")),
    ((D, "The left half is blue and the right half is red."), (D, "The picture is green.")),
    ((D, "The man's hat is red."), (D, "The man's shirt is blue.")),
    ((D, "The car has a red roof."), (D, "The car is white.")),
    ((D, "The car is red and white."), (D, "The main colour of the car is white.")),
    ((D, "One of the dogs is brown."), (D, "The dogs are white.")),
    ((D, "The picture has some red in it."), (D, "The picture is grey and brown.")),
    (("What colour is the middle of the picture?", "blue"), ("What colour is the picture?", "grey and brown")),
    (("What is the main colour?", "Blue."), ("What other colours are there?", "red")),
    (("What colour is the bottom?", "It is green."), ("What colour is the top?", "It is blue.")),
    (("How many windows are on the left building?", "four"), ("How many windows are on the right building?", "six")),
    (("How many people are wearing hats?", "two"), ("How many people are there?", "three")),
    (("How many wheels does the truck have?", "six"), ("How many wheels does the bike have?", "two")),
    (("Are there any people in the background?", "No."), (D, "There are people in the foreground.")),
    (("Is there a tree near the house?", "No, there is not."), (D, "There is a tree in the distance.")),
    (("Do you see a cat on the sofa?", "No."), (D, "There is a cat on the floor.")),
    (("Is there snow on the ground?", "No."), (D, "There is some snow on the mountains.")),
    ((D, "There is no hair on his head."), (D, "There is a hair in the soup.")),
    ((D, "There is no wood in the fireplace."), (D, "There is a wood behind the house.")),
    ((D, "There is no room for a car."), (D, "There is a room.")),
    (("Frame 2: Is the door open?", "Yes."), ("Frame 5: Is the door open?", "No.")),
    (("Frame 2: Where is the ball?", "on the left"), ("Frame 5: Where is the ball?", "on the right")),
    ((D, "In frame 3 the light is red."), (D, "In frame 5 the light is green.")),
    ((D, "Before, there were two dogs. Now there are three dogs."), (D, "There are two dogs.")),
    ((D, "In the beginning the sky is blue."), (D, "The sky is orange.")),
    ((D, "After the turn the car is red."), (D, "The car is blue.")),
    ((D, "There is no one on the bench."), (D, "There is one man.")),
    ((D, "The dog is sitting inside the house."), (D, "It is outdoors.")),
    (("Where is the cup?", "on the left side of the plate"), ("Where is the cup?", "on the right")),
    (("Where is the bird?", "at the top of the tree"), ("Where is the bird?", "at the bottom of the picture")),
    ((D, "The people in the photo on the wall are blue."), (D, "The people are white.")),
    ((D, "There are four glasses on the table."), (D, "There is no glass in the frame.")),
    ((D, "There are sunglasses and a pair of glasses."), (D, "There is no glass.")),
]
NOT_BOTH_TRUE: list[tuple[Pair, Pair]] = [
    ((D, "The middle of the picture is blue."), (D, "The middle of the picture is red.")),
    ((D, "The picture is grey."), (D, "The picture is blue.")),
    ((D, "The car is mostly blue."), (D, "The car is red.")),
    ((D, "The car in the picture is red."), (D, "The car is blue.")),
    ((D, "The top of the car is red."), ("What colour is the top of the car?", "white")),
    (("What colour is the dog on the left?", "brown"), ("What colour is the dog on the left?", "white")),
    ((D, "The dog on the left is brown."), (D, "The dog on the left is white.")),
    ((D, "The sky is clear and the car is red."), (D, "The car is blue.")),
    ((D, "The main colour of the picture is green."), (D, "The main colour of the picture is red.")),
    ((D, "The colour of the car is red."), ("What colour is the car?", "blue")),
    ((D, "The car is a red convertible."), (D, "The car is blue.")),
    ((D, "The wall is painted white."), (D, "The wall is green.")),
    (("Frame 1: What colour is the light?", "red"), ("Frame 1: What colour is the light?", "green")),
    (("Frame 4: Is there a dog?", "Yes."), ("Frame 4: Do you see a dog?", "No.")),
    (("Frame 4: Is the door open?", "Yes."), ("Frame 4: Is the door open?", "No.")),
    (("Is there a glass?", "No."), (D, "There is a glass on the table.")),
    (("Is there a glass?", "No, there is no glass."), (D, "There is a brown glass.")),
    (("Is there any water?", "No."), (D, "There is some water.")),
    (("Are there any glasses?", "No."), (D, "There are some glasses.")),
    (("Is there a dog in the picture?", "No."), (D, "There is a dog in the background.")),
    (("Is there a dog in the foreground?", "No."), (D, "There is a dog in the foreground.")),
    (("Is there a dog?", "No."), ("Is there a dog on the left?", "Yes.")),
    ((D, "There is no dog in this image."), (D, "There is a dog on a lawn.")),
    ((D, "There are no dogs."), (D, "There is a dog.")),
    ((D, "There is no dog or cat."), (D, "There is a dog.")),
    (("How many people are in the foreground?", "six"), ("How many people are there?", "five")),
    (("How many people are in the foreground?", "two"), ("How many people can be seen in the foreground?", "three")),
    (("How many ducks are there?", "three"), (D, "There are two ducks on a pond.")),
    (("How many dogs do you see in the picture?", "two"), (D, "There are three dogs.")),
    ((D, "There are two dogs on the left."), (D, "There are three dogs on the left.")),
    (("Where is the dog?", "on the left side of the picture"), ("Where is the dog sitting?", "on the right")),
    (("Where is the cat?", "at the top left"), ("Where is the cat?", "at the bottom left of the image")),
    (("Where is the dog?", "in the foreground"), ("Where is the dog?", "It is in the background.")),
    ((D, "It is an indoor scene."), (D, "The picture was taken outdoors.")),
    ((D, "It is outside."), (D, "They are inside.")),
    ((D, "It is night."), (D, "It is a bright day.")),
    ((D, "The centre of the image is yellow."), (D, "The centre of the picture is blue.")),
    ((D, "The background is green."), (D, "The background is red.")),
    ((D, "The background of the picture is green."), (D, "The background is red.")),
    ((D, "The left half of the picture is blue."), (D, "The left half of the image is red.")),
    ((D, "The wall is mainly white."), (D, "The wall is red.")),
    ((D, "The cat on the sofa is black."), (D, "The cat on the sofa is white.")),
    ((D, "The cars are red."), (D, "The cars are blue.")),
    (("What colour are the walls?", "They are white."), (D, "The walls are green.")),
    (("What color is the woman's dress?", "It is red."), (D, "The woman's dress is blue.")),
    (("Are there any people?", "No, there are no people."), (D, "There are two people on a bench.")),
    (("Can you see a boat?", "No."), (D, "There is a boat on the water.")),
    (("Is there a boat on the water?", "No."), (D, "There is a boat on the water.")),
    (("Is there any snow?", "No."), (D, "There is some snow on the mountains.")),
    (("How many boats are on the water?", "two"), ("How many boats are on the water?", "three")),
    (("How many apples are there?", "Three apples."), (D, "There are exactly five apples.")),
    (("Frame 3: How many dogs are there?", "two"), ("Frame 3: How many dogs do you see?", "three")),
    (("Where is the lamp?", "It is on the left."), ("Where is the lamp?", "On the right of the picture.")),
    ((D, "The scene is outdoors."), (D, "This is an indoor scene.")),
    ((D, "It is daytime."), (D, "The photo was taken at night.")),
    (("Is it sunny?", "Yes."), ("Is it sunny?", "No.")),
    ((D, "There is a lamp."), (D, "There isn't a lamp.")),
    ((D, "I see a horse."), (D, "I don't see any horse.")),
    ((D, "No dogs are visible."), (D, "There is a dog.")),
    ((D, "The sky is blue. There are two birds."), (D, "There are three birds. The sky is grey.")),
]


@pytest.mark.parametrize(("first", "second"), BOTH_TRUE)
def test_parts_moments_and_materials_do_not_contradict_the_whole(first: Pair, second: Pair) -> None:
    assert found(first, second) == []
    assert found(second, first) == []


@pytest.mark.parametrize(("first", "second"), NOT_BOTH_TRUE)
def test_the_same_part_moment_or_material_does(first: Pair, second: Pair) -> None:
    assert found(first, second) == [(1, 2)]
    assert found(second, first) == [(1, 2)]


# ---- what it costs ---------------------------------------------------------------------------------------------------


def counting(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Any]:
    """The calls of a function from now on."""
    calls: list[Any] = []
    real = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *given: (calls.append(given), real(*given))[1])
    return calls


def test_an_answer_is_read_once_however_often_a_page_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    said = turns(*((f"Is there a zebra number {number}?", "No, there is none.") for number in range(20)))
    read = counting(monkeypatch, claims_module, "certain_part")
    for length in range(1, len(said) + 1):
        contradictions(said[:length])
        contradictions(said[:length])
    assert len(read) == len(said)


def test_a_dialogue_that_was_read_before_is_not_gone_through_again(monkeypatch: pytest.MonkeyPatch) -> None:
    said = turns(("Is there a gnu?", "No."), (D, "There is a gnu."))
    asked = counting(monkeypatch, contradictions_module, "claims")
    assert contradictions(said) == contradictions(tuple(said)) != ()
    assert len(asked) == 2


def test_work_grows_with_the_turns_and_not_with_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = counting(monkeypatch, contradictions_module, "_excludes")
    work, pairs = [], []
    for length in (300, 600):
        answers = [
            f"There are {number % 9} okapis, and there is {'a' if number % 2 else 'no'} tapir."
            for number in range(length)
        ]
        compared.clear()
        pairs.append(len(contradictions(turns(*((D, answer) for answer in answers)))))
        work.append(len(compared))
    assert work[1] <= 2.2 * work[0]
    assert pairs[1] <= 2.2 * pairs[0]


@pytest.mark.parametrize(
    "answer",
    [
        "There is no " + "in" * 10_000,
        "The " + "a- " * 7_000,
        "The middle of the picture " * 900,
        "no " + "aa " * 7_000 + "is",
        "there is a " * 2_000,
        "The car is " + "red and " * 2_500,
    ],
)
def test_a_long_answer_made_to_take_long_does_not(answer: str) -> None:
    contradictions(turns((answer, answer), ("Is there a dog?", answer), (D, "There is a dog.")))


def test_what_a_sign_says_is_no_claim() -> None:
    sign = Turn(question="What is written in the picture?", answer='It says "There is no dog".', answered_by="reader")
    assert contradictions([sign, Turn(question="Is there a dog?", answer="yes")]) == ()
