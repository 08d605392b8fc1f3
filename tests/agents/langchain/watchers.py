"""Fake vision models for tests of `VisionChatModel`: they record what they get."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import HumanMessage

from core.errors import InquisightError
from core.images.picture import Picture
from core.vision import EncodedImage, VisionBackend, VisualQuestion
from tests.agents.langchain.chat_pictures import words


class Watcher(VisionBackend):
    """A fake eye that remembers what it was shown and says what it is told to; no model could tell us the former."""

    def __init__(self, answer: str = "It is red. It is plain.") -> None:
        self.said = answer
        self.looked: list[Picture] = []
        self.asked: list[VisualQuestion] = []

    @property
    def name(self) -> str:
        return "watcher"

    @property
    def revision(self) -> str:
        return "watcher-1"

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        self.looked += pictures
        return [EncodedImage(one.sha256, self.revision, (one.image.getpixel((0, 0)),)) for one in pictures]

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        self.asked += questions
        return [self.said] * len(questions)

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        self.asked.append(question)
        yield from (self.said[place : place + 3] for place in range(0, len(self.said), 3))


class Chatter(Watcher):
    """One that follows instructions, takes pictures where they come up, and can talk without any."""

    follows_instructions = True
    streams = True
    max_images = 4
    interleaves = True

    def together(self, images: Sequence[EncodedImage]) -> EncodedImage:
        data = tuple(one for image in images for one in image.data)
        return EncodedImage("+".join(image.sha256 for image in images), self.revision, data)

    def count_tokens(self, text: str) -> int:
        return len(text)


class Collector(Chatter):
    """One that takes several pictures, but only all of them at the beginning."""

    interleaves = False


def person(*parts: Any) -> HumanMessage:
    return HumanMessage([words(part) if isinstance(part, str) else part for part in parts])


def one_line(error: InquisightError) -> str:
    assert "\n" not in str(error)
    assert len(str(error)) < 400
    return str(error)
