"""Loops around patterns go over a text a bounded number of times, however often its parts are nested or repeated."""

from __future__ import annotations

import re
from typing import Any

import pytest

import agents.text.cleaning as cleaning
import core.text
import plugins.scripted.reading as reading
import training.curation.steps.checking as checking
from core.text import ROUNDS
from plugins.hf.batching import unmarked
from plugins.minigpt4.runtime.conversation import clean
from plugins.scripted.knowledge import Knowledge
from plugins.scripted.topics import topic_of


class Recorder:
    """A pattern that counts the characters it is given."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.given = 0
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.pattern, name)

        def called(*arguments: Any) -> Any:
            found = method(*arguments)
            self.calls += 1
            # a match from a place in a text reads on to its end alone; everything else may read all of it
            partly = name == "match" and len(arguments) == 2
            text = next(one for one in reversed(arguments) if isinstance(one, str))
            self.given += (found.end() - arguments[1] if found else 0) if partly else len(text)
            return found

        return called


def given(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, work: Any, text: str) -> int:
    """The characters that the pattern `name` is given while `work` is done on `text`."""
    recorder = Recorder(getattr(module, name))
    with monkeypatch.context() as patched:
        patched.setattr(module, name, recorder)
        work(text)
    assert recorder.calls
    return recorder.given


def test_wrappings_come_off_a_question_in_one_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (
        given(monkeypatch, cleaning, "_AT_THE_FRONT", cleaning._bare, '1. "Q: ' * times + "What is it?")
        for times in (200, 400)
    )
    assert many <= 2.2 * few


def test_an_echo_is_taken_away_in_one_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cleaning._without_echo("Question: a? " * 500 + "a dog", "a?") == "a dog"
    few, many = (
        given(
            monkeypatch,
            cleaning,
            "_LEADING_ROLE",
            lambda text: cleaning._without_echo(text, "what?"),
            "Question: what? " * times + "a dog",
        )
        for times in (200, 400)
    )
    assert many <= 2.2 * few


def test_abbreviations_are_looked_for_in_the_last_word_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (
        given(monkeypatch, core.text, "_ABBREVIATION", core.text.sentences, "Dr. Mr. " * times) for times in (200, 400)
    )
    assert many <= 2.2 * few
    assert core.text.sentences("Mr. Smith approx. here. " * 2) == ["Mr. Smith approx. here."] * 2


def test_answers_are_read_a_few_words_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(text: str) -> None:
        reading.read(Knowledge(), topic_of("Describe the picture."), text, 1)

    few, many = (
        given(monkeypatch, reading, "_SPOT", read, "a man is sitting" + " so and so" * times) for times in (80, 160)
    )
    assert many <= 2.2 * few


def test_marks_inside_of_marks_are_taken_out_in_a_few_rounds() -> None:
    recorder = Recorder(re.compile("<s>"))
    assert unmarked("a " + "<s" * 500 + ">" * 500 + " b", recorder) == "a " + "<s" * (500 - ROUNDS - 1)  # type: ignore[arg-type]
    assert recorder.calls <= ROUNDS + 1
    assert unmarked("a <<s>s> b", re.compile("<s>")) == "a  b"
    for text in ("<s" * 500 + ">" * 500, "hum" * 300 + "human:" + "an:" * 300):
        assert not re.search(r"<s>|\bhuman:", clean(f"x {text} y"))


def test_wrappings_of_a_repaired_text_are_taken_off_in_a_few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(checking._LEAD)
    monkeypatch.setattr(checking, "_LEAD", recorder)
    checking.unwrapped("Here is the corrected text: " * 300 + "A dog.", "7")
    assert recorder.calls <= ROUNDS
    assert checking.unwrapped('```\nSure, here is the corrected text: "A dog."\n```', "7") == "A dog."
