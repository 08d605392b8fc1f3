"""A questioner behind `transformers serve`: somebody else's OpenAI-compatible server, with a model made here."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from agents.llm.questioners import load_questioner
from core.errors import QuestionerError
from core.settings import Settings
from tests.agents.llm.asking import ask, ask_stream
from tests.servers import transformers_serve
from tests.servers.tiny_chat_model import make

pytestmark = pytest.mark.slow

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

MESSAGES = [SystemMessage("You ask about a picture."), HumanMessage("It shows a duck. Ask one question.")]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(base URL, model name)."""
    folder = make(tmp_path_factory.mktemp("tiny-chat-model"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with transformers_serve(folder, port) as url:
        yield url, str(folder)


def test_question_from_a_served_model(served: tuple[str, str]) -> None:
    url, name = served
    model = load_questioner(f"openai:{name}", Settings(timeout=60, max_retries=0), base_url=url)
    first = ask(model, MESSAGES, max_tokens=24, seed=5)
    assert first
    assert len(first.encode()) <= 24 * 3, "a byte-level model writes a byte per token; U+FFFD is three"
    assert ask(model, MESSAGES, max_tokens=24, seed=5) == first, "the seed reaches the server"
    assert ask(model, MESSAGES, max_tokens=24, seed=6) != first


def test_stream_from_a_served_model(served: tuple[str, str]) -> None:
    url, name = served
    model = load_questioner(f"openai:{name}", Settings(timeout=60, max_retries=0), base_url=url)
    pieces = list(ask_stream(model, MESSAGES, max_tokens=24, seed=5))
    assert len(pieces) > 1
    assert "".join(pieces).strip()


def test_model_that_is_not_served(served: tuple[str, str], tmp_path: Path) -> None:
    url, _ = served
    model = load_questioner(f"openai:{tmp_path}/no-such-model", Settings(timeout=60, max_retries=0), base_url=url)
    with pytest.raises(QuestionerError) as caught:
        ask(model, MESSAGES, max_tokens=5)
    assert "no-such-model" in str(caught.value)
    assert "\n" not in str(caught.value)
