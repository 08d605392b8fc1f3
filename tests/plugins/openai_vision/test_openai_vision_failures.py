"""What a user reads when the server behind `openai:MODEL` cannot answer, and what is tried again before."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from core.errors import BackendError
from core.testing import make_picture
from core.vision import VisualQuestion
from plugins.openai_vision.backend import OpenAIBackend, SomeFailedError
from plugins.openai_vision.server import ContentFilterError
from tests.plugins.openai_vision.seeing_server import KEY, VARIABLES, eye, received, seeing_openai

RED, BLUE = (255, 0, 0), (0, 0, 255)
WAYS = ("answer", "stream")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with seeing_openai() as url:
        yield url


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def ask(looking: OpenAIBackend, way: str, colours: Sequence[tuple[int, int, int]] = (RED,)) -> str:
    images = looking.encode([make_picture(8, 8, colour) for colour in colours])
    questions = [VisualQuestion(image, "What colour is it?") for image in images]
    return "".join(looking.stream(questions[0])) if way == "stream" else looking.answer(questions)[0]


def said(error: BackendError) -> str:
    """The error's text, after what must hold for each of them."""
    text = str(error)
    assert KEY not in text
    assert "\n" not in text and "\x1b" not in text
    assert len(text) < 400
    return text


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("model", "requests", "words"),
    [
        ("unauthorized", 1, ["does not accept the key", "401", "INQUISIGHT_API_KEY"]),
        ("forbidden", 1, ["does not accept the key", "403"]),
        ("missing", 1, ["404", "does not exist", "base URL"]),
        ("bad-request", 1, ["400", "nothing to"]),
        ("too-long", 1, ["cannot read that much", "maximum context length", "max_side"]),
        ("no-quota", 1, ["quota", "429"]),
        ("busy-for-an-hour", 1, ["429", "3600 s"]),
        ("broken", 3, ["after 3 tries", "500"]),
        ("page", 1, ["not OpenAI's format", "/v1"]),
    ],
)
def test_a_failure_is_one_clear_line(server: str, way: str, model: str, requests: int, words: list[str]) -> None:
    name = f"{model}.{uuid4().hex}"
    with pytest.raises(BackendError) as caught:
        ask(eye(server, name), way)
    assert all(word in said(caught.value) for word in words), said(caught.value)
    assert len(received(server, name)) == requests


@pytest.mark.slow
def test_the_command_line_shows_that_line_and_no_more(server: str, tmp_path: Path) -> None:
    """The plugin is put among the built-ins, so that it is there in a checkout that was not installed again."""
    code = (
        "import core.registry as registry\n"
        "registry.BUILTINS['openai_vision'] = 'plugins.openai_vision'\n"
        "from inquisight.__main__ import main\n"
        "main()\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("INQUISIGHT_", "OPENAI_"))}
    root = Path(__file__).parents[3]
    spec = f"openai:unauthorized.{uuid4().hex}?base_url={server}"
    done = subprocess.run(
        [sys.executable, "-c", code, "caption", str(root / "examples" / "photos" / "cat.jpg"), "--vision", spec],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(root), "INQUISIGHT_HOME": str(tmp_path), "INQUISIGHT_API_KEY": KEY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "does not accept the key" in done.stderr and "INQUISIGHT_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", ["filtered-request", "filtered-reply"])
def test_a_content_filter_is_named(server: str, way: str, model: str) -> None:
    with pytest.raises(ContentFilterError, match="content filter") as caught:
        ask(eye(server, f"{model}.{uuid4().hex}"), way)
    said(caught.value)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", ["busy-once", "broken-once", "hangs-up-once"])
def test_what_passes_by_itself_is_tried_again(server: str, way: str, model: str) -> None:
    name = f"{model}.{uuid4().hex}"
    assert ask(eye(server, name), way) == "Is it day or night?"
    first, second = received(server, name)
    if model == "busy-once":
        assert second["at"] - first["at"] >= 1.0, "Retry-After: 1"


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_takes_too_long(server: str, way: str) -> None:
    name = f"slow.{uuid4().hex}"
    with pytest.raises(BackendError, match="did not answer in time after 2 tries; raise INQUISIGHT_TIMEOUT") as caught:
        ask(eye(server, name, timeout=0.5, max_retries=1), way)
    said(caught.value)
    assert len(received(server, name)) == 2


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_is_not_there(way: str) -> None:
    with pytest.raises(BackendError, match=r"at http://127\.0\.0\.1:9/v1 cannot be reached") as caught:
        ask(eye("http://127.0.0.1:9/v1", max_retries=0), way)
    said(caught.value)


def test_an_answer_that_breaks_off(server: str) -> None:
    looking = eye(server, f"breaks-off.{uuid4().hex}")
    [image] = looking.encode([make_picture()])
    heard: list[str] = []
    with pytest.raises(BackendError, match="broke off in the middle") as caught:
        heard.extend(looking.stream(VisualQuestion(image, "What?")))
    said(caught.value)


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_answer_is_empty_and_said(server: str, way: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "inquisight"):
        assert ask(eye(server, f"blank.{uuid4().hex}"), way) == ""
    assert "answered with nothing to 'What colour is it?'" in caplog.text


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_thinks_first_gets_the_room_it_needs(server: str, way: str) -> None:
    name = f"thinker.{uuid4().hex}"
    looking = eye(server, name)
    assert ask(looking, way) == ask(looking, way) == "What is it?"
    assert [request["body"]["max_tokens"] for request in received(server, name)] == [60, 2060, 2060]


@pytest.mark.parametrize("way", WAYS)
def test_thoughts_are_not_part_of_the_answer(server: str, way: str) -> None:
    assert ask(eye(server, f"thinks-aloud.{uuid4().hex}"), way) == "What is it?"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("option", ["temperature", "max_tokens"])
def test_an_option_that_a_server_refuses_is_left_out(server: str, way: str, option: str) -> None:
    name = f"refuses.{option}.{uuid4().hex}"
    looking = eye(server, name)
    assert ask(looking, way) == ask(looking, way) == f"without {option}"
    sent = [option in request["body"] for request in received(server, name)]
    assert sent == [True, False, False]
    if option == "max_tokens":
        assert received(server, name)[-1]["body"]["max_completion_tokens"] == 60


def test_what_was_answered_is_not_lost_with_what_was_not(server: str) -> None:
    looking = eye(server, f"hates-blue.{uuid4().hex}")
    with pytest.raises(SomeFailedError, match=r"^1 of 3 questions were not answered: .*content filter") as caught:
        ask(looking, "answer", [RED, BLUE, (0, 255, 0)])
    assert [reply and reply.text for reply in caught.value.replies] == ["fine", None, "fine"]
    assert isinstance(caught.value.__cause__, ContentFilterError)


def test_a_batch_is_given_up_where_every_request_would_fail(server: str) -> None:
    name = f"unauthorized.{uuid4().hex}"
    looking = eye(server, name, "&workers=2")
    [image] = looking.encode([make_picture()])
    with pytest.raises(BackendError, match="does not accept the key"):
        looking.answer([VisualQuestion(image, f"Number {number}?") for number in range(20)])
    assert len(received(server, name)) <= 2
    assert looking.describe()["requests"] in {"1", "2"}
