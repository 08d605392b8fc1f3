"""Sentences that no answer supports are found; what a faithful writer says in other words stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.claims.summaries import speaks_english, speaks_of_the_work, unsupported_sentences
from benchmarks.claims.summaries import Dialogue, by_script, dialogues, measure, photograph_dialogues
from core.records import Turn
from core.text import sentences

TURNS = (
    Turn(question="Describe this picture in detail.", answer="Two brown dogs on a red couch. A lamp on the left."),
    Turn(question="Is there a cat?", answer="No, there is no cat."),
    Turn(question="What colour is the lamp?", answer="White."),
    Turn(question="What is written on it?", answer='"OPEN"'),
    Turn(question="What is behind the couch?", answer="perhaps a window", certainty="unsure"),
)


def reasons(summary: str, language: str | None = None) -> list[str]:
    return [one.reason for one in unsupported_sentences(summary, TURNS, language=language)]


@pytest.mark.parametrize(
    "sentence",
    [
        "Two dogs with brown fur lie on a red sofa.",
        "There is a white lamp on the left.",
        'The word "open" can be read.',
        "A pair of dogs is on the couch.",
        "There is no cat.",
        "We can see two animals.",
    ],
)
def test_what_the_answers_say_in_other_words_stays(sentence: str) -> None:
    assert not reasons(sentence)


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("Three dogs lie on a couch.", "counts 3"),
        ("The couch is green.", "another colour of couch"),
        ("The lamp is on the right.", "lamp: left"),
        ("A boy sits on the couch.", '"boy"'),
        ('The sign says "CLOSED".', '"closed"'),
        ("A cat sits there.", '"cat"'),
        ("Behind it is a window.", '"window"'),
        ("There are no dogs.", 'speak of "dog"'),
        ("It was taken in 1987.", "1987"),
        ("It is cosy and warm.", "no answer says it"),
        ("I like the dogs.", '"i"'),
        ("The dogs are barking.", 'says "barking"'),
        ("One of the dogs smiles.", 'says "smiling"'),
        ("The couch is made of leather.", "couch is of leather"),
        ("The lamp stands on a wooden couch.", "couch is of wooden"),
        ("The notes say that there are dogs.", "of the work"),
    ],
)
def test_what_no_answer_says_is_found_with_the_reason(sentence: str, reason: str) -> None:
    [found] = reasons(sentence)
    assert reason in found


def test_only_the_unsupported_sentences_are_found() -> None:
    summary = "Two brown dogs lie on a couch. The sun is shining. A lamp is on the left."
    assert [one.text for one in unsupported_sentences(summary, TURNS)] == ["The sun is shining."]


def test_of_other_languages_only_numbers_in_digits_and_quotations_are_compared() -> None:
    german = 'Zwei Hunde liegen auf einem grünen Sofa. Auf dem Schild steht "ZU". Es sind 17 Katzen. Da steht "OPEN".'
    found = [one.text for one in unsupported_sentences(german, TURNS, language="German")]
    assert found == ['Auf dem Schild steht "ZU".', "Es sind 17 Katzen."]
    assert [one.text for one in unsupported_sentences(german, TURNS)] == found, "without being told the language"
    assert not reasons("沙发上有两只狗。", "zh")


@pytest.mark.parametrize(
    ("text", "language", "english"),
    [("", None, True), ("", "en-GB", True), ("", "English", True), ("", "German", False), ("两只狗", None, False)],
)
def test_languages(text: str, language: str | None, english: bool) -> None:
    assert speaks_english(text, language) is english


def test_a_summary_that_speaks_of_the_notes() -> None:
    assert speaks_of_the_work("These notes tell me about dogs.", TURNS)
    assert not speaks_of_the_work("Two dogs.", TURNS)
    assert not speaks_of_the_work("A note.", [Turn(question="What is it?", answer="a note on a door")])


def test_the_measured_share_of_true_and_false_sentences() -> None:
    lost, kept, true, false = measure()
    assert true >= 70 and len(lost) <= 0.05 * true
    assert false >= 80 and len(kept) <= 0.10 * false


@pytest.mark.parametrize("seed", [None, 1, 2])
@pytest.mark.parametrize("found", [dialogues, photograph_dialogues])
def test_the_rules_write_no_sentence_without_support(found: Callable[[], list[Dialogue]], seed: int | None) -> None:
    written, taken = by_script(found(), seed)
    assert written >= 50 and not taken


@pytest.mark.parametrize(
    ("said", "summary"),
    [
        ("a wooden pier", "A pier made of wood."),
        ("a steel bridge", "The bridge is made of metal."),
        ("a man sobbing", "The man is crying."),
        ("a cat, asleep on a chair", "A cat sleeps on a chair."),
        ("ducks on a pond", "Ducks swim on a pond."),
        ("a woman on a bench next to two children", "A woman on a bench watches two children."),
    ],
)
def test_what_a_writer_infers_or_says_in_other_words_stays(said: str, summary: str) -> None:
    assert not unsupported_sentences(summary, [Turn(question="What is there?", answer=said)])


@given(st.text(max_size=60), st.lists(st.text(max_size=40), max_size=3))
def test_any_text_can_be_compared_with_any_answers(summary: str, answers: list[str]) -> None:
    turns = [Turn(question="", answer=answer) for answer in answers]
    assert {one.text for one in unsupported_sentences(summary, turns)} <= set(sentences(summary))


def test_a_sentence_of_an_answer_is_supported_word_for_word() -> None:
    turns = [
        Turn(question="Describe this picture in detail.", answer="it is (0, 0, 200). A plok stands here."),
        Turn(question="How many things are there?", answer="it is (0, 0, 200)."),
    ]
    assert not unsupported_sentences("it is (0, 0, 200). A plok stands here.", turns)
    assert unsupported_sentences("it is (0, 0, 201).", turns)
