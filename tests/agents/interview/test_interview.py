"""The protocol without models: what the interview needs, what it makes of what it is fed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.interview.prompts import Prompts
from agents.interview.protocol import (
    Finished,
    Interview,
    InterviewOptions,
    NeedAnswer,
    NeedPlainCaption,
    NeedQuestion,
    NeedSummary,
)
from core.errors import UsageError
from core.records import Caption, PictureInfo
from core.tasks import NOTHING_NEW

PROMPTS = Prompts.load()
INFO = PictureInfo(sha256="0" * 64, source="x.png", width=1, height=1)


def begin(**options: object) -> Interview:
    return Interview(PROMPTS, InterviewOptions(**options))  # type: ignore[arg-type]


def play(interview: Interview, calls: int = 1000) -> Interview:
    """Feed up to `calls` results that depend on nothing but what is needed."""
    for _ in range(calls):
        match interview.need:
            case NeedPlainCaption():
                interview.feed("a duck")
            case NeedAnswer(question=question):
                interview.feed(
                    "i do not know." if "thing 3" in question else f"it is {question.rstrip('?').split()[-1]}."
                )
            case NeedQuestion(step=step, attempt=attempt):
                interview.feed("What is thing 1?" if step == 4 and attempt == 0 else f"What is thing {step}?")
            case NeedSummary(task=task):
                interview.feed(" ".join(turn.answer for turn in task.turns))
            case Finished():
                break
    return interview


def caption_of(interview: Interview) -> Caption:
    return Caption(
        picture=INFO,
        status=interview.status,
        error=interview.error,
        plain=interview.plain or "",
        opening=interview.opening,
        summary=interview.summary or "",
        dialogue=interview.dialogue,
        ended_because=interview.ended_because,
    )


def test_ten_rounds_one_opening_nine_asked() -> None:
    interview = play(begin())
    assert len(interview.dialogue.turns) == 10
    assert [turn.asked_by for turn in interview.dialogue.turns] == ["opening"] + ["questioner"] * 9
    assert interview.need == Finished("rounds")
    assert interview.plain == "a duck"
    assert interview.opening == interview.dialogue.turns[0].answer
    assert interview.status == "complete"


def test_one_round_asks_only_the_opening() -> None:
    interview = play(begin(rounds=1))
    assert [turn.question for turn in interview.dialogue.turns] == [PROMPTS.text("answerer.opening")]


@pytest.mark.parametrize(("history", "expected"), [(0, 0), (1, 1), (3, 3), (-1, 5), (99, 5)])
def test_the_seeing_model_is_reminded_of_the_last_pairs(history: int, expected: int) -> None:
    interview = begin(history=history)
    while not (isinstance(interview.need, NeedAnswer) and interview.need.step == 5):
        play(interview, 1)
    need = interview.need
    turns = interview.dialogue.turns
    assert need.history == tuple((turn.question, turn.answer) for turn in turns[len(turns) - expected :])


def test_messages_alternate_and_end_with_the_person_who_sees() -> None:
    interview = play(begin(), 8)
    assert isinstance(interview.need, NeedQuestion)
    roles = [message.role for message in interview.need.messages]
    assert roles[0] == "system"
    assert roles[1:] == ["user", "assistant"] * (len(roles[1:]) // 2) + ["user"]


def test_a_repeated_question_is_sent_back_and_then_asking_ends() -> None:
    interview = begin(repeats=2, fallback="none")
    play(interview, 2)
    interview.feed("What colour is the duck?")
    interview.feed("yellow")
    for attempt in range(3):
        need = interview.need
        assert isinstance(need, NeedQuestion) and need.attempt == attempt
        assert len(need.task.refused) == attempt
        interview.feed("What color are the ducks in the picture?")
    assert isinstance(interview.need, NeedSummary)
    interview.feed("A yellow duck.")
    assert interview.ended_because == "no usable question"
    assert len(interview.dialogue.turns) == 2


@pytest.mark.parametrize("said", [NOTHING_NEW, "nothing new to ask", '"Nothing new to ask."'])
def test_a_questioner_may_say_that_it_has_no_more_questions(said: str) -> None:
    interview = play(begin(min_rounds=0), 2)
    interview.feed(said)
    assert isinstance(interview.need, NeedSummary)


def test_an_empty_question_is_asked_again() -> None:
    interview = play(begin(), 2)
    interview.feed("")
    interview.feed("What colour is it?")
    assert isinstance(interview.need, NeedAnswer)


def test_unsure_answers_are_kept_marked_and_left_out_of_the_summary() -> None:
    interview = play(begin(rounds=5))
    unsure = [turn for turn in interview.dialogue.turns if turn.certainty == "unsure"]
    assert [turn.answer for turn in unsure] == ["i do not know."]
    assert "know" not in (interview.summary or "")


def test_what_is_absent_is_certain_and_the_brief_says_to_leave_it_out() -> None:
    interview = play(begin(rounds=2), 2)
    interview.feed("Is there a dog?")
    interview.feed("no, there is no dog.")
    need = interview.need
    assert isinstance(need, NeedSummary)
    assert "there is no dog" in need.messages[-1].content
    assert "not there" in need.messages[-1].content


def test_half_an_answer_is_used_where_half_is_known() -> None:
    interview = begin(rounds=1)
    interview.feed("a photo")
    interview.feed("i am not sure what this is. the main colours are green and white.")
    need = interview.need
    assert isinstance(need, NeedSummary)
    assert "green and white" in need.messages[-1].content
    assert "not sure what this" not in need.messages[-1].content
    assert need.task.turns[0].answer == "the main colours are green and white."


def test_nothing_certain_needs_no_model_for_its_summary() -> None:
    interview = begin(rounds=1)
    interview.feed("")
    interview.feed("i do not know.")
    assert interview.need == Finished("rounds")
    assert interview.summary == PROMPTS.text("summary.nothing_certain")


def test_language_stands_in_the_request_for_the_summary() -> None:
    interview = play(begin(rounds=1, language="German"), 2)
    assert isinstance(interview.need, NeedSummary)
    assert "German" in interview.need.messages[-1].content
    assert interview.need.task.language == "German"


def test_braces_in_an_answer_stay_braces() -> None:
    interview = begin(rounds=2)
    interview.feed("")
    interview.feed("a sign that says {nothing_new} {0} {question.__class__}")
    need = interview.need
    assert isinstance(need, NeedQuestion)
    assert "{question.__class__}" in need.messages[-1].content


@settings(deadline=None)
@given(stop_after=st.integers(0, 24), way=st.sampled_from(["stop", "fail"]))
def test_interrupted_anywhere_it_goes_on_to_the_same_end(stop_after: int, way: str) -> None:
    whole = play(begin())
    part = play(begin(), stop_after)
    if isinstance(part.need, Finished):
        return
    if way == "stop":
        part.stop()
        assert (part.status, part.ended_because) == ("stopped", "stopped")
    else:
        part.fail(RuntimeError("the line\nbroke"))
        assert (part.status, part.error, part.ended_because) == ("failed", "the line broke", "failed")
    again = Caption.from_json(caption_of(part).to_json())
    resumed = Interview.resumed(again, PROMPTS, part.options)
    assert resumed.dialogue.turns == part.dialogue.turns
    play(resumed)
    assert resumed.dialogue == whole.dialogue
    assert (resumed.plain, resumed.summary) == (whole.plain, whole.summary)


def test_a_person_may_ask_between_turns() -> None:
    interview = play(begin(rounds=3), 2)
    interview.inject("And what is that on the left?")
    need = interview.need
    assert isinstance(need, NeedAnswer) and need.asked_by == "person"
    interview.feed("a boat")
    play(interview)
    asked = [turn.asked_by for turn in interview.dialogue.turns]
    assert asked == ["opening", "person", "questioner", "questioner"], "a person's question uses up no round"
    with pytest.raises(UsageError, match="no question"):
        interview.inject(" ... ")


def test_a_person_may_ask_after_the_end_and_gets_a_new_summary() -> None:
    interview = play(begin(rounds=2))
    interview.inject("Is it old?")
    assert interview.summary is None, "what it said before is no longer the whole"
    assert play(interview).status == "complete"
    assert len(interview.dialogue.turns) == 3


def test_a_person_may_correct_an_answer() -> None:
    interview = play(begin(rounds=2))
    before = interview.dialogue.turns[1].answer
    interview.correct(1, "it is a swan.")
    turn = interview.dialogue.turns[1]
    assert (turn.answer, turn.raw_answer) == ("it is a swan.", before)
    play(interview)
    assert "swan" in (interview.summary or "")
    with pytest.raises(UsageError, match="no turn 7"):
        interview.correct(7, "x")


def test_nobody_is_asked_to_summarise_what_a_person_says_is_not_known() -> None:
    interview = play(begin(rounds=1))
    interview.correct(0, "i do not know.")
    assert isinstance(interview.need, Finished) and interview.summary == PROMPTS.text("summary.nothing_certain")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"rounds": 0}, "rounds"),
        ({"history": -2}, "history"),
        ({"repeats": -1}, "repeats"),
        ({"rounds": 4, "min_rounds": 5}, "min_rounds"),
        ({"min_rounds": -1}, "min_rounds"),
        ({"fallback": "gpt"}, "scripted or none"),
        ({"asking": "loud"}, "free or guided"),
        ({"language": "a\nb"}, "language"),
    ],
)
def test_values_that_cannot_work(options: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        begin(**options)


def test_the_end_is_the_end() -> None:
    interview = play(begin(rounds=1))
    with pytest.raises(RuntimeError):
        interview.feed("more")
