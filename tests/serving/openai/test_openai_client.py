"""OpenAI's own client, as people use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel, Field

from tests.serving.openai.serving_world import Served, asking, serving


@pytest.fixture
def client(server: Served) -> OpenAI:
    return OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)


def test_models_are_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["colours", "interview/colours"]
    assert client.models.retrieve("interview/colours").owned_by == "inquisight"
    with pytest.raises(openai.NotFoundError, match="'other' is not offered here; this server has colours"):
        client.models.retrieve("other")


def test_an_answer_with_its_usage(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="colours", messages=asking("What?", "blue"))  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "It is rgb(0, 0, 255), to What?"
    assert answer.choices[0].finish_reason == "stop" and answer.object == "chat.completion"
    assert answer.usage is not None and (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 5)


def test_a_stream_is_the_same_text_in_pieces(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="colours",
            messages=asking("What?", "blue"),  # type: ignore[arg-type]
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[0].choices[0].delta.content == ""
    words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert "".join(words) == "It is rgb(0, 0, 255), to What?" and len(words) > 3
    assert chunks[-1].choices == [] and chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 16
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1


def test_choices_differ_by_seed(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="colours",
        messages=asking("What?"),  # type: ignore[arg-type]
        n=3,
        temperature=1,
        seed=7,
    )
    texts = [choice.message.content or "" for choice in answer.choices]
    assert [text.split("seed ")[1][0] for text in texts] == ["7", "8", "9"]
    assert answer.usage is not None and (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 15)


@pytest.mark.parametrize("stream", [False, True])
def test_stop_and_limit(client: OpenAI, stream: bool) -> None:
    def ask(text: str, **options: Any) -> tuple[str, str | None]:
        made: Any = client.chat.completions.create(
            model="colours",
            messages=asking(text),  # type: ignore[arg-type]
            stream=stream,  # type: ignore[call-overload]
            **options,
        )
        if not stream:
            return made.choices[0].message.content, made.choices[0].finish_reason
        chunks = list(made)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        return text, chunks[-1].choices[0].finish_reason

    assert ask("What?", stop=", to") == ("It is rgb(255, 0, 0)", "stop")
    assert ask("What?", stop=["never", "rgb"]) == ("It is ", "stop")
    assert ask("many", max_tokens=3) == ("word0 word1 word2", "length")
    assert ask("many", max_tokens=9, max_completion_tokens=2) == ("word0 word1", "length")


class Thing(BaseModel):
    name: str = Field(description="What is it?")
    size: Literal["large", "small"]
    there: bool


def test_an_answer_fits_a_model_of_pydantic(client: OpenAI) -> None:
    parsed = client.chat.completions.parse(
        model="colours",
        messages=asking("What?", "blue"),  # type: ignore[arg-type]
        response_format=Thing,
    )
    assert parsed.choices[0].message.parsed == Thing(
        name="It is rgb(0, 0, 255), to What is it?", size="large", there=True
    )


def test_scores_of_a_choice(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="colours",
        messages=asking("Is it red?"),  # type: ignore[arg-type]
        logprobs=True,
        top_logprobs=2,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["yes", "no"]}}},
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None
    assert (answer.choices[0].message.content, logprobs.content[0].logprob) == ('"yes"', -1)
    assert [(one.token, one.logprob) for one in logprobs.content[0].top_logprobs] == [('"yes"', -1), ('"no"', -2)]
    with pytest.raises(openai.BadRequestError, match="only of answers that are chosen from a list"):
        client.chat.completions.create(model="colours", messages=asking("What?"), logprobs=True)  # type: ignore[arg-type]


def test_an_interview_is_a_model(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="interview/colours", messages=asking("Describe it.", "blue"))  # type: ignore[arg-type]
    message = answer.choices[0].message
    assert message.content
    extra: Any = answer.model_extra
    assert extra["inquisight"]["caption"]["dialogue"]["turns"][0]["question"] in message.reasoning_content  # type: ignore[attr-defined]
    assert extra["inquisight"]["caption"]["vision"] == {"name": "colours"}
    assert "an interview asks its own questions" in extra["inquisight"]["left_out"]
    chunks: Iterator[Any] = client.chat.completions.create(
        model="interview/colours",
        messages=asking("", "blue"),  # type: ignore[arg-type]
        stream=True,
    )
    told, dialogue, last = "", "", None
    for chunk in chunks:
        delta = chunk.choices[0].delta
        dialogue += getattr(delta, "reasoning_content", None) or ""
        told += delta.content or ""
        last = chunk
    assert told == message.content and dialogue.strip() == message.reasoning_content  # type: ignore[attr-defined]
    assert last is not None and last.inquisight["caption"]["status"] == "complete"


def test_after_an_interview_the_vision_model_answers(client: OpenAI) -> None:
    talk = [*asking("", "green"), {"role": "assistant", "content": "A picture."}, {"role": "user", "content": "Why?"}]
    answer = client.chat.completions.create(model="interview/colours", messages=talk)  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "It is rgb(0, 128, 0) after 1 turns, to Why?"


def test_keys() -> None:
    with serving(keys=("right-key-1", "right-key-2")) as served:
        for key in ("right-key-1", "right-key-2"):
            assert len(OpenAI(base_url=f"{served.address}/v1", api_key=key).models.list().data) == 2
        for key in ("wrong-key-1", "right-key-"):
            with pytest.raises(openai.AuthenticationError, match="Authorization: Bearer KEY"):
                OpenAI(base_url=f"{served.address}/v1", api_key=key).models.list()
        for header in ({}, {"authorization": b"Basic right-key-1"}, {"authorization": "Bearer schlüssel".encode()}):
            for path in ("v1/models", "metrics", "v1/models/colours"):
                assert served.get(f"/{path}", headers=header).status_code == 401
        assert served.get("/health").is_success
