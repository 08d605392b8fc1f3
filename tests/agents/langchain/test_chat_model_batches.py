"""Many conversations at once with `VisionChatModel`: one vision batch, separate failures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableLambda

from agents.langchain.model import VisionChatModel
from agents.langchain.request import NO_PICTURE
from core.errors import BackendError, UsageError
from core.images.picture import Picture
from core.vision import EncodedImage, Reply, VisualQuestion
from tests.agents.langchain.chat_pictures import BLUE, RED, block, png
from tests.agents.langchain.watchers import Chatter, Watcher, person

# ---- many inputs ---------------------------------------------------------------------------------------------------


class Counter(Chatter):
    """Counts how often it is called, and answers each question with its words and colours."""

    def __init__(self, fails: str = "") -> None:
        super().__init__()
        self.calls: list[int] = []
        self.looks: list[int] = []
        self.fails = fails

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        self.looks.append(len(pictures))
        return super().encode(pictures)

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        self.calls.append(len(questions))
        self.asked += questions
        if self.fails and any(self.fails in (one.question or "") for one in questions):
            raise BackendError("the vision model is closed.")
        return [f"{one.question} {one.image.data} {len(one.history)} {one.options.seed}" for one in questions]


def talks(count: int = 5) -> list[list[BaseMessage]]:
    """Conversations of different lengths, about two pictures, and one in words alone."""
    one: list[BaseMessage] = [person("Which colour?", block(png(RED)))]
    two: list[BaseMessage] = [person(block(png(BLUE)), "What?"), AIMessage("A wall."), HumanMessage("Sure?")]
    alone: list[BaseMessage] = [HumanMessage("Hello")]
    other: list[BaseMessage] = [person("And this?", block(png(BLUE)))]
    return [one, two, alone, other, one][:count]


def test_a_batch_is_one_call_of_the_eye_and_gives_what_single_calls_give() -> None:
    alone, together = Counter(), Counter()
    single = [VisionChatModel(vision=alone, seed=7).invoke(talk) for talk in talks()]
    replies = VisionChatModel(vision=together, seed=7).batch([*talks()])
    assert together.calls == [5] and together.looks == [2], "two different pictures, looked at together"
    assert [reply.text for reply in replies] == [reply.text for reply in single]
    assert [reply.usage_metadata for reply in replies] == [reply.usage_metadata for reply in single]
    assert [reply.response_metadata for reply in replies] == [reply.response_metadata for reply in single]
    assert together.asked == alone.asked and len({reply.id for reply in replies}) == 5


def test_an_async_batch_is_one_call_too() -> None:
    eye = Counter()
    replies = asyncio.run(VisionChatModel(vision=eye).abatch([*talks()], max_tokens=9))
    assert eye.calls == [5] and [question.options.max_new_tokens for question in eye.asked] == [9] * 5
    assert [reply.text for reply in replies] == [
        VisionChatModel(vision=Counter()).invoke(talk).text for talk in talks()
    ]


@pytest.mark.parametrize(("limit", "calls"), [(2, [2, 2, 1]), (1, [1] * 5), (9, [5])])
def test_max_concurrency_bounds_how_many_are_asked_together(limit: int, calls: list[int]) -> None:
    eye = Counter()
    replies = VisionChatModel(vision=eye).batch([*talks()], {"max_concurrency": limit})
    assert eye.calls == calls
    assert [reply.text for reply in replies] == [
        reply.text for reply in VisionChatModel(vision=Counter()).batch([*talks()])
    ]


def test_what_cannot_be_asked_fails_alone() -> None:
    eye = Counter()
    inputs: list[Any] = [talks()[0], [AIMessage("Hi")], talks()[1], [person({"type": "image", "url": "/etc/passwd"})]]
    model = VisionChatModel(vision=eye)
    with pytest.raises(UsageError, match="last message must be a person's"):
        model.batch(inputs)
    eye.calls.clear()
    first, second, third, fourth = model.batch(inputs, return_exceptions=True)
    assert eye.calls == [2] and isinstance(first, AIMessage) and isinstance(third, AIMessage)
    assert "last message" in str(second) and "names a file" in str(fourth)
    both = asyncio.run(model.abatch(inputs, return_exceptions=True))
    assert [type(one) for one in both] == [AIMessage, UsageError, AIMessage, UsageError]
    with pytest.raises(UsageError, match="no option 'tools'"):
        model.batch([*talks()], tools=[])


def test_one_question_that_the_eye_fails_at_takes_no_other_with_it() -> None:
    eye = Counter(fails="Sure")
    model = VisionChatModel(vision=eye)
    replies = model.batch([*talks(3)], return_exceptions=True)
    assert [type(one) for one in replies] == [AIMessage, BackendError, AIMessage] and eye.calls == [3, 1, 1, 1]
    with pytest.raises(BackendError, match="closed"):
        model.batch([*talks(3)])


def test_answers_that_did_come_are_kept_and_a_failure_of_all_is_not_repeated() -> None:
    class SomeError(BackendError):
        def __init__(self, replies: list[Reply | None], for_all: bool) -> None:
            super().__init__("not all were answered.")
            self.replies, self.for_all = replies, for_all

    class Remote(Counter):
        for_all = False

        def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
            self.calls.append(len(questions))
            if len(questions) == 1 and not self.for_all:
                raise BackendError("too dark.")
            raise SomeError([Reply("Red.", "stop", 300, 2), None, Reply("Hi.", "stop", 9, 2)], self.for_all)

    eye = Remote()
    first, second, third = VisionChatModel(vision=eye).batch([*talks(3)], return_exceptions=True)
    assert (first.text, str(second), third.text) == ("Red.", "too dark.", "Hi.") and eye.calls == [3, 1]
    assert first.usage_metadata is not None and first.usage_metadata["input_tokens"] == 300
    eye = Remote()
    eye.for_all = True
    failed = VisionChatModel(vision=eye).batch([*talks(3)], return_exceptions=True)
    assert [str(one) for one in failed] == ["not all were answered."] * 3 and eye.calls == [3]


def test_callbacks_stop_words_and_a_chain_work_in_a_batch() -> None:
    class Ear(BaseCallbackHandler):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
            self.heard.append("start")

        def on_llm_end(self, response: Any, **kwargs: Any) -> None:
            self.heard.append(response.generations[0][0].text)

    ear, eye = Ear(), Counter()
    chain: Any = RunnableLambda(lambda colour: [person("Which colour?", block(png(colour)))]) | VisionChatModel(
        vision=eye
    )
    replies = chain.with_config(callbacks=[ear]).batch([RED, BLUE])
    assert eye.calls == [2] and ear.heard == ["start", replies[0].text, "start", replies[1].text]
    cut = VisionChatModel(vision=eye).batch([*talks(2)], stop=["?"])
    assert [reply.text for reply in cut] == ["Which colour", "Sure"] and eye.calls == [2, 2]
    assert (
        VisionChatModel(vision=eye).batch([]) == []
        and VisionChatModel(vision=Watcher()).batch(["Hi"])[0].text == NO_PICTURE
    )


def test_many_different_pictures_are_looked_at_in_groups() -> None:
    eye = Counter()
    inputs: list[Any] = [[person("What?", block(png((0, number, 0))))] for number in range(70)]
    replies = VisionChatModel(vision=eye).batch(inputs)
    assert max(eye.looks) == 16 and sum(eye.looks) == 70 and eye.calls == [70]
    assert [question.image.data for question in eye.asked] == [((0, number, 0),) for number in range(70)]
    assert len(replies) == 70
