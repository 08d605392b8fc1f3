"""`with_structured_output` of vision models."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from agents.langchain.model import VisionChatModel
from core.errors import BackendError, UsageError
from tests.agents.fakes import CountingVision
from tests.agents.langchain.chat_pictures import block, words
from tests.pictures import encoded


class Animal(BaseModel):
    """An animal."""

    name: str = Field(description="What animal is it?")
    there: bool = Field(description="Is there an animal?")


class AnimalDict(TypedDict):
    """An animal."""

    name: str


ASKED = [HumanMessage([words("Fill this in."), block(encoded())])]
ANSWERS: dict[str | None, Any] = {"What animal is it?": "A cat.", "Is there an animal?": "Yes, a cat."}


def model(**answers: Any) -> VisionChatModel:
    return VisionChatModel(vision=CountingVision(ANSWERS | answers))


def test_classes_dicts_and_schemas() -> None:
    assert model().with_structured_output(Animal).invoke(ASKED) == Animal(name="A cat.", there=True)
    assert model().with_structured_output(AnimalDict).invoke(ASKED) == {"name": "the answer to What is the name"}
    schema = Animal.model_json_schema()
    assert model().with_structured_output(schema).invoke(ASKED) == {"name": "A cat.", "there": True}
    assert list(model().with_structured_output(Animal).stream(ASKED))[-1] == Animal(name="A cat.", there=True)
    assert model().with_structured_output(Animal).batch([ASKED, ASKED]) == [Animal(name="A cat.", there=True)] * 2


async def _later() -> Any:
    return await model().with_structured_output(Animal).ainvoke(ASKED)


def test_asynchronous() -> None:
    import asyncio

    assert asyncio.run(_later()) == Animal(name="A cat.", there=True)


def test_the_raw_message_comes_along() -> None:
    found = model().with_structured_output(Animal, include_raw=True).invoke(ASKED)
    assert found["parsed"] == Animal(name="A cat.", there=True) and found["parsing_error"] is None
    assert '"A cat."' in found["raw"].text and found["raw"].usage_metadata is not None


def test_what_does_not_work_is_one_line() -> None:
    class Count(BaseModel):
        cats: int

    with pytest.raises(BackendError, match=r"answered 'How many cats are there\?' with .* which is no number"):
        model().with_structured_output(Count).invoke(ASKED)
    with pytest.raises(UsageError, match="needs a picture"):
        model().with_structured_output(Animal).invoke("What animal?")
    with pytest.raises(UsageError, match="no option 'retries'"):
        model().with_structured_output(Animal, retries=3)
    with pytest.raises(UsageError, match="response_format must be"):
        model().invoke(ASKED, response_format={"type": "json_schema"})
