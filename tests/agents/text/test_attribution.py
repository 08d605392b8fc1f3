"""What each turn added to the description: marked where it stands, and nothing of the text is lost."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.text.attribution import added_by_turns
from core.records import Turn

OPENING = Turn(question="Describe this picture in detail.", answer="A cat sits on a table.", asked_by="opening")


def marks(text: str, *turns: Turn) -> dict[str, int]:
    return {piece.text: piece.turn for piece in added_by_turns(text, turns) if piece.turn is not None}


def test_words_of_later_answers_are_marked_with_their_turn() -> None:
    turns = (
        OPENING,
        Turn(question="What colour is the cat?", answer="It is grey."),
        Turn(question="What is behind the cat?", answer="A wooden fence is behind it."),
    )
    found = marks("A grey cat sits on a table in front of a wooden fence.", *turns)
    assert found == {"grey": 2, "wooden fence": 3}


def test_what_the_opening_answer_said_is_no_addition() -> None:
    assert marks("A cat sits on a table.", OPENING, Turn(question="Where is the cat?", answer="On the table.")) == {}


def test_a_yes_adds_what_was_asked() -> None:
    assert marks("A cat sits in the rain.", OPENING, Turn(question="Is there rain?", answer="Yes.")) == {"rain": 2}


def test_an_unsure_answer_adds_nothing() -> None:
    unsure = Turn(question="What breed is it?", answer="Maybe a Siamese.", certainty="unsure")
    assert marks("A Siamese cat sits on a table.", OPENING, unsure) == {}


def test_small_words_between_two_words_of_one_turn_are_marked_with_them() -> None:
    told = Turn(question="What is behind?", answer="A fence made of planks.")
    assert marks("There is a fence made of planks there.", OPENING, told) == {"fence made of planks": 2}


def test_plural_and_spelling_do_not_matter() -> None:
    told = Turn(question="What else is there?", answer="Two gray dogs.")
    assert marks("One grey dog lies there.", OPENING, told) == {"grey dog": 2}


def test_a_script_without_spaces_is_compared_by_pairs() -> None:
    turns = (
        Turn(question="?", answer="一只猫", asked_by="opening"),
        Turn(question="什么颜色?", answer="灰色的"),
    )
    assert "灰色" in "".join(marks("一只灰色的猫", *turns))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=80), st.lists(st.text(max_size=40), max_size=4))
def test_the_pieces_joined_are_the_text(text: str, answers: list[str]) -> None:
    turns = [Turn(question="What?", answer=answer) for answer in answers]
    pieces = added_by_turns(text, turns)
    assert "".join(piece.text for piece in pieces) == text
    assert all(piece.text for piece in pieces)
    assert all(piece.turn is None or 1 <= piece.turn <= len(turns) for piece in pieces)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from("cat grey the fence sits a dog , . on wooden".split()), max_size=12))
def test_the_pieces_joined_are_a_sentence(words: list[str]) -> None:
    turns = (OPENING, Turn(question="Colour?", answer="grey"), Turn(question="Behind?", answer="a wooden fence"))
    text = " ".join(words)
    pieces = added_by_turns(text, turns)
    assert "".join(piece.text for piece in pieces) == text
    for piece in pieces:  # a mark begins and ends with a word that its turn said
        if piece.turn == 2:
            assert piece.text.split()[0] == piece.text.split()[-1] == "grey"
        if piece.turn == 3:
            assert {piece.text.split()[0], piece.text.split()[-1]} <= {"wooden", "fence"}
