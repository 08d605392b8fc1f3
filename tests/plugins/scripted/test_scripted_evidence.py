"""What witnesses answered: `scripted` tells it with counts and places, quotes writing, does not ask for it again."""

from __future__ import annotations

import pytest

from agents.interview.prompts import Prompts
from agents.witnesses.words import statements, text_in_words, things_in_words
from core.findings import Findings
from core.tasks import NOTHING_NEW, TaskTurn
from core.testing import make_line, make_thing
from plugins.scripted.asking import learn, next_question
from plugins.scripted.evidence import kind_of, kinds_of
from plugins.scripted.topics import topic_of
from plugins.scripted.writing import summarise

PROMPTS = Prompts.load()
THINGS, TEXT = PROMPTS.text("witness.things"), PROMPTS.text("witness.text")


def turns(opening: str, things: str = "", text: str = "", *more: tuple[str, str]) -> list[TaskTurn]:
    found = [TaskTurn(THINGS, things, not things.startswith("No thing"), "detector")] if things else []
    found += [TaskTurn(TEXT, text, not text.startswith("Perhaps"), "reader")] if text else []
    return [TaskTurn(PROMPTS.text("answerer.opening"), opening), *found, *(TaskTurn(*one) for one in more)]


def questions(given: list[TaskTurn], count: int = 8) -> list[str]:
    """What is asked next if nothing is ever known."""
    asked: list[str] = []
    while len(asked) < count and (not asked or asked[-1] != NOTHING_NEW):
        asked.append(next_question([*given, *(TaskTurn(one, "I do not know.", False) for one in asked)]))
    return asked


@pytest.mark.parametrize(
    ("opening", "things", "summary"),
    [
        ("I am not sure what this is.", "A dog on the left.", "The picture shows a dog on the left."),
        (
            "I am not sure what this is.",
            "Six cars: four on the left, two in the middle.",
            "The picture shows six cars, four on the left and two in the middle.",
        ),
        (
            "a man riding a horse on the beach.",
            "A person in the middle. A horse in the middle.",
            "The picture shows a man riding a horse on the beach.",
        ),
        (
            "a man riding a horse on the beach.",
            "Three people: one on the left, two in the middle. A horse in the middle.",
            "The picture shows a man riding a horse on the beach. Three people can be made out in all.",
        ),
        (
            "a golden retriever sitting on a couch.",
            "A golden retriever in the middle. A couch in the middle. A potted plant on the right.",
            "The picture shows a golden retriever sitting on a couch. There is also a potted plant on the right.",
        ),
        ("a dog on a lawn.", "A beagle on the left.", "The picture shows a beagle on a lawn."),
        (
            "a dog and a cat.",
            "Two dogs: one on the left, one in the middle. A cat on the right.",
            "The picture shows two dogs and a cat on the right. Of the two dogs, one is on the left and one is in the "
            "middle.",
        ),
        (
            "a flock of sheep on a green field.",
            "About 14 sheep: five on the left, nine in the middle.",
            "The picture shows a flock of sheep on a green field.",
        ),
        ("there is a cup of coffee.", "A cup in the middle.", "The picture shows a cup of coffee in the middle."),
        (
            "it is on the left. there is a dog on the left.",
            "A dog on the right.",
            "The picture shows a dog on the right.",
        ),
    ],
)
def test_things_have_counts_and_places(opening: str, things: str, summary: str) -> None:
    assert summarise(turns(opening, things)) == summary


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('It says "HOME".', 'It says "HOME".'),
        ('It says "EXIT", "Gate 9". Perhaps it also says "m0re".', 'It says "EXIT" and "Gate 9".'),
        ('It says "a", "b", "c", "d" and 3 more lines.', 'Among other things it says "a", "b" and "c".'),
        ('It says "We do not know. Perhaps it also says".', 'It says "We do not know. Perhaps it also says".'),
        ('Perhaps it says "m0re".', ""),
    ],
)
def test_writing_is_quoted_as_it_is(text: str, told: str) -> None:
    assert summarise(turns("a dog.", "", text)) == f"The picture shows a dog. {told}".strip()


def test_the_one_sign_is_said_to_carry_the_one_line() -> None:
    given = turns("a red stop sign.", "A stop sign in the middle.", 'It says "STOP".')
    assert summarise(given) == 'The picture shows a red stop sign in the middle. The stop sign reads "STOP".'


def test_what_is_named_later_is_no_further_thing() -> None:
    later = ("What are the people doing?", "a man is talking to a woman.")
    assert summarise(turns("a room.", "Two people on the left.", "", later)) == (
        "The picture shows a room. There are also two people on the left. The man is talking to a woman."
    )
    kind = ("What kind of bird is it?", "a robin")
    assert summarise(turns("I do not know.", "A bird on the left.", "", kind)) == (
        "The picture shows a robin on the left."
    )


def test_what_witnesses_answered_is_not_asked_again() -> None:
    given = turns("a dog.", "Two dogs: one on the left, one on the right. A mouse in the middle.", 'It says "HOME".')
    kinds = {topic_of(question).kind for question in questions(given)}
    assert not kinds & {"number", "total", "place", "presence", "text", "wording", "things"}
    assert {"colour", "action", "else", "background"} <= kinds
    assert "mouse doing" not in " ".join(questions(given)), "it is a computer's"
    assert "What colour are the dogs?" in questions(given)


def test_nothing_found_leaves_the_questions_as_they_are() -> None:
    nothing = turns("I do not know.", "No thing can be made out with certainty.")
    assert questions(nothing) == questions(turns("I do not know."))
    assert summarise(nothing) == summarise(turns("I do not know."))


def test_the_words_of_witnesses_are_understood() -> None:
    things = [make_thing("traffic light", at) for at in (1, 2, 3, 150, 160, 170, 180, 250, 260, 270, 280, 290)]
    things += [make_thing("person", 1), make_thing("dog", 290, finer="golden retriever"), make_thing("scissors", 150)]
    found = Findings(
        witness="w", revision="1", width=300, height=9, things=tuple(things), lines=(make_line('the "Bell"'),)
    )
    given = turns("I do not know.", things_in_words([found]), text_in_words([found]))
    known = learn(given)
    assert [(thing.name, thing.number, thing.places) for thing in known.things] == [
        ("traffic lights", "about 12", []),
        ("person", "", ["on the left"]),
        ("golden retriever", "", ["on the right"]),
        ("scissors", "", ["in the middle"]),
    ]
    assert known.lines == ["the 'Bell'"]
    assert [kind_of(turn) for turn in given] == [None, "things", "text"] and kinds_of(given) == {"things", "text"}
    assert [one.kind for one in statements([found])] == ["things", "text"]


@pytest.mark.parametrize(
    ("opening", "summary"),
    [
        (
            "This looks like a container, perhaps an envelope. It is on the left of the picture.",
            "The picture shows a container on the left, perhaps an envelope.",
        ),
        ("This looks like a giant panda, an animal.", "The picture shows a giant panda."),
        ("This is a cat. The main colour is grey.", "The picture shows a cat. The main colour is grey."),
        ("there is a cat, a dog and a bird.", "The picture shows a cat, a dog and a bird."),
    ],
)
def test_a_thing_with_two_names_is_one(opening: str, summary: str) -> None:
    assert summarise(turns(opening)) == summary


def test_a_number_that_contradicts_a_plural_is_not_used() -> None:
    given = turns(
        "The picture shows a small black boat. It is outdoors, with buildings.",
        "",
        "",
        ("How many buildings can you see?", "There is one building."),
        ("Where are the buildings?", "The building is on the left."),
    )
    for seed in range(4):
        summary = summarise(given, seed)
        assert "building" in summary and "a buildings" not in summary
