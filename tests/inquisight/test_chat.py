"""A chat from Python: answers, pieces, history, and pictures of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import inquisight as iq
from core.vision import VisualQuestion
from tests.agents.talking import Parrot
from tests.pictures import saved


def test_say_stream_and_history(tmp_path: Path) -> None:
    vision = Parrot()
    chat = iq.Chat(vision, [saved(tmp_path / "duck.png")], iq.ChatOptions(temperature=0))
    answer = chat.say("What is it?")
    assert answer == "I see [duck], and heard: What is it?"
    pieces = list(chat.stream("And now?"))
    assert len(pieces) > 1 and "".join(pieces) == chat.turns[-1].answer == chat.record.text
    assert chat.history == (("What is it?", answer), ("And now?", "".join(pieces)))
    assert vision.asked[-1].history == chat.history[:1]


def test_an_encoded_image_is_not_encoded_again(tmp_path: Path) -> None:
    vision = Parrot()
    image = vision.encode_image(saved(tmp_path / "duck.png"))
    chat = iq.Chat(vision, [image], iq.ChatOptions(temperature=0))
    chat.say("What is it?")
    chat.add(saved(tmp_path / "swan.png", "white").read_bytes())
    assert chat.say("And that?").startswith("I see [duck; picture from memory]")
    assert len(vision.encoded) == 2 and chat.record.pictures[0].source == str(tmp_path / "duck.png")
    undone = iq.Chat(vision, [image])
    undone.add(vision.encode_image(saved(tmp_path / "goose.png", "grey")))
    assert isinstance(undone.undo(), iq.EncodedImage)
    with pytest.raises(iq.UsageError, match="encoded by a vision model of the revision 'x'"):
        chat.add(iq.EncodedImage("0" * 64, "x", None))


def test_failures_and_interruptions_are_raised(tmp_path: Path) -> None:
    chat = iq.Chat(Parrot(), [saved(tmp_path / "duck.png")])
    for question, error in [("fail", iq.BackendError), ("stop", KeyboardInterrupt), ("silent stop", KeyboardInterrupt)]:
        with pytest.raises(error):
            chat.say(question)
        with pytest.raises(error):
            list(chat.stream(question))
    assert [turn.status for turn in chat.turns] == ["stopped", "stopped"], "what was said until then is kept"


def test_an_answer_that_is_not_read_to_its_end_was_never_asked_for(tmp_path: Path) -> None:
    chat = iq.Chat(Parrot(), [saved(tmp_path / "duck.png")])
    for _ in chat.stream("What is it?"):
        break
    assert chat.history == () and chat.say("What is it?")


def test_an_answer_after_reasoning_follows_on_a_new_line(tmp_path: Path) -> None:
    class Thinker(Parrot):
        def pieces(self, question: VisualQuestion) -> Iterator[str | iq.Reply]:
            yield "It might be a swan."
            yield iq.Reply("A duck.")

    chat = iq.Chat(Thinker(), [saved(tmp_path / "duck.png")])
    assert list(chat.stream("What is it?")) == ["It might be a swan.", "\nA duck."]
    assert chat.history[0][1] == "A duck."
