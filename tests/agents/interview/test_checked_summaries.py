"""A summary loses what no answer says; one that cannot be used is asked for again, then written by the rules."""

from __future__ import annotations

from typing import Any

from agents.interview.driver import caption_picture, interview_picture
from agents.interview.events import Done, SummaryPiece, SummaryRefused, SummaryWritten
from agents.interview.prompts import Prompts
from agents.interview.protocol import NOTHING_SUPPORTED, Interview, InterviewOptions, NeedSummary
from core.records import Caption
from tests.agents.fakes import CountingVision, ListQuestioner, picture

PROMPTS = Prompts.load()
SEEN = "Two brown dogs on a red couch. A lamp on the left."
FAITHFUL = "Two brown dogs lie on a red sofa. A lamp is on the left."


def begun(**options: Any) -> Interview:
    """An interview that needs its summary."""
    interview = Interview(PROMPTS, InterviewOptions(rounds=1, **options))
    interview.feed("dogs")
    interview.feed(SEEN)
    return interview


def need_of(interview: Interview) -> NeedSummary:
    need = interview.need
    assert isinstance(need, NeedSummary), need
    return need


def test_a_faithful_summary_is_kept_as_it_is() -> None:
    interview = begun()
    interview.feed(FAITHFUL)
    assert interview.summary == FAITHFUL and interview.check.removed == () and interview.check.by == "questioner"


def test_an_unsupported_sentence_is_taken_out_and_listed() -> None:
    interview = begun()
    interview.feed(f"{FAITHFUL} Sunlight falls through the curtains.")
    assert interview.summary == FAITHFUL and interview.status == "complete"
    assert interview.check.removed == ("Sunlight falls through the curtains.",)


def test_a_summary_that_loses_more_than_half_is_asked_for_once_more_and_then_written_by_the_rules() -> None:
    invented = "A boy flies a kite. Two dogs lie on a couch. The sea is blue."
    interview = begun()
    assert (need_of(interview).by, need_of(interview).attempt) == ("questioner", 0)
    interview.feed(invented)
    again = need_of(interview)
    assert (again.by, again.attempt, interview.summary) == ("questioner", 1, None)
    assert again.messages[-1].content.endswith(PROMPTS.text("summary.again"))
    assert [message.role for message in again.messages] == ["system", "user"] and "kite" not in str(again.messages)
    interview.feed(invented)
    assert need_of(interview).by == "rules"
    interview.feed("The picture shows two brown dogs on a red couch.")
    assert interview.status == "complete" and interview.check.by == "rules"
    assert interview.check.removed == ("A boy flies a kite.", "The sea is blue.")


def test_a_second_draft_can_be_better() -> None:
    interview = begun()
    interview.feed("The notes say that there are dogs. Two brown dogs. A lamp on the left.")
    interview.feed(FAITHFUL)
    assert (interview.summary, interview.check.by, interview.check.removed) == (FAITHFUL, "questioner", ())


def test_a_cut_summary_is_asked_for_once_more() -> None:
    interview = begun()
    interview.feed("Two brown dogs lie on a red sofa. A lamp is", truncated=True)
    assert need_of(interview).attempt == 1
    interview.feed(FAITHFUL)
    assert interview.summary == FAITHFUL and not interview.truncated


def test_without_the_rules_what_is_supported_remains_and_nothing_fails() -> None:
    for draft, summary, error in (
        ("A boy flies a kite. Two dogs lie on a couch. The sea is blue.", "Two dogs lie on a couch.", None),
        ("A boy flies a kite.", None, NOTHING_SUPPORTED),
    ):
        interview = begun(fallback="none")
        interview.feed(draft)
        interview.feed(draft)
        assert (interview.summary, interview.error) == (summary, error)


def test_another_language_is_not_written_by_the_rules() -> None:
    interview = begun(language="German")
    draft = 'Zwei Hunde liegen auf einem Sofa. Da steht "ZU". Es sind 17 Katzen.'
    interview.feed(draft)
    assert need_of(interview).attempt == 1
    interview.feed(draft)
    assert interview.summary == "Zwei Hunde liegen auf einem Sofa." and interview.check.by == "questioner"


def test_a_questioner_that_follows_rules_is_not_checked() -> None:
    interview = begun()
    interview.asking.by_rules = True
    interview.feed("A unicorn.")
    assert interview.summary == "A unicorn."


def held(summary: str) -> tuple[list[Any], Caption]:
    vision = CountingVision({"Describe this picture in detail.": SEEN})
    questioner = ListQuestioner(summary=summary)
    events = list(interview_picture(picture("red"), vision, questioner, InterviewOptions(rounds=1)))
    done = events[-1]
    assert isinstance(done, Done)
    return events, done.caption


def test_the_record_and_the_events_tell_what_was_taken_out() -> None:
    events, caption = held(f"{FAITHFUL} It rains.")
    assert (caption.summary, caption.summary_by, caption.removed) == (FAITHFUL, "questioner", ("It rains.",))
    assert caption.sentences_written == 3
    [written] = [event for event in events if isinstance(event, SummaryWritten)]
    assert (written.text, written.removed, written.by) == (FAITHFUL, ("It rains.",), "questioner")
    assert any(isinstance(event, SummaryPiece) for event in events), "the draft is shown as it comes"
    assert Caption.from_json(caption.to_json()) == caption


def test_the_rules_write_in_the_end() -> None:
    events, caption = held("A boy flies a kite.")
    assert caption.summary_by == "rules" and "two brown dogs" in caption.summary
    assert [type(event) for event in events if isinstance(event, SummaryRefused)] == [SummaryRefused] * 2
    assert caption.removed == ("A boy flies a kite.",)


def test_a_finished_caption_keeps_what_was_noted_when_it_is_opened_again() -> None:
    _, caption = held(f"{FAITHFUL} It rains.")
    again = caption_picture(
        picture("red"), CountingVision(), ListQuestioner(), InterviewOptions(rounds=1), earlier=caption
    )
    assert (again.summary, again.summary_by, again.removed) == (FAITHFUL, "questioner", ("It rains.",))
