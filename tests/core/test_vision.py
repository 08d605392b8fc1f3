"""What a question may carry, and what every eye does with several pictures."""

from __future__ import annotations

import pytest

from core.errors import BackendError, UsageError
from core.vision import EncodedImage, VisionBackend, VisualQuestion
from tests.agents.fakes import CountingVision

A, B, C = (EncodedImage(letter * 64, "1", letter) for letter in "abc")
HISTORY = (("What?", "A cat."), ("Where?", "On a chair."))


def test_pictures_come_up_at_their_turns() -> None:
    question = VisualQuestion(A, "Which?", HISTORY, images=((2, B), (0, C), (2, A)))
    assert [question.entering(turn) for turn in range(3)] == [(A, C), (), (B, A)]


def test_a_question_without_further_pictures_is_as_before() -> None:
    question = VisualQuestion(A, "Which?", HISTORY)
    assert question.images == () and question.entering(0) == (A,) and question.entering(2) == ()


@pytest.mark.parametrize("turn", [-1, 3])
def test_a_turn_that_is_not_there_is_refused(turn: int) -> None:
    with pytest.raises(UsageError, match=f"turn {turn}, but this conversation has turns 0 to 2"):
        VisualQuestion(A, "Which?", HISTORY, images=((turn, B),))


def test_an_eye_for_one_picture_refuses_two_in_one_line() -> None:
    eye = CountingVision()
    assert eye.together([A]) is A
    for images in ([A, B], []):
        with pytest.raises(UsageError) as caught:
            eye.together(images)
        assert f"{len(images)} pictures" in str(caught.value) and "one picture at a time" in str(caught.value)


def test_an_eye_that_claims_several_has_to_join_them() -> None:
    class Boaster(CountingVision):
        max_images = 2

    with pytest.raises(BackendError, match="cannot join them"):
        Boaster().together([A, B])
    assert not VisionBackend.interleaves, "unless an eye says so, pictures stand before the first question"
