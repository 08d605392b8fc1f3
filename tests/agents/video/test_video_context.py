"""What the owner of a video tells: the first turn, used by the story, with contradictions recorded."""

from __future__ import annotations

import pytest

pytest.importorskip("av", reason="videos are an optional part")

from agents.interview.protocol import NeedFindings, NeedQuestion
from agents.video.interview import NeedFrameAnswer, NeedVideoSummary, VideoInterview, VideoOptions, VideoPart
from agents.video.prompts import load_prompts
from agents.video.records import conflicts_in
from core.records import Caption, PictureInfo
from core.tasks import OWNER
from tests.agents.video.test_video_command import Shell, shell

__all__ = ["shell"]
PROMPTS = load_prompts()
TOLD = "Our cat Luna in Hamburg, on the red couch."
TIMES = (0.0, 2.0, 4.0, 6.0)
WHOLE = (VideoPart(1, 4, 0.0, 8.0),)
TWO = (VideoPart(1, 2, 0.0, 4.0), VideoPart(3, 4, 4.0, 8.0))
INFO = PictureInfo(sha256="0" * 64, source="clip.mp4", width=8, height=8)


def interview(parts: tuple[VideoPart, ...] = WHOLE, **options: object) -> VideoInterview:
    return VideoInterview(PROMPTS, VideoOptions(context=TOLD, **options), TIMES, parts)  # type: ignore[arg-type]


def test_the_dialogue_begins_with_it_and_no_round_is_used_up() -> None:
    talk = interview(rounds=2)
    first = talk.dialogue.turns[0]
    assert (first.asked_by, first.answered_by, first.answer) == (OWNER, OWNER, TOLD)
    assert first.question == "What does the owner of the video say about it?" and talk.asked == 0
    need = talk.need
    assert isinstance(need, NeedFrameAnswer) and need.frame == 1 and need.history == ()
    talk.feed("There is a cat.")
    need = talk.need
    assert isinstance(need, NeedQuestion)
    assert need.task.turns[0].answered_by == OWNER and need.messages[3].content.startswith(TOLD)
    talk.feed("Frame 2: What colour is the couch?")
    talk.feed("It is blue.")
    assert isinstance(talk.need, NeedVideoSummary) and talk.asked == 2


def test_the_story_says_it_and_not_what_contradicts_it() -> None:
    talk = interview(rounds=1)
    talk.feed("A cat sits on a blue couch.")
    talk.feed("A cat sits on a blue couch.")
    assert talk.summary == f"{TOLD} A cat sits on a couch."
    [conflict] = conflicts_in(talk.dialogue.turns)
    assert (conflict.turn, conflict.reason) == (2, "blue couch, told: red")


def test_a_thing_that_another_frame_shows_is_no_contradiction() -> None:
    talk = interview(rounds=2)
    talk.feed("There is a box.")
    talk.feed("Frame 3: Is there a cat?")
    talk.feed("No, there is no cat.")
    assert [one.reason for one in conflicts_in(talk.dialogue.turns)] == ["no cat, told: cat"]
    talk.correct(1, "There is a cat in a box.")
    assert conflicts_in(talk.dialogue.turns) == ()


def test_scenes_follow_the_owner_and_the_whole_says_it_once() -> None:
    talk = interview(TWO, rounds=1)
    for _ in TWO:
        talk.feed("A cat sits on a blue couch.")
        talk.feed("A cat sits on a blue couch.")
    scenes = [turn.answer for turn in talk.dialogue.turns if turn.asked_by == "scene"]
    assert scenes == ["A cat sits on a couch."] * 2
    need = talk.need
    assert isinstance(need, NeedVideoSummary) and need.part is None and need.task.turns[0].answered_by == OWNER
    talk.feed("A cat sits on a couch.")
    assert talk.summary == f"{TOLD} A cat sits on a couch."
    assert all(one.turn not in (3, 5) for one in conflicts_in(talk.dialogue.turns))


def test_where_nothing_is_certain_it_is_told_all_the_same() -> None:
    talk = interview(rounds=1)
    talk.feed("I do not know.")
    assert talk.summary is not None and talk.summary.startswith(TOLD) and talk.status == "complete"


def test_it_does_not_stand_for_the_witnesses_of_a_resumed_interview() -> None:
    talk = interview(rounds=1, witnesses=("detector",))
    talk.feed("There is a cat.")
    stopped = Caption(picture=INFO, status="stopped", dialogue=talk.dialogue)
    assert isinstance(interview(rounds=1, witnesses=("detector",)).resume(stopped).need, NeedFindings)
    empty = interview().resume(Caption(picture=INFO, status="failed"))
    assert empty.dialogue.turns[0].answer == TOLD


def test_the_command_reads_the_option_and_the_file_beside(shell: Shell) -> None:
    (shell.folder / "clip.context.txt").write_text("Luna plays.\n", "utf-8")
    options = ("--context", "A red block in Hamburg", "--frames", "2", "--rounds", "2", "--json")
    done = shell.run("video", "clip.mp4", *options)
    assert (done.returncode, done.stderr) == (0, "")
    caption = Caption.from_json(done.stdout)
    assert caption.told == "A red block in Hamburg. Luna plays." and caption.text.startswith(caption.told)
    assert caption.options["context"] == caption.told
    (shell.folder / "clip.context.txt").write_bytes(b"\xff\xfe\xff")
    wrong = shell.run("video", "clip.mp4", *options)
    assert wrong.returncode == 2 and "is not UTF-8 text" in wrong.stderr and wrong.stderr.count("\n") == 1
