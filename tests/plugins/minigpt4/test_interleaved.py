"""Pictures that come up in the middle of a conversation, on a MiniGPT-4 of random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.chat.conversation import ChatOptions, Conversation
from agents.chat.events import Notice
from core.errors import UsageError
from core.testing import make_picture
from core.vision import EncodedImage, GenerationOptions, VisualQuestion
from plugins.minigpt4.runtime.backend import MiniGPT4Backend
from plugins.minigpt4.runtime.conversation import PromptTurns
from tests.plugins.minigpt4.tiny import make_model, save

OPTIONS = GenerationOptions(max_new_tokens=8)
HISTORY = (("What is it?", "A cat."), ("And this?", "A dog."))


@pytest.fixture(scope="module")
def eye(tmp_path_factory: pytest.TempPathFactory) -> MiniGPT4Backend:
    return MiniGPT4Backend(str(save(tmp_path_factory.mktemp("minigpt4"))))


@pytest.fixture(scope="module")
def images(eye: MiniGPT4Backend) -> list[EncodedImage]:
    return eye.encode([make_picture(colour=colour) for colour in ((255, 0, 0), (0, 0, 255), (0, 255, 0))])


def test_each_picture_stands_before_the_words_of_its_turn(eye: MiniGPT4Backend, images: list[EncodedImage]) -> None:
    red, blue, green = images
    question = VisualQuestion(red, "Which is darker?", HISTORY, images=((1, blue), (2, green)))
    first, second, third = (
        [part if isinstance(part, str) else part.key for part in exchange.question]
        for exchange in eye._conversation(question).exchanges
    )
    assert first == [red.key, "What is it?"]
    assert second == [blue.key, "And this?"]
    assert third == [green.key, "Which is darker?"]


def test_the_answer_is_that_of_the_conversation_written_by_hand(
    eye: MiniGPT4Backend, images: list[EncodedImage]
) -> None:
    red, blue, _ = images
    by_hand = PromptTurns().ask(*red.data, "What is it?").answered("A cat.")
    by_hand = by_hand.ask(*blue.data, "And this?").answered("A dog.").ask("Which is darker?")
    eye.engine.forget()
    [wanted] = eye.engine.answer([by_hand], eye._decoding(OPTIONS))
    eye.engine.forget()
    later = VisualQuestion(red, "Which is darker?", HISTORY, OPTIONS, ((1, blue),))
    assert eye.answer([later]) == [wanted.text]
    assert "".join(eye.stream(later)) == wanted.text
    at_once = VisualQuestion(eye.together([red, blue]), "Which is darker?", HISTORY, OPTIONS)
    assert eye._conversation(at_once) != eye._conversation(later), "the place of a picture is part of what is said"


def test_a_picture_of_turn_0_stands_beside_the_first(eye: MiniGPT4Backend, images: list[EncodedImage]) -> None:
    red, blue, _ = images
    joined = VisualQuestion(eye.together([red, blue]), "Which?", HISTORY, OPTIONS)
    listed = VisualQuestion(red, "Which?", HISTORY, OPTIONS, ((0, blue),))
    assert eye._conversation(joined) == eye._conversation(listed)


def test_what_was_read_is_not_read_again_when_a_picture_comes_up(
    eye: MiniGPT4Backend, images: list[EncodedImage]
) -> None:
    red, blue, _ = images
    eye.engine.forget()
    [first] = eye.answer([VisualQuestion(red, "What is it?", options=OPTIONS)])
    before = eye.engine.counts.reused
    eye.answer([VisualQuestion(red, "And this?", (("What is it?", first),), OPTIONS, ((1, blue),))])
    assert eye.engine.counts.reused > before


def test_a_person_is_told_when_the_oldest_turns_are_left_out(tmp_path: Path) -> None:
    small = MiniGPT4Backend(str(save(tmp_path / "small", make_model(positions=300))))
    chat = Conversation(small, [make_picture()], ChatOptions(max_new_tokens=8, temperature=0))
    told: list[str] = []
    for number in range(6):
        if number == 3:
            chat.add(make_picture(colour=(0, 0, 255)))
        told += [event.text for event in chat.ask(f"{number}. What about this?") if isinstance(event, Notice)]
    assert any("left out; pictures and instructions stay" in text for text in told)
    assert len(chat.turns) == 6 and "left out" in chat.turns[-1].notices[0]


@settings(max_examples=25, deadline=None)
@given(turns=st.lists(st.integers(0, 2), max_size=4), data=st.data())
def test_no_picture_is_lost_or_doubled(
    eye: MiniGPT4Backend, images: list[EncodedImage], turns: list[int], data: st.DataObject
) -> None:
    later = tuple((turn, data.draw(st.sampled_from(images))) for turn in turns)
    conversation = eye._conversation(VisualQuestion(images[0], "Which?", HISTORY, images=later))
    assert len(conversation.pictures) == 1 + len(later)
    for turn, exchange in enumerate(conversation.exchanges):
        wanted = [images[0]] * (turn == 0) + [image for place, image in later if place == turn]
        assert [picture.key for picture in exchange.pictures] == [image.key for image in wanted]


def test_more_pictures_than_it_takes_are_one_line(eye: MiniGPT4Backend, images: list[EncodedImage]) -> None:
    question = VisualQuestion(images[0], "Which?", images=tuple((0, images[1]) for _ in range(16)))
    with pytest.raises(UsageError, match=r"17 pictures in one conversation, but minigpt4:.* takes at most 16"):
        eye.answer([question])
