"""An eye behind `transformers serve`: somebody else's OpenAI-compatible server, with a vision model made here."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import BackendError
from core.testing import make_picture
from core.vision import GenerationOptions, VisualQuestion
from plugins.openai_vision.backend import OpenAIBackend
from tests.plugins.openai_vision.seeing_server import VARIABLES, settings
from tests.servers import transformers_serve
from tests.servers.tiny_vision_model import make

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

OPTIONS = GenerationOptions(max_new_tokens=16)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(base URL, model name)."""
    folder = make(tmp_path_factory.mktemp("tiny-vision-model"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with transformers_serve(folder, port, timeout=600) as url:
        yield url, str(folder)


@pytest.fixture
def looking(served: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> OpenAIBackend:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    url, name = served
    return OpenAIBackend(f"{name}?base_url={url}", settings=settings(api_key=None, max_retries=0, timeout=120.0))


def test_a_served_model_looks_at_the_picture(looking: OpenAIBackend) -> None:
    red, blue = looking.encode([make_picture(colour=(255, 0, 0)), make_picture(colour=(0, 0, 255))])
    questions = [VisualQuestion(image, "What colour is it?", options=OPTIONS) for image in (red, blue, red)]
    first, second, again = looking.answer(questions)
    assert first == again and first != second, "random weights, but the answer depends on the picture"
    assert int(looking.describe()["input_tokens"]) > 0


def test_a_served_model_streams(looking: OpenAIBackend) -> None:
    [red] = looking.encode([make_picture(colour=(255, 0, 0))])
    question = VisualQuestion(red, "What colour is it?", (("Hello?", "Yes."),), OPTIONS)
    pieces = list(looking.stream(question))
    assert len(pieces) > 1
    half = "\N{REPLACEMENT CHARACTER}"  # of a byte-level model's last character; this server streams no halves
    assert "".join(pieces).rstrip(half) == looking.answer([question])[0].rstrip(half)


def test_a_model_that_is_not_served(served: tuple[str, str], looking: OpenAIBackend, tmp_path: Path) -> None:
    url, _ = served
    other = OpenAIBackend(f"{tmp_path}/no-such-model?base_url={url}", settings=settings(api_key=None, max_retries=0))
    [image] = other.encode([make_picture()])
    with pytest.raises(BackendError) as caught:
        other.answer([VisualQuestion(image, "What?", options=OPTIONS)])
    assert "no-such-model" in str(caught.value) and "\n" not in str(caught.value)
