"""A vision backend that knows only what can be measured, and says so otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from core import BackendError, EncodedImage, Picture, VisionBackend, VisualQuestion
from inquisight_echo.facts import Facts

DO_NOT_KNOW = "i do not know."


class EchoBackend(VisionBackend):
    """`--vision echo`, or `echo:loud` for answers in capitals."""

    streams: ClassVar[bool] = True

    def __init__(self, argument: str | None = None) -> None:
        if argument not in (None, "loud"):
            raise BackendError(f"the backend 'echo' knows only 'echo:loud', not 'echo:{argument}'.")
        self.loud = argument == "loud"

    @property
    def name(self) -> str:
        """As a user would type it."""
        return "echo:loud" if self.loud else "echo"

    @property
    def revision(self) -> str:
        """Facts do not depend on `loud`, so both share what they encode."""
        return "facts-1"

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """Measure each picture once."""
        return [EncodedImage(picture.sha256, self.revision, Facts.of(picture)) for picture in pictures]

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        """One measured fact per question, or that it is not known."""
        answers = [_answer(question.image.data, question.question) for question in questions]
        return [answer.upper() for answer in answers] if self.loud else answers

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        """Word by word; the pieces put together are the answer."""
        for number, word in enumerate(self.answer([question])[0].split(" ")):
            yield f" {word}" if number else word


def _answer(facts: Facts, question: str | None) -> str:
    words = (question or "describe").lower()
    if "describe" in words:
        return facts.sentence()
    if "colour" in words or "color" in words:
        return f"it is mostly {facts.colour}."
    if "large" in words or "size" in words or "pixels" in words:
        return f"it is {facts.width} by {facts.height} pixels."
    if "shape" in words:
        return f"it is {facts.shape}."
    if "light" in words or "dark" in words:
        return "it is light." if facts.light else "it is dark."
    return DO_NOT_KNOW
