"""An eye and a language model for tests of chats and the assistant. Both are fakes and say so: neither sees or thinks.

`Parrot` repeats what it was asked, with the pictures it was given; `ToolCaller` calls the tools that it was told to.
`Talk` runs the real command in a process of its own, with both installed as a third-party plugin would be.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from core.images.picture import Picture
from core.vision import EncodedImage, VisualQuestion
from tests.agents.plugin_on_disk import Shell
from tests.fakes import FakeVision

PAGE = "<!DOCTYPE html>\n<html>\n  <body><h1>Shop</h1></body>\n</html>"


class Parrot(FakeVision):
    """A fake eye that holds conversations: it says which pictures came up at which turn, and the last words it heard.

    Some words make it do something: "warn" warns through the log, "fail" and "crash" raise, "stop" presses Ctrl-C
    after a few pieces and "silent stop" before the first one, "wait" waits for a real one, "sketch" is a web page.
    """

    label: ClassVar[str] = "parrot"

    follows_instructions: ClassVar[bool] = True
    streams: ClassVar[bool] = True
    max_images: ClassVar[int] = 4
    interleaves: ClassVar[bool] = True

    def __init__(self, argument: str | None = None) -> None:
        self.encoded: list[str] = []
        self.asked: list[VisualQuestion] = []

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        self.encoded += [picture.source for picture in pictures]
        return super().encode(pictures)

    def keep(self, picture: Picture) -> tuple[str, ...]:
        return (Path(picture.source).stem,)

    def together(self, images: Sequence[EncodedImage]) -> EncodedImage:
        if not 1 < len(images) <= self.max_images:
            return super().together(images)
        sha256 = "+".join(image.sha256 for image in images)
        return EncodedImage(sha256, self.revision, tuple(name for image in images for name in image.data))

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        return ["".join(self._pieces(question)) for question in questions]

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        yield from self._pieces(question)

    def _pieces(self, question: VisualQuestion) -> Iterator[str]:
        self.asked.append(question)
        words = question.question or ""
        if "warn" in words:
            logging.getLogger("inquisight").warning("the oldest exchange was left out")
        if "fail" in words:
            from core.errors import BackendError

            raise BackendError("parrot has lost its voice.")
        if "crash" in words:
            raise ZeroDivisionError("a bug\nwith lines")
        if "silent stop" in words:
            self.interrupt()
        if "wait" in words:
            yield "I am waiting "
            threading.Event().wait(60)  # for Ctrl-C
        if "sketch" in words:
            yield f"Here it is:\n```html\n{PAGE}\n```\nDone."
            return
        turns = range(len(question.history) + 1)
        seen = "; ".join(",".join(name for image in question.entering(turn) for name in image.data) for turn in turns)
        yield f"I see [{seen}], "
        if "stop" in words:
            self.interrupt()
        if question.options.temperature:
            yield f"by seed {question.options.seed}, "
        yield f"and heard: {words}"

    @staticmethod
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)


class Starer(Parrot):
    """A fake eye that answers questions about one picture only and follows no instructions."""

    label: ClassVar[str] = "starer"
    follows_instructions: ClassVar[bool] = False
    max_images: ClassVar[int] = 1
    interleaves: ClassVar[bool] = False


Plan = Sequence[Any]
"""Per model call: a list of (tool, arguments), a text to answer with, an error to raise, or a function of messages."""


class ToolCaller(BaseChatModel):
    """A fake language model that calls tools: it follows `plan`, one item per call with tools; then it says "Done."."""

    plan: Plan = ()
    _calls: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _bound: list[Any] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "fake tool caller"

    @property
    def calls(self) -> list[list[BaseMessage]]:
        """The messages of each call with tools."""
        return self._calls

    @property
    def tools(self) -> dict[str, Any]:
        """The tools that it was given last, by name."""
        return {tool.name: tool for tool in self._bound}

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        self._bound[:] = tools
        return self.bind(offered=len(tools), **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if "offered" not in kwargs:  # as the questioner of an interview
            text = "The picture shows a red thing." if "Notes" in str(messages[-1].content) else "What colour is it?"
            return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])
        self._calls.append(messages)
        number = len(self._calls)
        step = self.plan[number - 1] if number <= len(self.plan) else "Done."
        if callable(step) and not isinstance(step, type):
            step = step(messages)
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, str):
            return ChatResult(generations=[ChatGeneration(message=AIMessage(step))])
        calls = [
            {"name": name, "args": args, "id": f"call-{number}-{place}", "type": "tool_call"}
            for place, (name, args) in enumerate(step)
        ]
        return ChatResult(generations=[ChatGeneration(message=AIMessage("", tool_calls=calls))])


class Speaker(ToolCaller):
    """A `ToolCaller` that streams: texts word by word, an error in a text's place after `told` words of "I see ...".

    `beside` is said before each list of tool calls, `press` presses Ctrl-C after the second word of an answer.
    """

    beside: str = ""
    told: int = 0
    press: bool = False

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        try:
            message = self._generate(messages, stop, run_manager, **kwargs).generations[0].message
        except Exception:
            for word in "I see a plant".split()[: self.told]:
                yield ChatGenerationChunk(message=AIMessageChunk(content=f"{word} "))
            raise
        assert isinstance(message, AIMessage)
        text = self.beside if message.tool_calls else str(message.text)
        for number, word in enumerate(text.replace(" ", " \0").split("\0")):
            if number == 2 and self.press and not message.tool_calls:
                Parrot.interrupt()
                threading.Event().wait(60)  # nobody listens any more
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        for place, call in enumerate(message.tool_calls):
            chunk = tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=place)
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[chunk]))


_PLUGIN = """
from core import hookimpl

@hookimpl
def register_vision_backends(register):
    register("parrot", "tests.agents.talking:Parrot", description="A fake.", capabilities={"max_images": 4})
    register("starer", "tests.agents.talking:Starer", description="A fake.",
             capabilities={"max_images": 1, "follows_instructions": False})

@hookimpl
def register_questioners(register):
    register("caller", "tests.agents.talking:caller", description="A fake.")
"""


def caller(argument: str | None) -> ToolCaller:
    """The questioner of the plugin: looks once, then says what it was told; "caller:stop" is interrupted."""
    question = "stop here" if argument == "stop" else "What is it?"

    def conclude(messages: list[BaseMessage]) -> str:
        return f"I was told: {messages[-1].text}"

    return ToolCaller(plan=[[("ask_about_picture", {"picture": 1, "question": question})], conclude])


class Talk(Shell):
    """`inquisight` in a process of its own, with the fakes of this module installed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        site = folder / "site"
        (site / "talking_plugin.py").write_text(_PLUGIN, "utf-8")
        info = site / "talking_for_tests-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: talking-for-tests\nVersion: 1.0\n", "utf-8")
        (info / "entry_points.txt").write_text("[inquisight]\ntalking = talking_plugin\n", "utf-8")
        self.environment |= {"INQUISIGHT_VISION": "parrot", "COLUMNS": "80"}


def collect(events: Iterator[Any], kind: type[Any]) -> list[Any]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]
