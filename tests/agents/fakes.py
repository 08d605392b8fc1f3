"""A seeing and an asking model that say what the test tells them, and count how often they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from PIL import Image
from pydantic import PrivateAttr

from core.images.picture import Picture
from core.tasks import CLAIMS, STYLE, SUMMARY, Task
from core.vision import EncodedImage, VisualQuestion
from tests.fakes import FakeVision

Reply = str | BaseException


def picture(colour: str = "orange") -> Picture:
    return Picture(Image.new("RGB", (32, 24), colour), sha256=f"{colour:0<64}", source=f"{colour}.png", note=None)


class CountingVision(FakeVision):
    """Answers from a table by question, else "answer N"; raises what it finds there."""

    label: ClassVar[str] = "counting"

    def __init__(self, answers: dict[str | None, Reply] | None = None) -> None:
        self.answers = answers or {}
        self.encoded = 0
        self.asked: list[VisualQuestion] = []

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        self.encoded += len(pictures)
        return super().encode(pictures)

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        return [self._one(question) for question in questions]

    def _one(self, question: VisualQuestion) -> str:
        self.asked.append(question)
        default = "a plain caption" if question.question is None else f"the answer to {question.question.rstrip('?.')}"
        reply = self.answers.get(question.question, default)
        if isinstance(reply, BaseException):
            raise reply
        return reply


class ListQuestioner(BaseChatModel):
    """Asks the given questions in order of rounds and attempts; summarises by joining the answers it is shown."""

    questions: Sequence[Any] = ()
    summary: Any = None
    claims: Any = ""
    styles: Sequence[Any] = ()  # replies to requests for styles, in order; "" after the last
    seed: int | None = None
    _calls: list[tuple[list[BaseMessage], dict[str, Any]]] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "list"

    @property
    def calls(self) -> list[tuple[list[BaseMessage], dict[str, Any]]]:
        return self._calls

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self._calls.append((messages, kwargs))
        task = Task.from_kwargs(messages[-1].additional_kwargs)
        assert task is not None
        if task.name == CLAIMS:
            reply = self.claims
        elif task.name == STYLE:
            before = sum(one.name == STYLE for said, _ in self._calls[:-1] if (one := _task(said)))
            reply = self.styles[before] if before < len(self.styles) else ""
        elif task.name == SUMMARY:
            reply = self.summary if self.summary is not None else " ".join(turn.answer for turn in task.turns)
        else:
            place = len(task.turns) - 1 + len(task.refused)
            reply = self.questions[place] if place < len(self.questions) else f"What is thing number {place}x{place}?"
        if isinstance(reply, BaseException):
            raise reply
        if callable(reply):
            reply = reply(messages, kwargs)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(reply))])


def _task(messages: Sequence[BaseMessage]) -> Task | None:
    return Task.from_kwargs(messages[-1].additional_kwargs)


def walk(events: Iterator[Any], until: Callable[[Any], bool]) -> list[Any]:
    """Read events until one fulfils `until`, that one included, and leave the rest unread."""
    seen = []
    for event in events:
        seen.append(event)
        if until(event):
            break
    return seen
