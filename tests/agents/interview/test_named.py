"""What answers name, and which of it no question has asked about."""

from __future__ import annotations

from agents.interview.named import Named
from core.records import Turn

OPENING = Turn(
    question="Describe this picture in detail.",
    answer="A small dog sits on a green chair. Two ducks are on the left.",
    asked_by="opening",
)


def test_things_and_what_is_not_known_of_them() -> None:
    left = Named().unasked([OPENING])
    assert left.things.keys() == {"dog", "chair", "duck"}
    assert "colour" in left.things["duck"] and not {"place", "number"} & set(left.things["duck"])
    assert "material" in left.things["chair"] and "colour" not in left.things["chair"]
    assert left.scene == ("the surroundings", "whether there is any writing")
    assert "the chair (" in left.words() and "any writing" in left.words()


def test_a_thing_is_asked_about_by_name_or_pronoun() -> None:
    named = Named()
    turns = [OPENING, Turn(question="What colour is the dog?", answer="Brown.")]
    assert named.unasked(turns).things.keys() == {"chair", "duck"}
    turns.append(Turn(question="How many ducks are there?", answer="There are two ducks near a lamp."))
    assert named.unasked(turns).things.keys() == {"chair", "lamp"}
    turns.append(Turn(question="What is it made of, and is it outdoors?", answer="Metal."))
    left = named.unasked(turns)
    assert left.things.keys() == {"chair"} and left.scene == ("whether there is any writing",)
    assert Named().unasked(turns) == left, "turn by turn, or all at once"
    assert named.unasked(turns[:1]).things.keys() == {"dog", "chair", "duck"}, "turns may be dropped"


def test_what_is_denied_or_unsure_is_not_named() -> None:
    turns = [
        Turn(question="Is there a cat?", answer="No, there is no cat."),
        Turn(question="And a horse?", answer="It might be a horse.", certainty="unsure"),
    ]
    assert not Named().unasked(turns).things


def test_parts_of_the_picture_are_no_things() -> None:
    for answer, things in (
        ("The picture shows three things on a plain background at the top left.", set()),
        ("A woman in a red dress is riding a white horse on the beach.", {"woman", "dress", "horse", "beach"}),
        ("A man holds a ball.", {"man", "ball"}),
    ):
        assert Named().unasked([Turn(question="What is there?", answer=answer)]).things.keys() == things
