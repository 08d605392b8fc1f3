"""Silence and cut answers of the language model behind `ask`, and of the vision model behind `chat` and `video`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from agents.assistant.events import Concluded, Returned, Said
from agents.assistant.run import assist
from agents.assistant.tools import AssistantTools
from agents.chat.conversation import ChatOptions, Conversation
from agents.chat.events import Notice, Piece, Rewritten
from agents.interview.driver import caption_picture
from agents.interview.protocol import InterviewOptions
from agents.llm.questioners import load_questioner
from core.settings import Settings
from core.testing import make_picture
from core.vision import Reply, VisualQuestion
from plugins.openai_vision.backend import OpenAIBackend
from tests.agents.fakes import CountingVision, picture
from tests.agents.talking import collect
from tests.agents.video.clips import film, grey
from tests.servers.raw import Raw, Server, raw_server, said, stream, whole

CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "ask_about_picture", "arguments": '{"picture": 1, "question": "What is it?"}'},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with raw_server() as one:
        yield one


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "INQUISIGHT_API_KEY", "INQUISIGHT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def put(server: Server, *answers: Raw) -> str:
    name = f"m-{uuid4().hex}"
    server.answers[name] = list(answers)
    return name


def limits(server: Server) -> Settings:
    return Settings(timeout=20.0, max_retries=0, base_url=server.url)


def ask(server: Server, model: str) -> tuple[list[Any], Concluded]:
    questioner = load_questioner(f"openai:{model}", limits(server))
    desk = AssistantTools([picture("red")], CountingVision({"What is it?": "a plant"}), questioner, rounds=2)
    events = list(assist("What is it?", desk, questioner))
    assert isinstance(events[-1], Concluded)
    return events, events[-1]


def shown(events: list[Any]) -> str:
    """What a person sees of the answer."""
    text = ""
    for event in events:
        match event:
            case Piece():
                text += event.text
            case Rewritten():
                text = event.text
            case Returned() | Said():
                text = ""
    return text.strip()


def room(request: dict[str, Any]) -> int:
    return int(request.get("max_completion_tokens") or request.get("max_tokens") or 0)


# ---- ask -----------------------------------------------------------------------------------------------------------


def test_a_cut_answer_of_the_assistant_is_asked_for_once_more(server: Server) -> None:
    called = whole(said(None, "tool_calls", tool_calls=[CALL]))
    model = put(server, called, whole(said("A plant. It is", "length")), whole(said("A plant. It is dry.")))
    events, last = ask(server, model)
    assert last.error is None and last.answer == shown(events) == "A plant. It is dry."
    [turn] = last.record.turns
    assert not turn.truncated and len(turn.calls) == 1
    _, second, third = server.requests(model)
    assert room(third) > room(second) and third["messages"] == second["messages"] and third["tools"]
    assert [event.cut for event in collect(iter(events), Rewritten)] == [True]
    assert turn.usage is not None and turn.usage.calls == 3


@pytest.mark.parametrize("second", [whole(said("A plant. It was", "length")), Raw(b'{"error": "too much"}', 400)])
def test_one_that_stays_cut_loses_its_unfinished_sentence_and_is_marked(server: Server, second: Raw) -> None:
    model = put(server, whole(said("A plant. It is", "length")), second)
    events, last = ask(server, model)
    assert last.error is None and last.answer == shown(events) == "A plant." and len(server.requests(model)) == 2
    assert last.record.turns[0].truncated and '"truncated":true' in last.record.to_json()
    [notice] = collect(iter(events), Notice)
    assert "cut at the language model's limit of tokens" in notice.text and notice.text in last.record.turns[0].notices


def test_one_whose_tokens_went_into_reasoning_is_asked_for_once_more(server: Server) -> None:
    model = put(server, whole(said("", "length", reasoning_content="Hm.")), whole(said("A plant.")))
    events, last = ask(server, model)
    assert last.answer == shown(events) == "A plant." and not last.record.turns[0].truncated


def test_a_cut_tool_call_is_asked_for_once_more(server: Server) -> None:
    half = {**CALL, "function": {**CALL["function"], "arguments": '{"picture": 1, "question": "What'}}  # type: ignore[dict-item]
    model = put(
        server,
        whole(said(None, "length", tool_calls=[half])),
        whole(said(None, "tool_calls", tool_calls=[CALL])),
        whole(said("A plant.")),
    )
    events, last = ask(server, model)
    assert last.answer == "A plant."
    [call] = collect(iter(events), Returned)
    assert call.call.arguments["question"] == "What is it?"


@pytest.mark.parametrize("streamed", [True, False])
def test_a_server_that_does_not_stream_is_treated_alike(server: Server, streamed: bool) -> None:
    model = put(server, whole(said("A plant. It is", "length")))
    if not streamed:
        server.streamed[model] = [Raw(b'{"error": {"message": "no stream with tools"}}', 400)]
    events, last = ask(server, model)
    assert last.answer == shown(events) == "A plant." and last.record.turns[0].truncated


# ---- commands ------------------------------------------------------------------------------------------------------


def command(server: Server, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("INQUISIGHT_", "OPENAI_"))}
    served = {
        "INQUISIGHT_BASE_URL": server.url,
        "INQUISIGHT_VISION_BASE_URL": server.url,
        "INQUISIGHT_MAX_RETRIES": "0",
    }
    env = {**kept, **served, "PYTHONPATH": str(Path(__file__).parents[3]), "INQUISIGHT_HOME": str(folder / "home")}
    return subprocess.run(
        [sys.executable, "-c", "from inquisight.__main__ import main; main()", *words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("silence", [said(None), said("", reasoning_content="Hm."), said("", "length"), said(" ")])
def test_an_assistant_that_says_nothing_is_a_failure_in_one_line(
    server: Server, tmp_path: Path, silence: dict[str, Any]
) -> None:
    make_picture().image.save(tmp_path / "a.png")
    model = put(server, whole(silence))
    words = ("ask", "What is it?", "a.png", "--questioner", f"openai:{model}", "--vision", "openai:never-asked")
    done = command(server, tmp_path, *words)
    assert done.returncode not in (0, 1) and done.stderr.count("\n") == 1, done.stderr
    assert "answered with nothing" in done.stderr and model in done.stderr


def test_a_cut_answer_is_marked_in_every_output(server: Server, tmp_path: Path) -> None:
    make_picture().image.save(tmp_path / "a.png")
    model = put(server, whole(said("A plant. It is", "length")))
    words = ("ask", "What is it?", "a.png", "--questioner", f"openai:{model}", "--vision", "openai:never-asked")
    done = command(server, tmp_path, *words)
    assert done.returncode == 0 and "was cut at the language model's limit" in done.stderr, done.stderr
    last = json.loads(command(server, tmp_path, *words, "--json").stdout.splitlines()[-1])
    assert (last["answer"], last["truncated"]) == ("A plant.", True) and last["record"]["turns"][0]["truncated"]


def test_an_interview_that_serves_a_question_fails_where_that_has_no_answer(server: Server, tmp_path: Path) -> None:
    """Plain caption, opening, the person's question without an answer, then the rest."""
    make_picture().image.save(tmp_path / "a.png")
    some = [whole(said("A ball.")), whole(said("A red ball.")), whole(said("")), whole(said("It is red."))]
    eye = f"openai:{put(server, *some)}?base_url={server.url}"
    done = command(server, tmp_path, "ask", "How old?", "a.png", "--mode", "interview", "--vision", eye)
    assert done.returncode not in (0, 1) and "gave no answer to the question" in done.stderr, done.stderr


# ---- video ---------------------------------------------------------------------------------------------------------


def watched(server: Server, folder: Path, model: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("av", reason="videos are an optional part")
    film(folder / "clip.mp4", [grey(40)] * 10 + [grey(220)] * 10)
    eye = f"openai:{model}?base_url={server.url}"
    return command(server, folder, "video", "clip.mp4", "--json", "--frames", "2", "--rounds", "2", "--vision", eye)


def test_a_video_of_which_the_model_says_nothing_is_a_failure(server: Server, tmp_path: Path) -> None:
    done = watched(server, tmp_path, put(server, whole(said(None))))
    assert done.returncode not in (0, 1) and "Traceback" not in done.stderr
    assert "gave no answer" in done.stderr, done.stderr


def test_answers_about_a_video_that_were_cut_are_marked(server: Server, tmp_path: Path) -> None:
    model = put(server, whole(said("A red ball. It", "length")))
    done = watched(server, tmp_path, model)
    assert done.returncode == 0, done.stderr
    turns = json.loads(done.stdout.splitlines()[-1])["dialogue"]["turns"]
    asked = [turn for turn in turns if turn["asked_by"] != "witness"]
    assert asked and all(turn["truncated"] and turn["answer"] == "A red ball." for turn in asked)
    first, second, *_ = server.requests(model)
    assert room(second) == 4 * room(first)


# ---- chat ----------------------------------------------------------------------------------------------------------


def test_a_chat_marks_a_cut_answer_that_was_shown_and_asks_once(server: Server) -> None:
    model = put(server, whole(said("A plant. It is", "length")))
    chat = Conversation(OpenAIBackend(model, settings=limits(server)), [picture("red")], ChatOptions(max_new_tokens=9))
    events = list(chat.ask("What is it?"))
    [turn] = chat.turns
    assert turn.truncated and turn.answer == shown(events) == "A plant. It is"
    assert [room(one) for one in server.requests(model)] == [9]
    assert any("--max-new-tokens" in notice for notice in turn.notices)


def test_a_chat_asks_once_more_where_nothing_was_shown(server: Server) -> None:
    model = put(server)
    server.answers[model] = [whole(said("", "length", reasoning_content="Hm.")), whole(said("A plant."))]
    chat = Conversation(OpenAIBackend(model, settings=limits(server)), [picture("red")], ChatOptions(max_new_tokens=9))
    events = list(chat.ask("What is it?"))
    assert chat.turns[0].answer == shown(events) == "A plant." and not chat.turns[0].truncated
    first, second = map(room, server.requests(model))
    assert second > first


def test_a_stream_of_nothing_is_no_turn(server: Server) -> None:
    model = put(server)
    server.streamed[model] = [stream({"choices": [{"delta": {}, "finish_reason": "stop"}]})]
    chat = Conversation(OpenAIBackend(model, settings=limits(server)), [picture("red")])
    with pytest.raises(Exception, match="gave no answer"):
        list(chat.ask("What is it?"))
    assert chat.turns == ()


# ---- a local model -------------------------------------------------------------------------------------------------


def test_an_interview_marks_the_turns_that_a_local_model_cuts() -> None:
    class Short(CountingVision):
        """Reports why its answers ended, as the local backends do."""

        def replies(self, questions: Any) -> list[Reply]:
            return [self._reply(one) for one in questions]

        def _reply(self, question: VisualQuestion) -> Reply:
            cut[question.question or ""] = bool(len(cut) % 2)
            if cut[question.question or ""]:
                return Reply("It is red. It has", "length", 9, 5)
            return Reply("A red ball.", "stop", 9, 3)

    cut: dict[str, bool] = {}
    questioner = load_questioner("scripted")
    caption = caption_picture(picture("red"), Short(), questioner, InterviewOptions(rounds=6))
    turns = caption.dialogue.turns
    assert [turn.truncated for turn in turns] == [cut[turn.question] for turn in turns] and caption.truncated
    assert {turn.answer for turn in turns if turn.truncated} == {"It is red."} and caption.status == "complete"
    assert not all(turn.truncated for turn in turns)
