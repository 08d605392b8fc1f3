"""Which replies become questions, who asks where there is none, and when asking may end."""

from __future__ import annotations

from agents.interview.driver import caption_picture, interview_picture
from agents.interview.events import Done, QuestionAsked, QuestionRefused
from agents.interview.prompts import Prompts
from agents.interview.protocol import (
    Interview,
    InterviewOptions,
    NeedAnswer,
    NeedQuestion,
    NeedSummary,
)
from core.records import Caption, Turn
from core.tasks import NOTHING_NEW
from tests.agents.fakes import CountingVision, ListQuestioner, picture

PROMPTS = Prompts.load()
OPENING = PROMPTS.text("answerer.opening")
SCENE = "A brown dog sits on a green chair. Two ducks are on the left."
JUNK = "I'm sorry, I'm sorry."


def begun(answer: str = SCENE, **options: object) -> Interview:
    """An interview whose opening question is answered."""
    interview = Interview(PROMPTS, InterviewOptions(**options))  # type: ignore[arg-type]
    interview.feed("a dog")
    interview.feed(answer)
    return interview


def question_of(interview: Interview) -> NeedQuestion:
    need = interview.need
    assert isinstance(need, NeedQuestion), need
    return need


def ask(interview: Interview, question: str, answer: str = "It is brown.") -> None:
    interview.feed(question)
    assert isinstance(interview.need, NeedAnswer), interview.asking.last
    interview.feed(answer)


def test_a_refused_reply_is_kept_with_its_reason_and_not_shown_to_the_model_again() -> None:
    interview = begun()
    interview.feed(JUNK)
    need = question_of(interview)
    assert JUNK not in str(need.messages) and need.attempt == 1
    assert need.messages[-1].content.endswith(PROMPTS.text("refusal.question"))
    assert [message.role for message in need.messages] == ["system", "user", "assistant", "user"]
    ask(interview, "What breed is the dog?")
    assert PROMPTS.text("refusal.question") not in str(question_of(interview).messages)
    assert [(one.text, one.reason, one.step) for one in interview.asking.log] == [(JUNK, "apology", 1)]
    assert (interview.asking.counts.proposed, interview.asking.counts.refused) == (2, 1)


def test_each_reason_has_its_words() -> None:
    for said, key in (
        (OPENING, "repeated"),
        ("Is the brown dog on a green chair?", "question"),
        ("A brown dog?", "said"),
        ("What is it?", "vague"),
        (NOTHING_NEW, "too_early"),
        ("Answer: it is brown.", "question"),
    ):
        interview = begun("A brown dog. " + SCENE)
        interview.feed(said)
        if key == "question" and said.startswith("Is"):
            continue
        assert question_of(interview).messages[-1].content.endswith(PROMPTS.text(f"refusal.{key}")), said


def test_the_way_out_is_offered_late_and_what_was_named_is_told_before() -> None:
    interview = begun(rounds=6)
    last = question_of(interview).messages[-1].content
    assert NOTHING_NEW not in last
    assert "the dog" in last and "the chair" in last and "the duck (colour" in last and "the surroundings" in last
    for question in ("What breed is the dog?", "What is the chair made of?", "How many ducks are there?"):
        ask(interview, question)
    last = question_of(interview).messages[-1].content
    assert NOTHING_NEW not in last and "the dog" not in last and "the surroundings" in last
    interview.feed(NOTHING_NEW)
    assert question_of(interview).attempt == 1 and interview.asking.log[-1].reason == "too early"
    ask(interview, "What is in the background, and is there any writing?", "A plain wall.")
    last = question_of(interview).messages[-1].content
    assert NOTHING_NEW in last or "the wall" in last
    ask(interview, "What colour is the wall?", "White.")
    assert isinstance(interview.need, NeedSummary), "six rounds"


def test_nothing_left_is_accepted_when_everything_named_was_asked_about() -> None:
    interview = begun("A dog.", rounds=10, min_rounds=2)
    ask(interview, "Where is the dog, in which surroundings, and is there any writing?", "It is outdoors.")
    assert NOTHING_NEW in question_of(interview).messages[-1].content
    interview.feed(NOTHING_NEW)
    assert isinstance(interview.need, NeedSummary)
    interview.feed("A dog.")
    assert interview.ended_because == "nothing new to ask"


def test_a_repeated_early_end_goes_to_the_fallback() -> None:
    interview = begun(repeats=1)
    interview.feed(NOTHING_NEW)
    interview.feed(NOTHING_NEW)
    assert question_of(interview).by == "fallback"
    ask(interview, "What colour are the ducks?")
    assert interview.dialogue.turns[-1].asked_by == "fallback"
    need = question_of(interview)
    assert (need.by, need.attempt) == ("questioner", 0), "the model gets the next turn"


def test_who_wants_to_end_is_told_once_what_is_left_and_then_the_fallback_asks() -> None:
    interview = begun()
    interview.feed(NOTHING_NEW)
    need = question_of(interview)
    assert need.by == "questioner" and PROMPTS.text("refusal.too_early") in need.messages[-1].content
    assert "the dog" in need.messages[-1].content
    interview.feed(NOTHING_NEW)
    assert question_of(interview).by == "fallback"
    ask(interview, "What colour are the ducks?", "They are white.")
    assert question_of(interview).by == "questioner"
    interview.feed(NOTHING_NEW)
    assert question_of(interview).by == "fallback", "it was told before"
    ask(interview, "How many ducks are there?", "Two.")
    ask(interview, "What breed is the dog?")
    interview.feed(NOTHING_NEW)
    assert question_of(interview).by == "questioner", "it has asked since"


def test_without_a_fallback_who_wants_to_end_has_all_its_attempts() -> None:
    interview = begun(fallback="none")
    interview.feed(NOTHING_NEW)
    interview.feed(NOTHING_NEW)
    assert question_of(interview).by == "questioner"
    interview.feed(NOTHING_NEW)
    assert isinstance(interview.need, NeedSummary)


def test_a_resumed_interview_remembers_who_wanted_to_end() -> None:
    from tests.agents.interview.test_interview import INFO

    interview = begun()
    interview.feed(NOTHING_NEW)
    interview.feed(NOTHING_NEW)
    ask(interview, "What colour are the ducks?", "They are white.")
    kept = Caption(
        picture=INFO,
        status="stopped",
        plain="a dog",
        dialogue=interview.dialogue,
        refused=interview.asking.log,
        questions=interview.asking.counts,
    )
    again = Interview.resumed(Caption.from_json(kept.to_json()), PROMPTS)
    for one in (interview, again):
        one.feed(NOTHING_NEW)
        assert question_of(one).by == "fallback"


def test_where_the_rules_have_nothing_a_spare_question_is_asked() -> None:
    interview = begun(repeats=0)
    asked = []
    for _ in range(4):
        interview.feed(JUNK)
        interview.feed(NOTHING_NEW)
        asked.append(interview.pending)
        interview.feed("Nothing.")
    assert len(set(asked)) == 4 and set(asked) <= set(PROMPTS.text("fallback.spare").splitlines())


def test_without_a_fallback_asking_ends_and_says_so() -> None:
    interview = begun(repeats=1, fallback="none")
    interview.feed(JUNK)
    interview.feed("The dog is brown.")
    assert isinstance(interview.need, NeedSummary)
    interview.feed("A dog.")
    assert interview.ended_because == "no usable question"


def test_a_weak_questioner_is_helped_openly() -> None:
    model = ListQuestioner(questions=[JUNK] * 3)
    vision = CountingVision({OPENING: SCENE})
    events = list(interview_picture(picture(), vision, model, InterviewOptions(rounds=5), seed=1))
    asked = [(event.asked_by) for event in events if isinstance(event, QuestionAsked)]
    assert asked[:2] == ["opening", "fallback"] and "questioner" in asked[2:]
    assert [event.reason for event in events if isinstance(event, QuestionRefused)][:3] == ["apology"] * 3
    last = events[-1]
    assert isinstance(last, Done)
    caption = last.caption
    assert caption.asked_by["fallback"] >= 1 and caption.questioner_failed
    assert caption.refused[0].text == JUNK and caption.refused[0].reason == "apology" and caption.refused[0].step == 1
    assert caption.questions is not None and caption.questions.refused >= 3
    assert caption.options["fallback"] == "scripted"
    assert Caption.from_json(caption.to_json()) == caption


def test_a_questioner_that_only_talks_still_gives_a_whole_interview() -> None:
    model = ListQuestioner(questions=[JUNK] * 99)
    caption = caption_picture(picture(), CountingVision({OPENING: SCENE}), model, InterviewOptions(rounds=10))
    assert len(caption.dialogue.turns) == 10
    assert caption.asked_by == {"opening": 1, "fallback": 9}


def test_the_rules_themselves_may_end_when_they_like() -> None:
    from agents.llm.questioners import load_questioner

    caption = caption_picture(picture(), CountingVision({OPENING: "a dog"}), load_questioner("scripted"))
    assert caption.refused == () and not caption.questioner_failed
    assert caption.asked_by.keys() == {"opening", "questioner"}


def test_counts_go_on_where_an_interview_was_stopped() -> None:
    interview = begun()
    interview.feed(JUNK)
    from tests.agents.interview.test_interview import INFO

    kept = Caption(
        picture=INFO,
        status="stopped",
        plain="a dog",
        dialogue=interview.dialogue,
        refused=interview.asking.log,
        questions=interview.asking.counts,
    )
    again = Interview.resumed(Caption.from_json(kept.to_json()), PROMPTS)
    again.feed(JUNK)
    assert again.asking.counts.refused == 2 and len(again.asking.log) == 2


def test_what_is_refused_is_kept_within_bounds() -> None:
    interview = begun("A dog.", repeats=200)
    for _ in range(120):
        interview.feed("word " * 400)
    assert len(interview.asking.log) == 50 and interview.asking.counts.refused == 120
    assert all(len(one.text) <= 240 for one in interview.asking.log)


def test_an_old_caption_keeps_its_id() -> None:
    from tests.agents.interview.test_interview import INFO

    caption = Caption(picture=INFO, dialogue={"turns": (Turn(question="a", answer="b"),)})  # type: ignore[arg-type]
    assert "refused" not in caption._content() and "questions" not in caption._content()


def test_a_page_that_follows_an_interview_sees_what_was_refused() -> None:
    from agents.interview.live import LiveInterview, view_of

    shown = picture()
    live = LiveInterview(
        shown.info(),
        lambda: shown,
        lambda: CountingVision({OPENING: SCENE}),
        lambda: ListQuestioner(questions=[JUNK, "What breed is the dog?"]),
        InterviewOptions(rounds=2),
    )
    seen = [len(live.view.refused) for _ in live.run()]
    assert 0 in seen and seen[-1] == 1
    caption = live.view.caption
    assert caption is not None and view_of(caption).refused == caption.refused == live.view.refused


def test_many_interviews_at_once_are_helped_as_one_alone() -> None:
    from agents.batch.pipeline import InterviewTask, Outcome, PipelineConfig, interview_many

    options = InterviewOptions(rounds=5)
    some = [picture(colour) for colour in ("red", "green", "blue")]
    config = PipelineConfig(options, PROMPTS, seed=1, batch=2, concurrency=2)
    weak = ListQuestioner(questions=[JUNK] * 5)
    tasks = [InterviewTask(one.source, one) for one in some]
    found = {
        one.tag: one.caption
        for one in interview_many(tasks, CountingVision({OPENING: SCENE}), weak, config)
        if isinstance(one, Outcome)
    }
    for one in some:
        alone = caption_picture(one, CountingVision({OPENING: SCENE}), weak, options, seed=1)
        mine = found[one.source]
        assert mine.refused == alone.refused and mine.questions == alone.questions and mine.summary == alone.summary
        assert [(turn.question, turn.asked_by) for turn in mine.dialogue.turns] == [
            (turn.question, turn.asked_by) for turn in alone.dialogue.turns
        ]
        assert mine.asked_by["fallback"] >= 1
