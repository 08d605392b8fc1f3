"""Servers that answer with anything: as the vision model and as the questioner, whole and streamed, over real HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from langchain_core.messages import HumanMessage

from agents.interview.driver import caption_picture
from agents.interview.protocol import InterviewOptions
from agents.llm.questioners import EmptyReplyError, ask_reply, load_questioner, reply_pieces
from core.errors import BackendError, InquisightError, QuestionerError
from core.records import Caption
from core.settings import Settings
from core.store.transcripts import TranscriptStore
from core.testing import make_picture
from core.vision import GenerationOptions, Reply, VisualQuestion
from plugins.openai_vision.backend import OpenAIBackend
from tests.agents.fakes import CountingVision, picture
from tests.agents.llm.asking import ask, ask_stream
from tests.core.net.test_replies import VALUES
from tests.servers.raw import Raw, Server, raw_server, said, stream, whole

CASES: Final = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "fixtures/cases/replies.jsonl").read_text("utf-8").splitlines()
]
ROLES: Final = ("vision", "vision streamed", "questioner", "questioner streamed")
KEY: Final = "sk-test-4f3c2b1a0987"
MESSAGES: Final = [HumanMessage("It shows a duck. Ask one question.")]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with raw_server() as one:
        yield one


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "INQUISIGHT_API_KEY", "INQUISIGHT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def put(server: Server, *answers: Raw) -> str:
    """A new model that answers so."""
    name = f"m-{uuid4().hex}"
    server.answers[name] = list(answers)
    return name


def limits(server: Server, **more: Any) -> Settings:
    return Settings(timeout=20.0, max_retries=0, api_key=KEY, base_url=server.url, **more)  # type: ignore[arg-type]


def vision(server: Server, model: str, **more: Any) -> OpenAIBackend:
    return OpenAIBackend(model, settings=limits(server, **more))


def asked(server: Server, model: str, role: str) -> str:
    """What a model answers in this role."""
    if role.startswith("vision"):
        backend = vision(server, model)
        [image] = backend.encode([make_picture()])
        question = VisualQuestion(image, "What is it?", options=GenerationOptions(retry_tokens=240))
        return "".join(backend.stream(question)) if "streamed" in role else backend.answer([question])[0]
    questioner = load_questioner(f"openai:{model}", limits(server))
    way: Callable[..., Any] = ask_stream if "streamed" in role else ask
    return "".join(way(questioner, MESSAGES, max_tokens=30))


def failure(server: Server, model: str, role: str) -> str:
    """The one line of a model that fails in this role."""
    with pytest.raises((BackendError, QuestionerError)) as caught:
        asked(server, model, role)
    text = str(caught.value)
    assert model in text and KEY not in text and "\n" not in text and len(text) < 500
    return text


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_the_known_cases(server: Server, case: dict[str, Any], role: str) -> None:
    model = put(server, whole(case["reply"]))
    match case["case"]:
        case "error with status 200":
            assert "Model unloaded: out of memory in slot 3" in failure(server, model, role)
        case "answer only in reasoning_content":
            text = failure(server, model, role)
            assert "spent its tokens on reasoning" in text and "enable_thinking=false" in text
        case "always empty" if role.startswith("vision"):
            assert asked(server, model, role) == "", "the interview fails, see below"
        case "always empty":
            assert "answered with nothing" in failure(server, model, role)
        case "tool call as text":
            assert "nothing but a tool call" in failure(server, model, role)
        case "empty choices":
            text = failure(server, model, role)
            assert "`choices`" in text and server.url in text
        case "cut by length":
            assert asked(server, model, role) == "A person in a teal"
        case "lone surrogate":
            assert asked(server, model, role).split() == ["A", "red", "ball", "on", "grass."]
        case _:
            assert asked(server, model, role) == case["right"]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (Raw(b"<html><title>Sign in</title></html>", kind="text/html"), "an HTML page titled 'Sign in'"),
        (Raw(b"<html><title>502 Bad Gateway</title></html>", 502, "text/html"), "titled '502 Bad Gateway'"),
        (Raw(b'{"error": {"code": {"deep": [1]}}}', 500), "an error without a message"),
        (Raw(b'{"error": {"message": "the key sk-abcdefgh1234 is used up"}}'), "the key [key] is used up"),
        (Raw(b""), "it is empty"),
        (Raw(b"Internal Server Error", kind="text/plain"), "it is Internal Server Error"),
        (Raw(b'{"choices": [{"mess', promised=1000), ""),
        (whole([]), "`choices`"),
        (whole({"choices": None}), "`choices`"),
        (whole({"choices": [{"index": 0, "finish_reason": "stop"}]}), ""),
        (whole({"detail": "Not authenticated"}), "Not authenticated"),
    ],
)
def test_what_is_no_reply_is_one_line(server: Server, role: str, raw: Raw, words: str) -> None:
    text = failure(server, put(server, raw), role)
    assert words in text and "<html" not in text and "{" not in text


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("usage", [{"prompt_tokens": "nine"}, {"prompt_tokens": -4}, "none", None, [], {"x": {}}])
def test_an_answer_is_not_lost_over_its_count_of_tokens(server: Server, role: str, usage: Any) -> None:
    assert asked(server, put(server, whole({**said("A duck."), "usage": usage})), role) == "A duck."


@pytest.mark.parametrize("role", ROLES[1::2])
@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (stream({"choices": [{"delta": {"content": "A red"}}]}, done=False), "broke off in the middle"),
        (
            stream({"choices": [{"delta": {"content": "A red"}}]}, {"error": {"message": "out of memory"}}),
            "out of memory",
        ),
        (stream(": keep-alive\n\n", done=False), "it is empty"),
        (stream({"choices": []}), "`choices`"),
    ],
)
def test_a_stream_without_its_end(server: Server, role: str, raw: Raw, words: str) -> None:
    model = put(server)
    server.streamed[model] = [raw]
    assert words in failure(server, model, role)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES | VALUES.map(lambda one: {"choices": [{"message": one}]}))
def test_any_json_is_a_reply_or_one_clean_error(server: Server, value: Any) -> None:
    for role in ROLES:
        model = put(server, whole(value))
        try:
            asked(server, model, role).encode()
        except InquisightError as error:
            assert "\n" not in str(error) and model in str(error) and len(str(error)) < 500


# ---- cut replies ---------------------------------------------------------------------------------------------------


def test_a_cut_answer_is_asked_for_once_more_with_more_tokens(server: Server) -> None:
    model = put(server, whole(said("It is a", "length")), whole(said("It is a red ball.")))
    assert asked(server, model, "vision") == "It is a red ball."
    assert [one["max_tokens"] for one in server.requests(model)] == [60, 240]
    assert asked(server, model, "vision") == "It is a red ball."
    assert [one["max_tokens"] for one in server.requests(model)] == [60, 240, 240], "it was learned"


def test_where_more_is_not_to_be_had_the_cut_answer_stays(server: Server) -> None:
    model = put(server, whole(said("It is a", "length")), Raw(b'{"error": {"message": "too much"}}', 400))
    backend = vision(server, model)
    [image] = backend.encode([make_picture()])
    [reply] = backend.replies([VisualQuestion(image, "What?", options=GenerationOptions(retry_tokens=240))])
    assert reply.text == "It is a" and reply.truncated


def test_a_limit_of_tokens_is_kept_where_nothing_else_is_said(server: Server) -> None:
    model = put(server, whole(said("It is a", "length")))
    backend = vision(server, model)
    [image] = backend.encode([make_picture()])
    assert backend.replies([VisualQuestion(image, "What?", options=GenerationOptions(9))])[0].truncated
    assert ask(load_questioner(f"openai:{model}", limits(server)), MESSAGES, max_tokens=9) == "It is a"
    assert [one["max_tokens"] for one in server.requests(model)] == [9, 9]


def test_a_question_that_is_whole_is_not_asked_for_again(server: Server) -> None:
    model = put(server, whole(said("What is it? I would also like", "length")))
    questioner = load_questioner(f"openai:{model}", limits(server))
    reply = ask_reply(questioner, MESSAGES, max_tokens=30, retry_tokens=120, enough=lambda text: "?" in text)
    assert reply.truncated and len(server.requests(model)) == 1


def test_a_cut_reply_that_repeats_itself_is_not_asked_for_again(server: Server) -> None:
    model = put(server, whole(said("It is a ball. " * 9 + "It is", "length")))
    asked(server, model, "vision")
    questioner = load_questioner(f"openai:{model}", limits(server))
    assert ask_reply(questioner, MESSAGES, max_tokens=30, retry_tokens=120).truncated
    assert [one["max_tokens"] for one in server.requests(model)] == [60, 30]


# ---- interviews ----------------------------------------------------------------------------------------------------


def interview(server: Server, *, eye: str = "", questioner: str = "scripted", **more: Any) -> Caption:
    spec = questioner if questioner == "scripted" else f"openai:{questioner}"
    backend = vision(server, eye) if eye else CountingVision()
    return caption_picture(
        picture("red"), backend, load_questioner(spec, limits(server)), InterviewOptions(rounds=3), **more
    )


def failed(server: Server, **more: Any) -> Caption:
    """What is left of an interview that fails."""
    with pytest.raises(InquisightError) as caught:
        interview(server, **more)
    partial = caught.value.partial
    assert partial is not None and partial.status == "failed"
    return partial


@pytest.mark.parametrize("text", ["A red ball \ud83d on grass.", "\ud83d\ude00 A red \udc00ball."])
def test_lone_surrogates_go_and_the_interview_is_kept(server: Server, tmp_path: Path, text: str) -> None:
    store = TranscriptStore(f"sqlite:///{tmp_path / 't.sqlite'}")
    model = put(server, whole(said(text)))
    for more in ({"eye": model}, {"questioner": model}):
        caption = interview(server, **more, save=store.add)  # type: ignore[arg-type]
        assert caption.status == "complete"
        caption.to_json().encode()
        assert store.get(caption.id).text == caption.text


def test_a_model_that_says_nothing_fails_the_picture(server: Server) -> None:
    model = put(server, whole(said(None)))
    caption = failed(server, eye=model)
    assert caption.text == ""
    assert model in str(caption.error) and "gave no answer to the opening question" in str(caption.error)
    assert len(server.requests(model)) == 2, "no question is asked of it after that"


def test_a_model_that_falls_silent_fails_the_picture_and_goes_on_where_it_was(server: Server) -> None:
    model = put(server, whole(said("A ball.")), whole(said("A red ball.")), whole(said(" ")))
    caption = failed(server, eye=model)
    assert "no answer to 2 of 3 questions" in str(caption.error)
    assert [turn.answer for turn in caption.dialogue.turns] == ["A red ball."]
    server.answers[model] = [whole(said("It is red."))]
    again = interview(server, eye=model, earlier=caption)
    assert again.status == "complete" and [bool(turn.answer) for turn in again.dialogue.turns] == [True] * 3


def test_one_answer_that_is_missing_is_kept_as_such(server: Server) -> None:
    model = put(server, whole(said("A ball.")), whole(said("A red ball.")), whole(said("")), whole(said("It is red.")))
    caption = interview(server, eye=model)
    assert caption.status == "complete"
    assert [turn.certainty for turn in caption.dialogue.turns] == ["sure", "unsure", "sure"]


def test_a_questioner_that_calls_tools_asks_and_describes_nothing(server: Server) -> None:
    model = put(server, whole(said('{"name": "look", "arguments": {"question": "What colour?"}}')))
    caption = failed(server, questioner=model)
    assert caption.summary == ""
    assert caption.asked_by == {"opening": 1, "fallback": 2} and "nothing but a tool call" in str(caption.error)


def test_a_cut_answer_loses_its_unfinished_sentence_and_is_marked(server: Server) -> None:
    model = put(server, whole(said("A red ball lies on grass. A person in a teal", "length")))
    caption = interview(server, eye=model)
    assert caption.plain == caption.opening == "A red ball lies on grass."
    assert caption.truncated and all(turn.truncated for turn in caption.dialogue.turns)
    assert [one["max_tokens"] for one in server.requests(model)[:2]] == [80, 320]
    assert Caption.from_json(caption.to_json()) == caption and '"truncated":true' in caption.to_json()


def test_an_answer_that_is_one_unfinished_sentence_stays_and_is_marked(server: Server) -> None:
    caption = interview(server, eye=put(server, whole(said("A person in a teal", "length"))))
    assert caption.opening == "A person in a teal" and caption.truncated


def test_a_cut_summary_is_asked_for_once_more(server: Server) -> None:
    """Two questions, then the summary, which is cut at first; one that stays cut is written by the rules."""
    some = [whole(said("What colour is it?")), whole(said("Where is it?"))]
    for last, by, calls in (
        (said("It is a red ball."), "questioner", [300, 1200]),
        (said("It is red. It", "length"), "rules", [300, 1200, 300, 1200]),
    ):
        model = put(server, *some, whole(said("It is red. It is", "length")), whole(last))
        caption = interview(server, eye=put(server, whole(said("A red ball."))), questioner=model)
        assert caption.summary_by == by and "red ball" in caption.summary and not caption.truncated
        assert [one["max_tokens"] for one in server.requests(model)] == [60, 60, *calls]


def test_a_summary_that_repeats_itself_gets_no_more_tokens(server: Server) -> None:
    """A second draft with the same limit, then the rules."""
    questions = [whole(said("What colour is it?")), whole(said("Where is it?"))]
    model = put(server, *questions, whole(said("It is a red ball. " * 9 + "It is", "length")))
    caption = interview(server, eye=put(server, whole(said("A red ball."))), questioner=model)
    assert caption.summary_by == "rules" and not caption.truncated
    assert [one["max_tokens"] for one in server.requests(model)] == [60, 60, 300, 300]


def test_a_caption_that_was_kept_before_is_read() -> None:
    caption = Caption.model_validate(
        {"picture": {"sha256": "a" * 64, "source": "a.png", "width": 1, "height": 1}, "plain": "a"}
    )
    assert not caption.truncated


# ---- streams that are shown ----------------------------------------------------------------------------------------


def test_a_reply_is_shown_while_it_is_written(server: Server) -> None:
    model = put(server, whole(said("What colour is the duck?")))
    *pieces, last = reply_pieces(load_questioner(f"openai:{model}", limits(server)), MESSAGES)
    assert len(pieces) > 3 and "".join(map(str, pieces)) == "What colour is the duck?"
    assert isinstance(last, Reply) and (last.text, last.reason) == ("What colour is the duck?", "stop")


def test_what_a_model_reasons_late_is_known_for_the_next_time(server: Server) -> None:
    text = "The duck is what they mean.</think>What colour is it?"
    model = put(server, whole(said(text)))
    questioner = load_questioner(f"openai:{model}", limits(server))
    *_, first = reply_pieces(questioner, MESSAGES, max_tokens=30)
    *pieces, second = reply_pieces(questioner, MESSAGES, max_tokens=30)
    assert isinstance(first, Reply) and isinstance(second, Reply)
    assert first.text == second.text == "".join(map(str, pieces)) == "What colour is it?"


def test_a_silent_questioner_is_named(server: Server) -> None:
    with pytest.raises(EmptyReplyError, match="answered with nothing"):
        asked(server, put(server, whole(said(""))), "questioner")


@pytest.mark.parametrize("command", ["caption", "batch", "chat"])
def test_a_silent_model_leaves_no_caption_behind(server: Server, tmp_path: Path, command: str) -> None:
    """Exit code, output, the file beside the picture, and the list of failures."""
    model = put(server, whole(said(None)))
    (tmp_path / "in").mkdir()
    make_picture().image.save(tmp_path / "in" / "a.png")
    more = {
        "caption": ["in/a.png", "--quiet", "--save-beside"],
        "batch": ["in", "--out", "out.jsonl"],
        "chat": ["in/a.png", "--ask", "What is it?"],
    }[command]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("INQUISIGHT_", "OPENAI_"))}
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", "from inquisight.__main__ import main; main()", command, *more]
        + ["--vision", f"openai:{model}?base_url={server.url}"],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": root, "INQUISIGHT_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "in" / "a.txt").exists()
    if command == "caption":
        assert done.stdout == "" and "gave no answer to the opening question" in done.stderr
    elif command == "batch":
        assert (tmp_path / "out.jsonl").read_text() == ""
        assert "gave no answer" in (tmp_path / "out.failed.jsonl").read_text()
    else:
        assert "gave no answer" in done.stderr + done.stdout
