"""What questioners really write: the frame is found, and what is no question about one frame is recognised."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.video.replies import ParsedQuestion, read_question, speaks_of_frames, without_frames


@pytest.mark.parametrize(
    ("said", "frame", "question"),
    [
        ("Frame_3: What is it?", 3, "What is it?"),
        ("Frame 3: what colour is the duck?", 3, "What colour is the duck?"),
        ("In frame 3, what is the man doing?", 3, "What is the man doing?"),
        ("What is the man doing in frame 3?", 3, "What is the man doing?"),
        ("What is it (frame three)?", 3, "What is it?"),
        ("**Frame 2:** What is there?", 2, "What is there?"),
        ('"Frame 4: What does the sign say?"', 4, "What does the sign say?"),
        ("Question: Frame 5 - Where is it?", 5, "Where is it?"),
        ("1. Frame 7: Is there a dog?", 7, "Is there a dog?"),
        ("Sure! Frame 5: Where is it?", 5, "Where is it?"),
        ("<think>frame 2?</think>Frame 5: Where is it?", 5, "Where is it?"),
        ("Frame 2:\nWhat is there?\nFrame 3:\nAnd here?", 2, "What is there?"),
        ("Frame 1: What is it?\nFrame 2: What else?", 1, "What is it?"),
        ("Frame 3: Describe this picture in detail.", 3, "Describe this picture in detail."),
        ("Frame 0: What is it?", 0, "What is it?"),
        ("Frame -1: What is it?", -1, "What is it?"),
        ("Frame-4: What is it?", 4, "What is it?"),
        ("Frame 99999999: What is it?", 99999999, "What is it?"),
        ("What is it?", None, "What is it?"),
        ("What hangs in the picture frame?", None, "What hangs in the picture frame?"),
        ("Frame 3: What is different from frame 2?", None, ""),
        ("Frame 3:", 3, ""),
        ("", None, ""),
        ("Nothing new to ask.", None, "Nothing new to ask."),
    ],
)
def test_reading_a_question(said: str, frame: int | None, question: str) -> None:
    assert read_question(said) == ParsedQuestion(frame, question)


@settings(deadline=None)
@given(st.integers(0, 9999), st.sampled_from(["Frame {}: {}", "Frame_{}: {}", "frame {} - {}", "Frame #{}: {}"]))
def test_every_number_is_read_as_it_stands(number: int, form: str) -> None:
    assert read_question(form.format(number, "What is there?")) == ParsedQuestion(number, "What is there?")


@pytest.mark.slow
@settings(deadline=None)
@given(st.text(max_size=200))
def test_nothing_breaks_it(text: str) -> None:
    asked = read_question(text)
    assert "\n" not in asked.question
    assert isinstance(speaks_of_frames(text), bool)
    assert not speaks_of_frames(without_frames(text))


@pytest.mark.parametrize(
    "text",
    [
        "In frame 3 a duck appears.",
        "Frame_1 shows a duck.",
        "The first frame shows a duck.",
        "A duck swims (frames 2-4).",
        "Across the frames a duck swims.",
        "In each frame there is a duck.",
        "In the last frame, the duck is gone.",
        "The video frames show a duck.",
        "Bild 3 zeigt eine Ente.",
        "第3帧里有一只鸭子。",
    ],
)
def test_stories_that_speak_of_frames(text: str) -> None:
    assert speaks_of_frames(text)


@pytest.mark.parametrize(
    "text", ["A picture in a gold frame hangs there.", "He frames it.", "She wears glasses with a red frame."]
)
def test_frames_that_are_things(text: str) -> None:
    assert not speaks_of_frames(text) and without_frames(text) == text


def test_mentions_are_taken_out_and_the_facts_stay() -> None:
    told = without_frames(
        "In the first frame, a duck swims. In frame 3 a ball appears. A dog (frame 4) barks. Frame 5 shows nothing. "
        "In the last frame the duck is gone."
    )
    assert told == "At first, a duck swims. Then, a ball appears. A dog barks. At the end, the duck is gone."
