"""One interview, driven: what is asked of the models, what is told, what is saved when something breaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from agents.interview.calls import check_language
from agents.interview.driver import caption_picture, interview_picture
from agents.interview.events import (
    Answered,
    Done,
    Encoded,
    Event,
    Failed,
    InterviewStopped,
    PlainCaption,
    QuestionAsked,
    QuestionRefused,
    Started,
    SummaryPiece,
    SummaryWritten,
    Waiting,
)
from agents.interview.prompts import Prompts
from agents.interview.protocol import Interview, InterviewOptions, NeedAnswer
from agents.interview.seeds import call_seed
from core.errors import BackendError, QuestionerError, StoreError, UsageError
from core.records import Caption
from core.stopping import Halt, halting
from core.tasks import NOTHING_NEW
from tests.agents.fakes import CountingVision, ListQuestioner, picture, walk

THREE = InterviewOptions(rounds=3)
QUESTIONS = ["What colour is the duck?", "Where is the duck?", "How large is the duck?"]


def last_of(events: Sequence[Event]) -> Done:
    """How it ended."""
    assert isinstance(events[-1], Done)
    return events[-1]


class Shelf:
    """Keeps what is saved."""

    def __init__(self) -> None:
        self.captions: list[Caption] = []

    def __call__(self, caption: Caption) -> str:
        self.captions.append(caption)
        return f"id{len(self.captions)}"


def test_the_events_of_an_interview_in_their_order() -> None:
    shelf = Shelf()
    events = list(
        interview_picture(picture(), CountingVision(), ListQuestioner(questions=QUESTIONS), THREE, save=shelf)
    )
    told = [type(event) for event in events if not isinstance(event, Waiting | SummaryPiece)]
    turn = [QuestionAsked, Answered]
    assert told == [Started, Encoded, PlainCaption, *turn, *turn, *turn, SummaryWritten, Done]
    assert [event.question for event in events if isinstance(event, QuestionAsked)][1:] == QUESTIONS[:2]
    last = events[-1]
    assert isinstance(last, Done) and last.id == "id4" and shelf.captions[-1] == last.caption
    assert "".join(event.text for event in events if isinstance(event, SummaryPiece)) == last.caption.summary


def test_a_caption_says_where_it_comes_from() -> None:
    caption = caption_picture(picture(), CountingVision(), ListQuestioner(questions=QUESTIONS), THREE, seed=7)
    assert caption.status == "complete" and caption.ended_because == "rounds"
    assert caption.plain == "a plain caption"
    assert caption.opening == "the answer to Describe this picture in detail"
    assert "What colour is the duck" in caption.summary
    assert caption.vision["name"] == "counting" and caption.questioner["name"] == "list"
    assert caption.options["rounds"] == 3 and caption.options["prompts"] == Prompts.load().sha256
    assert caption.seed == 7
    assert {"encode", "vision", "language", "total"} <= caption.seconds.keys()
    assert Caption.from_json(caption.to_json()) == caption


@pytest.mark.parametrize("rounds", [1, 10])
def test_the_picture_is_encoded_once(rounds: int) -> None:
    vision = CountingVision()
    caption_picture(picture(), vision, ListQuestioner(), InterviewOptions(rounds=rounds))
    assert vision.encoded == 1
    assert len(vision.asked) == rounds + 1


def test_history_reaches_the_backend() -> None:
    vision = CountingVision()
    caption_picture(picture(), vision, ListQuestioner(questions=QUESTIONS), InterviewOptions(rounds=3, history=-1))
    assert [len(question.history) for question in vision.asked] == [0, 0, 1, 2]


def test_only_a_backend_that_follows_instructions_is_instructed() -> None:
    class Following(CountingVision):
        follows_instructions = True

    plain, following = CountingVision(), Following()
    for vision in (plain, following):
        caption_picture(picture(), vision, ListQuestioner(questions=QUESTIONS), InterviewOptions(rounds=2))
    assert plain.asked[-1].question == QUESTIONS[0]
    assert following.asked[-1].question != QUESTIONS[0] and QUESTIONS[0] in str(following.asked[-1].question)


def test_a_repeated_question_is_refused_aloud_and_asking_ends_early() -> None:
    model = ListQuestioner(questions=[QUESTIONS[0], *[QUESTIONS[0]] * 9])
    options = InterviewOptions(rounds=9, repeats=2, fallback="none")
    events = list(interview_picture(picture(), CountingVision(), model, options))
    refused = [(event.question, event.reason) for event in events if isinstance(event, QuestionRefused)]
    assert refused == [(QUESTIONS[0], "repeated")] * 3
    assert last_of(events).caption.ended_because == "no usable question"
    assert len(last_of(events).caption.dialogue.turns) == 2


def test_nothing_new_ends_asking() -> None:
    options = InterviewOptions(min_rounds=0)
    caption = caption_picture(picture(), CountingVision(), ListQuestioner(questions=[NOTHING_NEW]), options)
    assert caption.status == "complete" and len(caption.dialogue.turns) == 1


def test_empty_answers_of_the_questioner_end_asking_not_the_run() -> None:
    options = InterviewOptions(fallback="none")
    caption = caption_picture(picture(), CountingVision(), ListQuestioner(questions=[""] * 9), options)
    assert caption.status == "complete" and caption.ended_because == "no usable question"


# --- failures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (QuestionerError("the questioner x cannot be reached; is the server running?"), "cannot be reached"),
        (RuntimeError("boom\nTraceback: 3 more lines"), "RuntimeError: boom"),
    ],
)
def test_a_failing_questioner_ends_the_picture_with_what_was_learned(error: Exception, line: str) -> None:
    shelf = Shelf()
    model = ListQuestioner(questions=[QUESTIONS[0], error])
    last = list(interview_picture(picture(), CountingVision(), model, THREE, save=shelf))[-1]
    assert isinstance(last, Failed) and last.id == "id3"
    assert line in str(last.error) and "\n" not in str(last.error)
    saved = shelf.captions[-1]
    assert saved.status == "failed" and saved.error and line in saved.error
    assert [turn.question for turn in saved.dialogue.turns][1:] == QUESTIONS[:1]
    assert saved.text == saved.opening


def test_a_failing_backend_is_named() -> None:
    vision = CountingVision({QUESTIONS[0]: ValueError("shapes differ")})
    last = list(interview_picture(picture(), vision, ListQuestioner(questions=QUESTIONS), THREE))[-1]
    assert isinstance(last, Failed) and isinstance(last.error, BackendError)
    assert "counting" in str(last.error) and "shapes differ" in str(last.error)


def test_an_empty_summary_is_a_failure_that_can_be_tried_again() -> None:
    questions = QUESTIONS[:2]
    failed = list(
        interview_picture(picture(), CountingVision(), ListQuestioner(questions=questions, summary=""), THREE)
    )[-1]
    assert isinstance(failed, Failed) and failed.caption.status == "failed"
    vision = CountingVision()
    good = caption_picture(picture(), vision, ListQuestioner(questions=questions), THREE, earlier=failed.caption)
    assert good.status == "complete"
    assert vision.encoded == 0, "nothing is left to look at"


@pytest.mark.parametrize("broken", [1, 2, 3, 4, 5])
def test_continued_after_a_failure_it_is_the_same_interview(broken: int) -> None:
    """With the same seed every call gets the same seed, interrupted or not."""

    def model(fail_at: int | None = None) -> ListQuestioner:
        def reply(place: int) -> Any:
            def say(_: Any, kwargs: dict[str, Any]) -> str:
                return f"What is thing {place} with seed{kwargs['seed']}?"

            return QuestionerError("down") if place == fail_at else say

        return ListQuestioner(questions=[reply(place) for place in range(9)])

    options = InterviewOptions(rounds=7)
    whole = caption_picture(picture(), CountingVision(), model(), options, seed=11)
    with pytest.raises(QuestionerError, match="down") as failed:
        caption_picture(picture(), CountingVision(), model(broken), options, seed=11)
    broke = failed.value.partial
    assert broke is not None and broke.status == "failed" and len(broke.dialogue.turns) == broken + 1
    mended = caption_picture(picture(), CountingVision(), model(), options, seed=11, earlier=broke)
    assert said(mended) == said(whole)
    other = caption_picture(picture(), CountingVision(), model(), options, seed=12)
    assert said(other) != said(whole)


def said(caption: Caption) -> Any:
    turns = [(turn.question, turn.answer) for turn in caption.dialogue.turns]
    return turns, caption.plain, caption.summary


def test_seeds_differ_from_call_to_call_and_none_stays_none() -> None:
    seeds = {call_seed(1, "question", step, attempt) for step in range(10) for attempt in range(3)}
    assert len(seeds) == 30
    assert call_seed(None, "question", 1) is None
    assert call_seed(1, "plain") == call_seed(1, "plain") != call_seed(2, "plain")


def test_ctrl_c_inside_a_model_saves_and_ends_with_stopped() -> None:
    shelf = Shelf()
    vision = CountingVision({QUESTIONS[1]: KeyboardInterrupt()})
    last = list(interview_picture(picture(), vision, ListQuestioner(questions=QUESTIONS), THREE, save=shelf))[-1]
    assert isinstance(last, InterviewStopped)
    assert shelf.captions[-1].status == "stopped" and len(shelf.captions[-1].dialogue.turns) == 2
    with pytest.raises(KeyboardInterrupt):
        caption_picture(picture(), vision, ListQuestioner(questions=QUESTIONS), THREE)


def test_a_listener_that_goes_away_loses_nothing() -> None:
    shelf = Shelf()
    events = interview_picture(picture(), CountingVision(), ListQuestioner(questions=QUESTIONS), THREE, save=shelf)
    walk(events, lambda event: isinstance(event, Answered))
    events.close()  # type: ignore[attr-defined]
    saved = shelf.captions[-1]
    assert saved.status == "stopped" and len(saved.dialogue.turns) == 1


def test_a_killed_process_loses_no_answer() -> None:
    shelf = Shelf()
    events = interview_picture(picture(), CountingVision(), ListQuestioner(questions=QUESTIONS), THREE, save=shelf)
    for number in (1, 2):
        walk(events, lambda event: isinstance(event, Answered))
        assert shelf.captions[-1].status == "stopped" and len(shelf.captions[-1].dialogue.turns) == number


def test_a_full_disk_does_not_hide_the_caption() -> None:
    def full(_: Caption) -> str:
        raise StoreError("the disk is full")

    last = list(interview_picture(picture(), CountingVision(), ListQuestioner(), THREE, save=full))[-1]
    assert isinstance(last, Done) and last.id is None and last.caption.summary
    assert str(last.save_error) == "the disk is full"
    with pytest.raises(StoreError, match="the disk is full") as lost:
        caption_picture(picture(), CountingVision(), ListQuestioner(), THREE, save=full)
    assert lost.value.partial is not None and lost.value.partial.text == last.caption.text
    with pytest.raises(QuestionerError, match="down") as failed:
        caption_picture(picture(), CountingVision(), ListQuestioner(questions=[QuestionerError("down")]), save=full)
    assert failed.value.partial is not None and "the disk is full" in failed.value.__notes__[0]


def test_an_encoded_image_is_not_encoded_again_and_keeps_its_source() -> None:
    vision = CountingVision()
    image = vision.encode_image(picture())
    caption = caption_picture(image, vision, ListQuestioner(), THREE)
    assert vision.encoded == 1 and caption.picture == picture().info()
    assert said(caption) == said(caption_picture(picture(), CountingVision(), ListQuestioner(), THREE))

    class Other(CountingVision):
        revision = "2"

    with pytest.raises(UsageError, match="encoded by a vision model of the revision '1', not by counting"):
        caption_picture(image, Other(), ListQuestioner(), THREE)


def test_no_model_is_called_once_the_work_is_halted() -> None:
    vision, halt = CountingVision(), Halt()
    with halting(halt):
        events = interview_picture(picture(), vision, ListQuestioner(), THREE)
        walk(events, lambda event: isinstance(event, PlainCaption))
        halt.set()
        last = last_of(list(events))
    assert isinstance(last, InterviewStopped) and last.caption.plain and len(vision.asked) == 1


def test_a_person_may_ask_while_it_runs() -> None:
    interview = Interview(Prompts.load(), THREE)
    vision = CountingVision()
    events = interview_picture(picture(), vision, ListQuestioner(questions=QUESTIONS), interview=interview)
    walk(events, lambda event: isinstance(event, Answered))
    interview.inject("Is it raining?")
    need = interview.need
    assert isinstance(need, NeedAnswer)
    rest = list(events)
    assert [turn.asked_by for turn in last_of(rest).caption.dialogue.turns].count("person") == 1
    assert any(event.question == "Is it raining?" for event in rest if isinstance(event, QuestionAsked))


def test_many_interviews_can_be_moved_in_lock_step() -> None:
    """Nothing in the state machine knows its driver: eight interviews, one batch per round."""
    from agents.interview.calls import visual_question
    from agents.interview.protocol import Finished, NeedPlainCaption, NeedQuestion

    vision = CountingVision()
    pictures = [picture(colour) for colour in ("red", "green", "blue", "white")]
    images = vision.encode(pictures)
    interviews = [Interview(Prompts.load(), THREE) for _ in pictures]
    batches = 0
    while any(not isinstance(one.need, Finished) for one in interviews):
        looking = [(one, image) for one, image in zip(interviews, images, strict=True)]
        looking = [(one, image) for one, image in looking if isinstance(one.need, NeedPlainCaption | NeedAnswer)]
        if looking:
            batches += 1
            answers = vision.answer([visual_question(one.need, image, one) for one, image in looking])  # type: ignore[arg-type]
            for (one, _), answer in zip(looking, answers, strict=True):
                one.feed(answer)
            continue
        for one in interviews:
            if isinstance(one.need, NeedQuestion):
                one.feed(QUESTIONS[one.need.step])
            elif not isinstance(one.need, Finished):
                one.feed("all of it")
    assert batches == 1 + THREE.rounds
    assert all(one.status == "complete" for one in interviews)


def test_a_language_the_questioner_does_not_have_is_said_before_work_starts() -> None:
    class EnglishOnly(ListQuestioner):
        languages: ClassVar[tuple[str, ...]] = ("en", "English")

    with pytest.raises(UsageError, match=r"cannot write in 'German'.*en, English"):
        check_language(InterviewOptions(language="German"), EnglishOnly())
    check_language(InterviewOptions(language="ENGLISH"), EnglishOnly())
    check_language(InterviewOptions(language="German"), ListQuestioner())
