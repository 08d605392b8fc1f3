"""Questioners against a real server process: what a user gets when it works, and what they read when it does not."""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from agents.llm.questioners import ContentFilterError, EmptyReplyError, load_questioner
from core.errors import InquisightError, QuestionerError, RegistryError, UsageError
from core.settings import Settings
from core.tasks import Task, TaskTurn
from tests.agents.llm.asking import ask, ask_stream
from tests.servers import scripted_openai

KEY = "sk-test-4f3c2b1a0987"
MESSAGES = [SystemMessage("You ask about a picture."), AIMessage("What is it?"), HumanMessage("a duck")]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with scripted_openai() as url:
        yield url


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "INQUISIGHT_API_KEY", "INQUISIGHT_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def settings(**values: Any) -> Settings:
    return Settings(**{"timeout": 10.0, "max_retries": 2, "api_key": KEY} | values)


def received(server: str, model: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{server.removesuffix('/v1')}/requests/{model}", timeout=10) as answer:
        return json.loads(answer.read())


def said(error: InquisightError) -> str:
    """The error's text, after what must hold for each of them."""
    text = str(error)
    assert KEY not in text
    assert "\n" not in text and "\x1b" not in text
    assert len(text) < 400
    return text


Way = Callable[..., str]


@pytest.fixture(params=["ask", "ask_stream"])
def way(request: pytest.FixtureRequest) -> Way:
    """Both ways of asking; everything holds for both."""
    return ask if request.param == "ask" else lambda *args, **kwargs: "".join(ask_stream(*args, **kwargs))


def test_reply(server: str, way: Way) -> None:
    name = f"fine.{uuid4().hex}"
    model = load_questioner(f"openai:{name}", settings(base_url=server))
    task = Task("question", (TaskTurn("What is it?", "a duck"),))
    messages = [*MESSAGES[:-1], HumanMessage("a duck", additional_kwargs=task.to_kwargs())]
    assert way(model, messages, max_tokens=30, seed=7) == "Is it day or night?"
    [request] = received(server, name)
    body = request["body"]
    assert [message["role"] for message in body["messages"]] == ["system", "assistant", "user"]
    assert "inquisight" not in json.dumps(body), "task data is for programs, and stays here"
    assert body["max_tokens"] == 30
    assert body["seed"] == 7
    assert body["temperature"] == 0.6
    assert request["headers"]["authorization"] == f"Bearer {KEY}"


def test_stream_comes_in_pieces(server: str) -> None:
    model = load_questioner("openai:fine", settings(), base_url=server)
    assert list(ask_stream(model, MESSAGES)) == ["Is ", "it ", "day ", "or ", "night?"]


def test_openai_key_is_not_sent_to_another_host(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai-only")
    model = load_questioner("openai:keyless", settings(api_key=None), base_url=server)
    assert ask(model, MESSAGES)
    assert "sk-for-openai-only" not in json.dumps(received(server, "keyless"))


@pytest.mark.parametrize(
    ("model", "requests", "error", "words"),
    [
        ("unauthorized", 1, QuestionerError, ["does not accept the key", "401", "INQUISIGHT_API_KEY"]),
        ("missing", 1, QuestionerError, ["404", "does not exist", "base URL"]),
        ("bad-request", 1, QuestionerError, ["400", "nothing to"]),
        ("no-quota", 1, QuestionerError, ["quota", "429"]),
        ("busy-for-an-hour", 1, QuestionerError, ["429", "3600 s"]),
        ("broken", 3, QuestionerError, ["after 3 tries", "500"]),
        ("filtered-request", 1, ContentFilterError, ["content filter"]),
        ("filtered-reply", 1, ContentFilterError, ["content filter"]),
        ("empty", 1, EmptyReplyError, ["answered with nothing"]),
        ("blank", 1, EmptyReplyError, ["answered with nothing"]),
    ],
)
def test_failures(server: str, way: Way, model: str, requests: int, error: type[Exception], words: list[str]) -> None:
    name = f"{model}.{uuid4().hex}"
    questioner = load_questioner(f"openai:{name}", settings(), base_url=server)
    with pytest.raises(QuestionerError) as caught:
        way(questioner, MESSAGES, max_tokens=30)
    assert type(caught.value) is error
    text = said(caught.value)
    assert all(word in text for word in [*words, name]), text
    assert len(received(server, name)) == requests


@pytest.mark.parametrize("model", ["busy-once", "broken-once", "hangs-up-once"])
def test_another_try_helps(server: str, way: Way, model: str) -> None:
    name = f"{model}.{uuid4().hex}"
    questioner = load_questioner(f"openai:{name}", settings(), base_url=server)
    assert way(questioner, MESSAGES) == "Is it day or night?"
    assert len(received(server, name)) == 2


def test_timeout(server: str, way: Way) -> None:
    questioner = load_questioner("openai:slow", settings(timeout=0.3, max_retries=1), base_url=server)
    with pytest.raises(QuestionerError, match=r"did not answer in time after 2 tries.*INQUISIGHT_TIMEOUT"):
        way(questioner, MESSAGES)


def test_connection_refused(way: Way) -> None:
    with socket.socket() as free:  # a port that was free a moment ago, and nobody listens on
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    questioner = load_questioner("openai:any", settings(max_retries=1), base_url=f"http://127.0.0.1:{port}/v1")
    with pytest.raises(QuestionerError, match=rf"127\.0\.0\.1:{port}/v1 cannot be reached after 2 tries"):
        way(questioner, MESSAGES)


def test_stream_that_breaks_off_is_an_error_and_not_repeated(server: str) -> None:
    questioner = load_questioner("openai:breaks-off", settings(), base_url=server)
    heard = []
    with pytest.raises(QuestionerError, match="broke off"):
        for piece in ask_stream(questioner, MESSAGES):
            heard.append(piece)
    assert heard == ["What ", "is"]
    assert len(received(server, "breaks-off")) == 1


def test_reasoning_model_gets_room_to_think(server: str, way: Way) -> None:
    name = f"thinker.{uuid4().hex}"
    questioner = load_questioner(f"openai:{name}", settings(), base_url=server)
    assert way(questioner, MESSAGES, max_tokens=30) == "What is it?"
    assert way(questioner, MESSAGES, max_tokens=30) == "What is it?"
    assert len(received(server, name)) == 3, "the second call starts with the room that the first one found out about"


def test_thoughts_are_not_part_of_the_reply(server: str, way: Way) -> None:
    questioner = load_questioner("openai:thinks-aloud", settings(), base_url=server)
    assert way(questioner, MESSAGES) == "What is it?"


def test_rate_limit(server: str) -> None:
    questioner = load_questioner("openai:limited", settings(requests_per_second=5.0), base_url=server)
    for _ in range(4):
        ask(questioner, MESSAGES)
    times = [request["at"] for request in received(server, "limited")]
    assert times[-1] - times[0] >= 0.3


# ---- names ---------------------------------------------------------------------------------------------------------


def test_scripted_by_name() -> None:
    model = load_questioner("scripted", settings(), seed=3)
    assert ask(model, MESSAGES).endswith("colour is the duck?")


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("scriptd", RegistryError, ["scriptd", "scripted", "provider:model"]),
        ("opnai:gpt-4o", UsageError, ["opnai", "openai:"]),
        ("openai:", UsageError, ["openai:", "incomplete"]),
        ("openai", UsageError, ["openai", "incomplete"]),
        (":x", UsageError, [":x"]),
        ("openai:gpt-4o", UsageError, ["openai:gpt-4o", "OPENAI_API_KEY"]),
        ("anthropic:claude", UsageError, ["anthropic:claude", "ANTHROPIC_API_KEY"]),
        ("scripted:often", UsageError, ["often", "scripted:7"]),
    ],
)
def test_names_that_cannot_work(spec: str, error: type[InquisightError], words: list[str]) -> None:
    with pytest.raises(error) as caught:
        load_questioner(spec, settings(api_key=None))
    text = said(caught.value)
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("spec", "module", "remedy"),
    [
        ("openai:gpt-4o", "langchain_openai", "pip install 'inquisight[openai]'"),
        ("anthropic:claude", "langchain_anthropic", "pip install 'inquisight[anthropic]'"),
        ("ollama:llama3.2", "langchain_ollama", "pip install 'inquisight[ollama]'"),
        ("huggingface:some/model", "langchain_huggingface", "pip install 'inquisight[huggingface]'"),
        ("groq:llama", "langchain_groq", "pip install langchain-groq"),
    ],
)
def test_missing_package(monkeypatch: pytest.MonkeyPatch, spec: str, module: str, remedy: str) -> None:
    from langchain.chat_models.base import _get_chat_model_creator

    _get_chat_model_creator.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError) as caught:
        load_questioner(spec, settings())
    assert remedy in said(caught.value)
    _get_chat_model_creator.cache_clear()


def test_any_chat_model_can_be_asked() -> None:
    assert ask(FakeListChatModel(responses=[" What is it? "]), MESSAGES, max_tokens=30, seed=1) == "What is it?"


def test_unforeseen_errors_are_one_line_too() -> None:
    class Odd(FakeListChatModel):
        def _call(self, *args: Any, **kwargs: Any) -> str:
            raise ZeroDivisionError("tensor\nis empty")

    with pytest.raises(QuestionerError, match="Odd failed: ZeroDivisionError: tensor is empty"):
        ask(Odd(responses=["x"]), MESSAGES)
