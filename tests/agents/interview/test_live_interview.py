"""An interview that is steered from outside: asked in between, put right, stopped, gone on with."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from agents.interview.driver import caption_picture
from agents.interview.events import Answered, Done, Failed, InterviewStopped, SummaryPiece
from agents.interview.live import LiveInterview, corrected
from agents.interview.protocol import InterviewOptions
from core.errors import BackendError, UsageError
from core.records import Caption
from core.vision import VisualQuestion
from tests.agents.fakes import CountingVision, ListQuestioner, picture

THREE = InterviewOptions(rounds=3)
QUESTIONS = ["What colour is the duck?", "Where is the duck?", "How large is the duck?", "Who is there?"]


def steered(vision: CountingVision | None = None, **more: Any) -> tuple[LiveInterview, CountingVision, list[Caption]]:
    vision = vision or CountingVision()
    kept: list[Caption] = []

    def save(caption: Caption) -> str:
        kept.append(caption)
        return f"id{len(kept)}"

    model = ListQuestioner(questions=QUESTIONS)
    made = LiveInterview(
        picture().info(), picture, lambda: vision, lambda: model, more.pop("options", THREE), save=save, **more
    )
    return made, vision, kept


def asked(one: LiveInterview) -> list[str]:
    return [turn.question for turn in one.view.turns]


def test_driven_without_wishes_it_is_the_same_interview() -> None:
    one, _, kept = steered()
    events = list(one.run())
    plain = caption_picture(picture(), CountingVision(), ListQuestioner(questions=QUESTIONS), THREE)
    assert isinstance(events[-1], Done) and one.view.state == "complete"
    assert (one.view.summary, one.view.opening, one.view.plain) == (plain.summary, plain.opening, plain.plain)
    assert [turn.answer for turn in one.view.turns] == [turn.answer for turn in plain.dialogue.turns]
    assert one.view.caption == kept[-1] and one.view.id == f"id{len(kept)}"


def test_a_question_in_between_comes_after_the_one_at_hand() -> None:
    one, _, _ = steered()
    for event in one.run():
        if isinstance(event, Answered) and event.number == 1:
            one.ask("Is it raining?")
    assert asked(one) == ["Describe this picture in detail.", "Is it raining?", *QUESTIONS[1:3]]
    assert one.view.turns[1].asked_by == "person" and one.view.state == "complete"
    assert sum(turn.asked_by != "person" for turn in one.view.turns) == 3, "a person's question uses up no round"


def test_two_questions_at_once_are_both_put() -> None:
    one, _, _ = steered()
    one.ask("Is it raining?")
    one.ask("Is it night?")
    assert one.view.waiting == ("Is it raining?", "Is it night?")
    list(one.run())
    assert {"Is it raining?", "Is it night?"} <= set(asked(one)) and one.view.waiting == ()


def test_a_question_while_the_summary_is_written_is_answered_and_the_summary_written_anew() -> None:
    one, _, kept = steered()
    wished = False
    for event in one.run():
        if isinstance(event, SummaryPiece) and not wished:
            one.ask("Is it raining?")
            wished = True
    assert asked(one)[-1] == "Is it raining?" and one.view.state == "complete"
    assert "raining" in one.view.summary
    assert kept[-1].summary == one.view.summary


def test_a_question_after_the_end_reopens_the_interview() -> None:
    one, vision, _ = steered()
    list(one.run())
    calls = len(vision.asked)
    one.ask("Is it raining?")
    assert one.requested
    list(one.run())
    assert len(vision.asked) == calls + 1 and asked(one)[-1] == "Is it raining?"
    assert "raining" in one.view.summary and not one.requested


def test_a_corrected_answer_takes_what_followed_with_it() -> None:
    one, _, _ = steered()
    list(one.run())
    one.correct(1, "It is a goose.")
    list(one.run())
    assert one.view.turns[1].answer == "It is a goose." and corrected(one.view.turns[1])
    assert one.view.turns[1].raw_answer, "what the model said is kept"
    assert len(one.view.turns) == 3 and one.view.state == "complete"
    assert "goose" in one.view.summary
    assert not corrected(one.view.turns[2])


def test_a_corrected_answer_may_leave_the_others_as_they_are() -> None:
    one, vision, _ = steered()
    list(one.run())
    calls, before = len(vision.asked), one.view.turns
    one.correct(1, "It is a goose.", go_on=False)
    list(one.run())
    assert len(vision.asked) == calls, "nothing is asked anew"
    assert one.view.turns[2] == before[2] and "goose" in one.view.summary


def test_the_questioner_hears_the_corrected_answer() -> None:
    model = ListQuestioner(questions=QUESTIONS)
    vision = CountingVision()
    one = LiveInterview(picture().info(), picture, lambda: vision, lambda: model, THREE)
    for event in one.run():
        if isinstance(event, Answered) and event.number == 2 and not corrected(event.turn):
            one.correct(1, "It is a goose.")
    heard = [str(message.content) for message in model.calls[-2][0]]
    assert any("goose" in words for words in heard)


@pytest.mark.parametrize(("index", "answer"), [(9, "a goose"), (-1, "a goose"), (0, "  ")])
def test_a_wish_that_cannot_be_is_refused_at_once(index: int, answer: str) -> None:
    one, _, _ = steered()
    list(one.run())
    with pytest.raises(UsageError):
        one.correct(index, answer)
    with pytest.raises(UsageError):
        one.ask("  ")
    assert not one.requested and one.view.state == "complete"


def test_stopped_between_two_answers_it_keeps_them_and_goes_on() -> None:
    one, vision, kept = steered()
    halt = threading.Event()
    events = []
    for event in one.run(halt.is_set):
        events.append(event)
        if isinstance(event, Answered) and event.number == 2:
            halt.set()
    assert isinstance(events[-1], InterviewStopped) and one.view.state == "stopped"
    assert len(one.view.turns) == 2 and kept[-1].status == "stopped" and one.view.id
    questions = len(vision.asked)
    list(one.run())
    assert one.view.state == "complete" and len(one.view.turns) == 3
    assert len(vision.asked) == questions + 1, "what was answered is not asked again"


def test_a_model_that_waits_is_stopped_as_by_ctrl_c() -> None:
    class Patient(CountingVision):
        def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
            if questions[0].question and len(self.asked) > 1:
                raise KeyboardInterrupt
            return super().answer(questions)

    one, _, kept = steered(Patient())
    assert isinstance(list(one.run())[-1], InterviewStopped)
    assert one.view.state == "stopped" and len(one.view.turns) == 1 and kept[-1].status == "stopped"


def test_a_failing_model_is_told_and_can_be_tried_again() -> None:
    vision = CountingVision({"a question nobody asks": ""})
    one, _, _ = steered(vision)
    vision.answers["Describe this picture in detail."] = BackendError("the eye is closed")
    assert isinstance(list(one.run())[-1], Failed)
    assert one.view.state == "failed" and one.view.error == "the eye is closed"
    del vision.answers["Describe this picture in detail."]
    list(one.run())
    assert one.view.state == "complete" and one.view.error == ""


def test_a_model_that_cannot_be_loaded_is_told() -> None:
    def broken() -> CountingVision:
        raise BackendError("no weights lie there")

    one = LiveInterview(picture().info(), picture, broken, lambda: ListQuestioner(), THREE)
    with pytest.raises(BackendError):
        list(one.run())
    assert one.view.state == "failed" and one.view.error == "no weights lie there" and not one.running


def test_a_kept_interview_is_shown_and_gone_on_with() -> None:
    first, _, kept = steered()
    list(first.run())
    again, vision, _ = steered(earlier=kept[-1])
    assert again.view.summary == kept[-1].summary and again.view.turns == kept[-1].dialogue.turns
    again.ask("Is it raining?")
    list(again.run())
    assert [one.question for one in vision.asked] == ["Is it raining?"]
    assert len(again.view.turns) == 4


def test_a_kept_interview_of_another_picture_is_refused() -> None:
    one, _, kept = steered()
    list(one.run())
    with pytest.raises(UsageError, match="picture"):
        LiveInterview(picture("blue").info(), picture, CountingVision, ListQuestioner, THREE, earlier=kept[-1])


def test_only_one_thread_drives() -> None:
    one, _, _ = steered()
    first = one.run()
    next(first)
    with pytest.raises(UsageError, match="going on"):
        next(one.run())
    first.close()
    assert one.view.state == "stopped" and not one.running
    list(one.run())
    assert one.view.state == "complete"
