"""The protocol: who is asked what about which frame, what is mended, and how often."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.interview.protocol import END_ROUNDS, Finished, NeedQuestion
from agents.video.interview import MENDED, NeedFrameAnswer, NeedVideoSummary, VideoInterview, VideoOptions, VideoPart
from agents.video.prompts import load_prompts
from core.errors import UsageError
from core.records import Caption, PictureInfo
from core.tasks import NOTHING_NEW

PROMPTS = load_prompts()
OPENING = "Describe this picture in detail."
TIMES = (0.0, 2.0, 4.0, 6.0)
WHOLE = (VideoPart(1, 4, 0.0, 8.0),)
TWO = (VideoPart(1, 2, 0.0, 4.0), VideoPart(3, 4, 4.0, 8.0))


def interview(parts: tuple[VideoPart, ...] = WHOLE, **options: object) -> VideoInterview:
    return VideoInterview(PROMPTS, VideoOptions(**options), TIMES, parts)  # type: ignore[arg-type]


def answered(talk: VideoInterview, text: str = "there is a duck.") -> NeedFrameAnswer:
    """Answer what is asked now; gives back what that was."""
    need = talk.need
    assert isinstance(need, NeedFrameAnswer), need
    talk.feed(text)
    return need


def asked(talk: VideoInterview, said: str) -> None:
    assert isinstance(talk.need, NeedQuestion), talk.need
    talk.feed(said)


def test_the_first_question_is_fixed_and_about_the_first_frame() -> None:
    need = answered(interview())
    assert (need.frame, need.question, need.asked_by) == (1, OPENING, "opening")


def test_the_questioner_is_told_of_the_frames_and_chooses() -> None:
    talk = interview()
    answered(talk)
    need = talk.need
    assert isinstance(need, NeedQuestion)
    brief = need.messages[0].content
    assert "4 frames" in brief and "8.0 seconds" in brief and "frame 3 at 0:04.0" in brief
    assert "frames: 2, 3, 4" in need.messages[-1].content, "those nobody asked about"
    assert need.task.frames == ((1, 0.0), (2, 2.0), (3, 4.0), (4, 6.0))
    assert [message.role for message in need.messages] == ["system", "user", "assistant", "user"]
    asked(talk, "Frame 3: What is the duck doing?")
    need = answered(talk)
    assert (need.frame, need.question) == (3, "What is the duck doing?")
    assert talk.dialogue.turns[-1].question == "Frame 3: What is the duck doing?"


def test_an_expert_hears_of_its_own_frame_only() -> None:
    talk = interview(history=-1)
    answered(talk, "a duck.")
    asked(talk, "Frame 3: What is there?")
    assert answered(talk, "a ball.").history == ()
    asked(talk, "Frame 1: What colour is it?")
    assert answered(talk, "yellow.").history == ((OPENING, "a duck."),)


@pytest.mark.parametrize(("number", "nearest"), [(0, 1), (-1, 1), (5, 4), (4000, 4)])
def test_a_frame_that_does_not_exist_is_mended_and_never_wraps(number: int, nearest: int) -> None:
    talk = interview(repeats=2)
    answered(talk)
    for attempt in range(3):
        need = talk.need
        assert isinstance(need, NeedQuestion) and need.attempt == attempt
        if attempt:
            assert f"There is no frame {number}; they are numbered from 1 to 4" in need.messages[-1].content
        asked(talk, f"Frame {number}: What is the duck doing?")
    need = answered(talk)
    assert (need.frame, need.question) == (nearest, "What is the duck doing?")


def test_a_frame_number_is_put_right_by_the_questioner() -> None:
    talk = interview()
    answered(talk)
    asked(talk, "Frame 9: What is there?")
    asked(talk, "Frame 4: What is there?")
    assert answered(talk).frame == 4


def test_a_question_without_a_frame_goes_to_the_one_spoken_of_last() -> None:
    talk = interview(repeats=1)
    answered(talk)
    asked(talk, "Frame 3: What is there?")
    answered(talk)
    asked(talk, "What colour is it?")
    need = talk.need
    assert isinstance(need, NeedQuestion) and "Which frame is that about?" in need.messages[-1].content
    asked(talk, "What colour is it?")
    assert answered(talk).frame == 3


def test_the_same_question_about_another_frame_is_no_repetition() -> None:
    talk = interview()
    answered(talk)
    asked(talk, f"Frame 2: {OPENING}")
    assert answered(talk).frame == 2
    asked(talk, f"Frame 2: {OPENING}")
    need = talk.need
    assert isinstance(need, NeedQuestion) and "asked already" in need.messages[-1].content


def test_who_has_no_usable_question_gets_the_opening_one_for_an_unseen_frame() -> None:
    talk = interview(repeats=1, fallback="none")
    answered(talk)
    for frame in (2, 3, 4):
        asked(talk, "")
        asked(talk, f"Frame 1: {OPENING}")
        need = answered(talk)
        assert (need.frame, need.question, need.asked_by) == (frame, OPENING, MENDED)
    asked(talk, "")
    asked(talk, "")
    assert isinstance(talk.need, NeedVideoSummary), "all frames have been seen: that is the end of asking"


def test_the_questioner_may_end_it() -> None:
    talk = interview(min_rounds=0)
    answered(talk)
    asked(talk, NOTHING_NEW)
    assert isinstance(talk.need, NeedVideoSummary)
    talk.feed("A duck swims.")
    assert talk.need == Finished("nothing new to ask") and talk.summary == "A duck swims."


def test_the_notes_stand_in_the_order_of_the_video() -> None:
    talk = interview(rounds=4)
    answered(talk, "a duck.")
    for said, answer in (("Frame 4: Where is it?", "it is gone."), ("Frame 2: What is there?", "a ball."),
                         ("Frame 3: What is its size?", "i do not know.")):  # fmt: skip
        asked(talk, said)
        answered(talk, answer)
    need = talk.need
    assert isinstance(need, NeedVideoSummary)
    notes = need.messages[-1].content
    assert notes.index("At 0:00.0") < notes.index("a duck") < notes.index("At 0:02.0") < notes.index("a ball")
    assert notes.index("a ball") < notes.index("At 0:06.0") < notes.index("it is gone")
    assert "Frame" not in notes and "do not know" not in notes and "8.0 seconds" in notes


def test_a_story_with_frames_is_told_again_and_then_mended() -> None:
    talk = interview(rounds=1, repeats=1)
    answered(talk)
    talk.feed("In frame 1, a duck swims.")
    need = talk.need
    assert isinstance(need, NeedVideoSummary) and need.attempt == 1
    assert need.messages[-1].content.startswith("Tell it again without a word about frames")
    talk.feed("In frame 1, a duck swims.")
    assert talk.summary == "At first, a duck swims."


def test_a_story_of_nothing_but_frames_fails() -> None:
    talk = interview(rounds=1, repeats=0)
    answered(talk)
    talk.feed("Frame 1 shows a duck.")
    assert talk.status == "failed" and "frames" in (talk.error or "")


def test_scene_by_scene_and_then_the_whole() -> None:
    talk = interview(TWO, rounds=2, min_rounds=0)
    answered(talk, "a duck.")
    asked(talk, "Frame 3: What is there?")
    need = talk.need
    assert isinstance(need, NeedQuestion) and "numbered from 1 to 2" in need.messages[-1].content, "not this scene's"
    asked(talk, "Frame 2: What is there?")
    answered(talk, "a ball.")
    telling = talk.need
    assert isinstance(telling, NeedVideoSummary) and telling.part == 0 and "4.0 seconds" in telling.messages[-1].content
    talk.feed("A duck swims, then a ball comes.")
    assert talk.dialogue.turns[-1].question == "Scene 1, 0:00 to 0:04:"

    need = answered(talk, "a dog.")
    assert (need.frame, need.asked_by, need.history) == (3, "opening", ())
    question = talk.need
    assert isinstance(question, NeedQuestion) and "a duck" not in str(question.messages)
    asked(talk, NOTHING_NEW)
    talk.feed("A dog comes.")
    whole = talk.need
    assert isinstance(whole, NeedVideoSummary) and whole.part is None
    notes = whole.messages[-1].content
    assert "- Scene 1, 0:00 to 0:04: A duck swims" in notes and "- Scene 2, 0:04 to 0:08: A dog comes." in notes
    talk.feed("At 0:00 a duck swims, at 0:04 a dog comes.")
    assert talk.status == "complete" and talk.asked == 3 and talk.summarised == 2


def test_scenes_of_which_nothing_is_known() -> None:
    talk = interview(TWO, rounds=1)
    answered(talk, "i do not know.")
    answered(talk, "a dog.")
    talk.feed("A dog comes.")
    need = talk.need
    assert isinstance(need, NeedVideoSummary) and need.part is None and "Scene 1" not in need.messages[-1].content
    nothing = interview(TWO, rounds=1)
    answered(nothing, "i do not know.")
    answered(nothing, "")
    assert nothing.status == "complete" and nothing.summary == PROMPTS.text("summary.nothing_certain")


def test_going_on_where_it_stopped() -> None:
    talk = interview(TWO, rounds=2)
    answered(talk, "a duck.")
    asked(talk, "Frame 2: What is there?")
    answered(talk, "a ball.")
    talk.feed("A duck swims.")
    answered(talk, "a dog.")
    info = PictureInfo(sha256="0", source="clip.mp4", width=1, height=1)
    kept = Caption(picture=info, status="stopped", dialogue=talk.dialogue)
    again = interview(TWO, rounds=2).resume(kept)
    assert again.dialogue == talk.dialogue
    assert isinstance(again.need, NeedQuestion) and again.need == talk.need


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.text(max_size=40) | st.from_regex(r"Frame -?[0-9]{1,2}: [a-z ]{0,12}\?", fullmatch=True), min_size=1),
    st.integers(1, 6),
    st.integers(0, 2),
    st.sampled_from([WHOLE, TWO]),
)
def test_whatever_is_said_it_ends_and_every_frame_exists(
    said: list[str], rounds: int, repeats: int, parts: tuple[VideoPart, ...]
) -> None:
    talk = interview(parts, rounds=rounds, repeats=repeats)
    fed = 0
    while not isinstance(need := talk.need, Finished):
        if isinstance(need, NeedFrameAnswer):
            assert need.frame in talk.part
        talk.feed(said[fed % len(said)])
        fed += 1
        assert fed <= len(parts) * (rounds * (3 + repeats) + 3 + repeats) + 3 + repeats, "bounded"
    for turn in talk.dialogue.turns:
        assert turn.question.startswith(("Frame 1:", "Frame 2:", "Frame 3:", "Frame 4:", "Scene "))


def test_a_person_asks_too() -> None:
    talk = interview(rounds=2, min_rounds=0)
    answered(talk)
    asked(talk, NOTHING_NEW)
    talk.feed("A duck swims.")
    talk.inject("Frame 4: Is the duck still there?")
    need = answered(talk, "no, it is gone.")
    assert (need.frame, need.asked_by) == (4, "person")
    assert isinstance(talk.need, NeedVideoSummary) and "it is gone" in talk.need.messages[-1].content
    for wrong in ("Is the duck there?", "Frame 0: Is it there?", "Frame 5: Is it there?", "Frame 2:"):
        with pytest.raises(UsageError, match="frames 1 to 4"):
            talk.inject(wrong)


def told_by_scenes() -> VideoInterview:
    """Both scenes and the whole told: 1 apple at turn 0, scene 1 at 1, dog at 2, scene 2 at 3."""
    talk = interview(TWO, rounds=1)
    answered(talk, "an apple.")
    talk.feed("An apple lies there.")
    answered(talk, "a dog.")
    talk.feed("A dog comes.")
    talk.feed("An apple lies there, then a dog comes.")
    assert talk.status == "complete"
    return talk


def kept(talk: VideoInterview) -> Caption:
    info = PictureInfo(sha256="0", source="clip.mp4", width=1, height=1)
    return Caption(
        picture=info,
        status=talk.status,
        dialogue=talk.dialogue,
        summary=talk.summary or "",
        ended_because=talk.ended_because,
    )


@pytest.mark.parametrize("resumed", [False, True])
def test_a_question_about_a_scene_has_that_scene_and_the_whole_told_anew(resumed: bool) -> None:
    talk = told_by_scenes()
    if resumed:
        talk = interview(TWO, rounds=1).resume(kept(talk))
    talk.inject("Frame 2: Is there a ball?")
    need = answered(talk, "yes, a ball.")
    assert (need.frame, need.asked_by) == (2, "person")
    telling = talk.need
    assert isinstance(telling, NeedVideoSummary) and telling.part == 0 and "a ball" in telling.messages[-1].content
    talk.feed("An apple lies beside a ball.")
    whole = talk.need
    assert isinstance(whole, NeedVideoSummary) and whole.part is None, "no other scene is told again"
    notes = whole.messages[-1].content
    assert "beside a ball" in notes and "An apple lies there" not in notes and "A dog comes." in notes
    assert notes.index("beside a ball") < notes.index("A dog comes.")
    talk.feed("An apple and a ball, then a dog comes.")
    assert talk.status == "complete" and talk.ended_because == END_ROUNDS and talk.summarised == 2


def test_an_answer_that_a_person_puts_right_is_told_anew() -> None:
    talk = told_by_scenes()
    talk.correct(2, "a cat.")
    assert talk.dialogue.turns[2].answer == "a cat." and talk.dialogue.turns[2].raw_answer == "a dog."
    telling = talk.need
    assert isinstance(telling, NeedVideoSummary) and telling.part == 1
    assert "a cat" in telling.messages[-1].content and "a dog" not in telling.messages[-1].content
    stopped = interview(TWO, rounds=1).resume(kept(talk))
    assert stopped.need == telling, "also after it was stopped there"
    talk.feed("A cat comes.")
    assert isinstance(talk.need, NeedVideoSummary) and "A dog comes" not in talk.need.messages[-1].content
    talk.feed("An apple lies there, then a cat comes.")
    assert talk.status == "complete"
    for no_answer in (1, 3, 4, -1):
        with pytest.raises(UsageError, match="no answer about a frame"):
            talk.correct(no_answer, "a horse.")


def test_a_person_may_say_that_a_scene_shows_nothing_known() -> None:
    talk = told_by_scenes()
    talk.correct(0, "i do not know.")
    whole = talk.need
    assert isinstance(whole, NeedVideoSummary) and whole.part is None, "there is nothing to tell of it"
    assert "Scene 1" not in whole.messages[-1].content


def test_what_a_person_knows_is_told_where_nothing_was_known() -> None:
    talk = interview(TWO, rounds=1)
    answered(talk, "i do not know.")
    answered(talk, "i do not know.")
    assert talk.status == "complete"
    talk.correct(2, "a cat.")
    telling = talk.need
    assert isinstance(telling, NeedVideoSummary) and telling.part == 1 and "a cat" in telling.messages[-1].content


def test_own_questions_are_none_of_the_questioners() -> None:
    talk = interview(rounds=3)
    answered(talk)
    talk.inject("Frame 2: Is it raining?")
    answered(talk, "no.")
    for question in ("Frame 1: What colour is it?", "Frame 3: What is there?"):
        asked(talk, question)
        answered(talk)
    assert isinstance(talk.need, NeedVideoSummary)


def test_parts_must_hold_every_frame_once() -> None:
    for parts in ((VideoPart(1, 3, 0, 8),), (VideoPart(1, 2, 0, 4), VideoPart(2, 4, 4, 8)), ()):
        with pytest.raises(UsageError, match="each of its frames once"):
            interview(parts)


def test_own_prompts(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("prompts") / "mine.toml"
    file.write_text("[questioner]\nbreif = 'x'\n", "utf-8")
    with pytest.raises(UsageError, match=r"unknown key 'questioner.breif', did you mean 'questioner.brief'\?"):
        load_prompts(file)
    with pytest.raises(UsageError, match="inquisight video --print-prompts"):
        load_prompts(file.with_name("none.toml"))


def test_a_weak_questioner_is_helped_in_a_video_too() -> None:
    talk = interview(repeats=1)
    answered(talk, "there is a duck on a pond.")
    for said in ("I'm sorry, I'm sorry.", NOTHING_NEW):
        asked(talk, said)
    assert [(one.reason, one.step) for one in talk.asking.log] == [("apology", 1), ("too early", 1)]
    need = talk.need
    assert isinstance(need, NeedQuestion) and need.by == "fallback" and need.task.frames
    asked(talk, "Frame 3: What is the duck doing?")
    need = answered(talk, "it swims.")
    assert (need.frame, need.asked_by) == (3, "fallback")
    assert isinstance(talk.need, NeedQuestion) and talk.need.by == "questioner" and talk.need.attempt == 0


def test_the_way_out_of_a_video_is_offered_late() -> None:
    talk = interview(rounds=4)
    answered(talk, "there is a duck on a pond.")
    need = talk.need
    assert isinstance(need, NeedQuestion)
    assert NOTHING_NEW not in need.messages[-1].content and "the duck (" in need.messages[-1].content
    asked(talk, "Frame 2: What is the duck doing on the pond, in which surroundings, and is there any writing?")
    answered(talk, "it swims.")
    assert isinstance(talk.need, NeedQuestion) and NOTHING_NEW in talk.need.messages[-1].content
    asked(talk, NOTHING_NEW)
    assert isinstance(talk.need, NeedVideoSummary)


def test_a_video_without_usable_questions_still_has_all_its_frames_described() -> None:
    talk = interview(repeats=0)
    answered(talk)
    for frame in (2, 3, 4):
        asked(talk, "I'm sorry.")
        asked(talk, NOTHING_NEW)
        need = answered(talk)
        assert (need.frame, need.asked_by) == (frame, MENDED)
    asked(talk, "I'm sorry.")
    asked(talk, NOTHING_NEW)
    assert isinstance(talk.need, NeedVideoSummary)
