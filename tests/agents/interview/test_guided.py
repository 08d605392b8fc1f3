"""Guided asking: the rules propose, the questioner chooses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agents.interview.calls import PROPOSED, chosen_question, propose_questions
from agents.interview.driver import caption_picture
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from core.tasks import QUESTION, Task, TaskTurn
from tests.agents.fakes import CountingVision, ListQuestioner, picture

OPENING = "Describe this picture in detail."
SCENE = "A brown dog sits on a green chair. Two ducks stand on the left."
GUIDED = InterviewOptions(rounds=3, asking="guided")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2", "2. Where is it?"),
        (" **2.** ", "2. Where is it?"),
        ("Question 1", "1. What is it?"),
        ("7", "7"),
        ("2. Where exactly is the dog?", "2. Where exactly is the dog?"),
        ("What else is there?", "What else is there?"),
    ],
)
def test_a_number_stands_for_its_question(said: str, expected: str) -> None:
    assert chosen_question(said, ["What is it?", "Where is it?"]) == expected


def test_the_rules_propose_several_questions_and_none_twice() -> None:
    proposed = propose_questions(Task(QUESTION, (TaskTurn(OPENING, SCENE),)), 1)
    assert len(proposed) == len(set(proposed)) == PROPOSED and all(one.endswith("?") for one in proposed)


def test_the_chosen_question_is_asked_and_the_choice_is_kept() -> None:
    def second(messages: Any, kwargs: Any) -> str:
        assert "\n1. " in messages[-1].text and f"\n{PROPOSED}. " in messages[-1].text
        return "2"

    model = ListQuestioner(questions=[second, "1. What breed is the dog?"])
    caption = caption_picture(picture(), CountingVision({OPENING: SCENE}), model, GUIDED, seed=3)
    [_, chosen, reworded] = caption.dialogue.turns
    assert chosen.asked_by == reworded.asked_by == "questioner"
    assert chosen.raw_question == f"2. {chosen.question}" and chosen.question.endswith("?")
    assert (reworded.question, reworded.raw_question) == ("What breed is the dog?", "1. What breed is the dog?")
    assert caption.options["asking"] == "guided"


def questions_in(messages: Any) -> list[str]:
    """The proposed questions of a request."""
    lines = messages[-1].text.splitlines()
    return [line.partition(". ")[2] for line in lines if line[:1].isdigit()]


def test_a_question_in_other_words_keeps_its_thing_or_is_replaced_by_the_proposed_one() -> None:
    proposed: list[str] = []

    def of_another_thing(messages: Any, kwargs: Any) -> str:
        proposed[:] = questions_in(messages)
        return "1. What is the lamp made of?"

    caption = caption_picture(
        picture(), CountingVision({OPENING: SCENE}), ListQuestioner(questions=[of_another_thing, "1"]), GUIDED, seed=3
    )
    [_, replaced, chosen] = caption.dialogue.turns
    assert (replaced.asked_by, replaced.question) == ("fallback", proposed[0])
    assert replaced.raw_question == "1. What is the lamp made of?" and chosen.asked_by == "questioner"
    assert [(one.text, one.reason) for one in caption.refused] == [("What is the lamp made of?", "unnamed")]


def test_what_was_not_proposed_is_refused_and_the_model_is_told_to_choose() -> None:
    asked: list[str] = []

    def say(messages: Any, kwargs: Any) -> str:
        asked.append(messages[-1].text)
        return "How old is she?" if len(asked) == 1 else "1"

    model = ListQuestioner(questions=[say] * 9)
    caption = caption_picture(picture(), CountingVision({OPENING: SCENE}), model, GUIDED, seed=3)
    assert [Prompts.load().text("refusal.unfaithful") in one for one in asked] == [False, True, False]
    assert [turn.asked_by for turn in caption.dialogue.turns] == ["opening", "questioner", "questioner"]
    assert [(one.text, one.reason) for one in caption.refused] == [("How old is she?", "not proposed")]


def test_two_questions_in_one_are_replaced_by_the_proposed_one() -> None:
    model = ListQuestioner(questions=["1. Can you tell me what the dog is doing, and what the chair are?", "1"])
    caption = caption_picture(picture(), CountingVision({OPENING: SCENE}), model, GUIDED, seed=3)
    assert [turn.asked_by for turn in caption.dialogue.turns] == ["opening", "fallback", "questioner"]
    assert [one.reason for one in caption.refused] == ["not proposed"]


def test_without_a_fallback_no_proposed_question_replaces_a_reply() -> None:
    options = replace(GUIDED, fallback="none", repeats=0)
    model = ListQuestioner(questions=["1. What is the lamp made of?"])
    caption = caption_picture(picture(), CountingVision({OPENING: SCENE}), model, options, seed=3)
    assert [turn.asked_by for turn in caption.dialogue.turns] == ["opening"]


def test_the_rules_propose_nothing_to_themselves() -> None:
    from agents.llm.questioners import load_questioner

    free, guided = (
        caption_picture(picture(), CountingVision({OPENING: SCENE}), load_questioner("scripted"), options, seed=3)
        for options in (InterviewOptions(rounds=3), GUIDED)
    )
    assert [turn.question for turn in free.dialogue.turns] == [turn.question for turn in guided.dialogue.turns]
