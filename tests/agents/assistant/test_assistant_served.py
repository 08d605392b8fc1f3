"""The assistant with a language model behind an OpenAI-compatible server, in a process of its own.

`tool_wire.py` follows a plan and checks every request like the real API; `transformers serve` runs a real model, whose
random weights call no tool.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.assistant.events import Concluded, Returned
from agents.assistant.run import assist
from agents.assistant.tools import AssistantTools
from agents.chat.events import Piece
from agents.llm.questioners import load_questioner
from core.errors import QuestionerError
from core.settings import Settings
from tests.agents.fakes import CountingVision, picture
from tests.agents.talking import collect
from tests.servers import transformers_serve
from tests.servers.tiny_chat_model import make

pytestmark = pytest.mark.slow

WIRE = Path(__file__).parents[2] / "servers" / "tool_wire.py"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-u", str(WIRE)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def run(url: str, name: str, *, retries: int = 0) -> tuple[list[Any], Concluded]:
    model = load_questioner(f"openai:{name}", Settings(timeout=60, max_retries=retries), base_url=url)
    desk = AssistantTools([picture("red")], CountingVision({"What is it?": "a plant"}), model, rounds=2)
    events = list(assist("What is wrong with this plant?", desk, model))
    last = events[-1]
    assert isinstance(last, Concluded)
    return events, last


def received(url: str, name: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/requests/{name}", timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)
        return found


def test_tools_over_the_wire(server: str) -> None:
    events, last = run(server, "caller")
    assert (
        last.error is None
        and last.answer.startswith("I heard: Seen by counting in picture 1")
        and "a plant" in last.answer
    )
    assert [event.call.tool for event in collect(iter(events), Returned)] == ["ask_about_picture"]
    first, second = received(server, "caller")
    offered = {tool["function"]["name"]: tool["function"] for tool in first["tools"]}
    assert set(offered) == {"ask_about_picture", "describe_picture"}
    assert offered["ask_about_picture"]["parameters"]["properties"]["picture"]["type"] == "integer"
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "tool"]
    assert "red.png" not in json.dumps(second)


def test_the_first_words_of_the_answer_are_there_before_the_last_ones_are_written(server: str) -> None:
    name = "waits.api"
    model = load_questioner(f"openai:{name}", Settings(timeout=60, max_retries=0), base_url=server)
    desk = AssistantTools([picture("red")], CountingVision({"What is it?": "a plant"}), model, rounds=2)
    told = ""
    for event in assist("What is it?", desk, model):
        if isinstance(event, Piece):
            told += event.text
            if told.endswith("heard: "):  # the server says no more until it is told to go on
                urllib.request.urlopen(f"{server.removesuffix('/v1')}/go/{name}", timeout=30).close()
    assert isinstance(event, Concluded) and event.error is None and event.answer == told.strip()
    assert told.startswith("I heard: Seen by counting") and received(server, name)[1]["stream"] is True


def test_thoughts_in_a_stream_are_not_told(server: str) -> None:
    events, last = run(server, "thinks")
    assert last.answer == "".join(event.text for event in collect(iter(events), Piece)).strip()
    assert last.answer.startswith("I heard: ")


@pytest.mark.parametrize(("name", "requests"), [("no-stream", 3), ("ignores-stream", 2)])
def test_a_server_that_does_not_stream_with_tools_is_asked_for_the_whole(server: str, name: str, requests: int) -> None:
    """One that refuses is asked again, once; of one that sends the whole in place of a stream the whole is read."""
    events, last = run(server, name)
    assert last.error is None and "a plant" in last.answer
    assert last.answer == "".join(event.text for event in collect(iter(events), Piece))
    assert len(received(server, name)) == requests


def test_a_stream_that_breaks_off_ends_the_run_with_what_was_heard(server: str) -> None:
    _, last = run(server, "breaks-off", retries=3)
    assert last.answer == "I heard:" and "broke off" in str(last.error) and "\n" not in str(last.error)
    assert len(received(server, "breaks-off")) == 2


def test_several_calls_at_once_wrong_ones_among_them(server: str) -> None:
    events, last = run(server, "curious")
    calls = sorted(collect(iter(events), Returned), key=lambda event: event.call.failed)
    assert [event.call.failed for event in calls] == [False, True, True]
    assert "there is no picture 9" in last.answer and "nonsense" in last.answer and "a plant" in last.answer


def test_arguments_that_do_not_fit(server: str) -> None:
    _, last = run(server, "clumsy")
    assert last.error is None and last.record.turns[0].calls[0].failed and "Error" in last.answer


def test_a_busy_server_is_asked_again(server: str) -> None:
    for name in ("busy-once", "busy-with-its-upstream"):
        _, last = run(server, name, retries=2)
        assert last.error is None and "a plant" in last.answer
        assert [bool(body.get("stream")) for body in received(server, name)] == [True] * 3


@pytest.mark.parametrize(
    ("name", "says"), [("no-tools", "does not support tools"), ("unauthorized", "INQUISIGHT_API_KEY")]
)
def test_a_server_that_refuses_is_one_clear_line(server: str, name: str, says: str) -> None:
    _, last = run(server, name)
    assert isinstance(last.error, QuestionerError)
    assert says in str(last.error) and "\n" not in str(last.error) and last.answer == ""


def test_a_real_model_that_calls_no_tool_just_answers(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    folder = make(tmp_path / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with transformers_serve(folder, port) as url:
        settings = Settings(timeout=120, max_retries=0)
        model = load_questioner(f"openai:{folder}", settings, base_url=url, seed=3)
        model = model.model_copy(update={"max_tokens": 24, "extra_body": {"max_tokens": 24}})
        desk = AssistantTools([picture("red")], CountingVision(), model)
        *_, last = assist("What is it?", desk, model)
    assert isinstance(last, Concluded)
    assert last.answer or isinstance(last.error, QuestionerError), "noise, or one line that says what was wrong with it"
    assert last.record.turns[0].calls == ()
