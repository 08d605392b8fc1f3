"""Replies of servers, taken apart: every shape is read, or one error says what was missing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.net.remote import Peer, explained
from core.net.replies import (
    MOST_CHARS,
    ReplyError,
    ReplyReader,
    StreamEndedError,
    content_part,
    read_reply,
    read_stream,
    reason_of,
    tokens_of,
    why_empty,
)
from core.net.server_errors import error_words
from tests.servers.raw import blocks, said, stream

BALL: Final = "A red ball."
PEER: Final = Peer("the model m", "http://127.0.0.1:8000/v1")


def streamed(body: bytes, size: int = 7) -> ReplyReader:
    """A stream that comes in packets of so many bytes."""
    reader = ReplyReader()
    shown = list(read_stream((body[start : start + size] for start in range(0, len(body), size)), reader))
    assert reader.answer.retracted or "".join(shown).strip() == reader.reply.text
    return reader


def both(completion: Any) -> list[ReplyReader]:
    """A completion, whole and as a stream."""
    return [read_reply(json.dumps(completion)), streamed(stream(*blocks(completion)).body)]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (BALL, BALL),
        ([{"type": "text", "text": "A red "}, {"type": "text", "text": "ball."}], BALL),
        ([{"type": "output_text", "text": BALL, "annotations": []}], BALL),
        (["A red ", "ball."], BALL),
        ([{"text": BALL}], BALL),
        ({"type": "text", "text": BALL}, BALL),
        ([{"type": "text", "text": {"value": BALL}}], BALL),
        ({"parts": [{"text": "SECRET", "thought": True}, {"text": BALL}]}, BALL),
        ([{"type": "thinking", "thinking": "SECRET"}, {"type": "text", "text": BALL}], BALL),
        (
            [{"type": "thinking", "thinking": [{"type": "text", "text": "SECRET"}]}, {"type": "text", "text": BALL}],
            BALL,
        ),
        ([{"type": "reasoning", "summary": [{"text": "SECRET"}]}, {"type": "text", "text": BALL}], BALL),
        ([{"type": "redacted_thinking", "data": "SECRET"}, {"type": "text", "text": BALL}], BALL),
        ([{"type": "image_url", "image_url": {"url": "data:SECRET"}}, {"type": "text", "text": BALL}], BALL),
        ([{"type": "text", "text": None}, None, 7, {"type": "text", "text": " balls"}], "7 balls"),
        (3, "3"),
        (2.5, "2.5"),
        (True, "true"),
        (None, ""),
        ([], ""),
        ({}, ""),
        ([[[[[[[[["deep"]]]]]]]]], ""),
    ],
)
def test_content_of_any_kind(content: Any, text: str) -> None:
    for reader in both(said(content)):
        assert reader.reply.text == text


@pytest.mark.parametrize(
    ("message", "reasoned", "called"),
    [
        ({"content": "", "reasoning_content": "SECRET"}, True, False),
        ({"content": None, "reasoning": "SECRET"}, True, False),
        ({"content": None, "reasoning_details": [{"text": "SECRET"}]}, True, False),
        ({"content": [{"type": "thinking", "thinking": "SECRET"}]}, True, False),
        ({"content": None, "tool_calls": [{"id": "1", "function": {"name": "look", "arguments": "{}"}}]}, False, True),
        ({"content": None, "function_call": {"name": "look", "arguments": "{}"}}, False, True),
        ({"content": [{"type": "tool_use", "name": "look", "input": {}}]}, False, True),
        ({"content": "<think>SECRET"}, True, False),
        ({"content": '{"name": "look", "arguments": {}}'}, False, True),
    ],
)
def test_what_is_said_beside_an_empty_content(message: dict[str, Any], reasoned: bool, called: bool) -> None:
    for reader in both(said(None, **message)):
        assert (reader.reply.text, reader.reasoned, reader.called) == ("", reasoned, called)
        assert ("reasoning" in why_empty(reader)) == reasoned and ("tool call" in why_empty(reader)) == called


def test_a_refusal_is_a_filter_s() -> None:
    for reader in both(said(None, refusal="I cannot do that.")):
        assert reader.reply.reason == "content_filter"


@pytest.mark.parametrize(
    ("value", "reason"),
    [("length", "length"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("end_turn", "stop"), (None, "")],
)
def test_why_it_ended_is_said_in_one_language(value: object, reason: str) -> None:
    assert reason_of(value) == reason
    assert read_reply(said(BALL, value)).reply.reason == reason  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 5}, (9, 5)),
        ({"input_tokens": 9, "output_tokens": 5}, (9, 5)),
        ({"prompt_tokens": "9", "completion_tokens": "many"}, (9, None)),
        ({"prompt_tokens": None, "completion_tokens": -5}, (None, None)),
        ({"prompt_tokens": 9.0, "completion_tokens": 5.5}, (9, None)),
        ({"prompt_tokens": True, "completion_tokens": 10**400}, (None, None)),
        ({"prompt_tokens": [9], "completion_tokens": {"value": 5}}, (None, None)),
        ("nine", (None, None)),
        (None, (None, None)),
    ],
)
def test_tokens_are_counted_where_they_are_numbers(usage: Any, tokens: tuple[int | None, int | None]) -> None:
    assert tokens_of(usage) == tokens
    for reader in both({**said(BALL), "usage": usage}):
        assert (reader.reply.input_tokens, reader.reply.output_tokens) == tokens and reader.reply.text == BALL


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ({}, "`choices` is missing"),
        ({"choices": None}, "`choices` is null"),
        ({"choices": []}, "`choices` is empty"),
        ({"choices": {}}, "`choices` is an object, not a list"),
        ({"choices": "none"}, "`choices` is a text, not a list"),
        ({"choices": 5}, "`choices` is a number, not a list"),
        ({"choices": [None]}, "the first of `choices` is null"),
        ({"choices": [[]]}, "the first of `choices` is a list"),
        ({"choices": [{"index": 0, "finish_reason": "stop"}]}, "no `message`"),
        ({"choices": [{"message": None}]}, "no `message`"),
        ([], "it is a list, not an object"),
        (None, "it is null"),
        (7, "it is a number"),
        ("hello", "it is a text"),
    ],
)
def test_what_is_missing_is_named(body: Any, missing: str) -> None:
    with pytest.raises(ReplyError, match=re.escape(missing)) as caught:
        read_reply(json.dumps(body))
    text = explained(caught.value, PEER).text
    assert "the model m at http://127.0.0.1:8000/v1" in text and missing in text and "\n" not in text


@pytest.mark.parametrize(
    ("body", "words", "status"),
    [
        ({"error": "out of memory in slot 3"}, "out of memory in slot 3", None),
        ({"error": {"message": "out of memory", "code": 502}}, "out of memory", 502),
        ({"error": {"message": "slow down", "code": "429"}}, "slow down", 429),
        ({"error": {"message": "out of memory", "type": "x", "code": "oom"}}, "out of memory", None),
        ({"error": {"code": 7, "details": {}}}, "an error without a message", None),
        ({"error": True, "message": "out of memory"}, "out of memory", None),
        ({"errors": [{"detail": "out of memory"}, {"detail": "and time"}]}, "out of memory; and time", None),
        ({"detail": "Not authenticated"}, "Not authenticated", None),
        ({"detail": [{"loc": ["body"], "msg": "field required"}]}, "field required", None),
        ({"object": "error", "message": "out of memory", "code": 500}, "out of memory", 500),
        ({"message": "out of memory"}, "out of memory", None),
        ({"choices": None, "error": {"message": "out of memory"}}, "out of memory", None),
        ({"choices": [{"error": {"message": "upstream", "code": 502}, "finish_reason": "error"}]}, "upstream", 502),
        ({"error": {"message": '{"error": {"message": "inner words"}}'}}, "inner words", None),
        ({"error": {"message": 'OpenAIException - {"error": {"message": "inner"}}'}}, "OpenAIException: inner", None),
        (
            {"error": {"message": "<html><head><title>502 Bad Gateway</title></head><body>x</body></html>"}},
            "an HTML page titled '502 Bad Gateway'",
            None,
        ),
    ],
)
def test_an_error_with_status_200_is_told_in_the_server_s_words(body: Any, words: str, status: int | None) -> None:
    for read in (lambda: read_reply(json.dumps(body)), lambda: streamed(stream(body).body)):
        with pytest.raises(ReplyError) as caught:
            read()
        assert str(caught.value) == words and caught.value.from_server and caught.value.status_code == status
        assert words in explained(caught.value, PEER).text


def test_no_error_is_made_of_an_empty_one() -> None:
    for error in (None, {}, "", False, {"code": 0}):
        for reader in both({**said(BALL), "error": error}):
            assert reader.reply.text == BALL


@pytest.mark.parametrize(
    ("body", "summary"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"Internal Server Error", "it is Internal Server Error"),
        (b"<html>Welcome to the router</html>", "it is an HTML page"),
        (
            b"<!DOCTYPE html>\n<html><head><TITLE>502 Bad\nGateway</TITLE>",
            "it is an HTML page titled '502 Bad Gateway'",
        ),
        (b"<html><body><h1>Sign in &amp; go on</h1>", "it is an HTML page titled 'Sign in & go on'"),
        (b'{"choices": [{"message": {"content": "cut', "it is data without a message"),
        (b"\xff\xfe\x00", "it is"),
        (b"[" * 100_000, "it is data without a message"),
    ],
)
def test_what_is_no_json_is_summed_up(body: bytes, summary: str) -> None:
    with pytest.raises(ReplyError) as caught:
        read_reply(body)
    assert str(caught.value).startswith(summary) and caught.value.shapeless
    fault = explained(caught.value, PEER)
    assert "not OpenAI's format" in fault.text and "/v1 for most servers" in fault.text and fault.for_all
    assert "<" not in fault.text and len(fault.text) < 400


def test_a_page_is_named_and_not_quoted() -> None:
    page = "<html><head><title>502 Bad Gateway</title></head><body>" + "<p>nginx</p>" * 500
    assert error_words(page) == "an HTML page titled '502 Bad Gateway'"
    assert error_words(f"upstream said: {page}") == "upstream said: an HTML page titled '502 Bad Gateway'"
    assert error_words({"a": {"b": [1, 2]}}) == "" and error_words('{"a": 1}') == "data without a message"


# ---- streams -------------------------------------------------------------------------------------------------------

CHUNK: Final = 'data: {"choices": [{"delta": {"content": "A red ball."}}]}\n\n'
END: Final = 'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'


@pytest.mark.parametrize(
    "body",
    [
        CHUNK + END + "data: [DONE]\n\n",
        CHUNK + END,
        CHUNK + "data: [DONE]\n\n",
        CHUNK + "data:[DONE]",
        ": keep-alive\n\n" + CHUNK + ": keep-alive\n\n" + END,
        "event: message\nid: 1\nretry: 5\n" + CHUNK + END,
        "data:\n\ndata: \n\n" + CHUNK + "data: {}\n\n" + END,
        "data: ping\n\n" + CHUNK + "data: null\n\ndata: [1]\n\ndata: 7\n\n" + END,
        CHUNK + 'data: {"choices": [], "usage": {"prompt_tokens": 1}}\n\n' + END,
        CHUNK + 'data: {"choices": null}\n\n' + END,
        CHUNK + 'data: {"choices": [{"delta": null}]}\n\ndata: {"choices": [{}]}\n\n' + END,
        CHUNK + 'data: {"choices": [{"index": 1, "delta": {"content": "Another."}}]}\n\n' + END,
        CHUNK.replace("\n\n", "\n") + END.replace("\n\n", "\n"),
        (CHUNK + END).replace("\n", "\r\n"),
        (CHUNK + END).replace("\n", "\r"),
        'data: {"choices": [{"delta":\ndata: {"content": "A red ball."}}]}\n\n' + END,
        'data: {"choices": [{"message": {"content": "A red ball."}, "finish_reason": "stop"}]}\n\n',
        'data: {"choices": [{"text": "A red ball.", "finish_reason": "stop"}]}\n\n',
        json.dumps(said(BALL)),
        json.dumps(said(BALL), indent=2),
    ],
)
def test_streams_of_any_make_are_read(body: str) -> None:
    for size in (1, 7, 100_000):
        assert streamed(body.encode(), size).reply.text == BALL


@pytest.mark.parametrize(
    "body", [CHUNK, CHUNK + 'data: {"choices": [{"del', CHUNK + "data:\n\n", ": hello\n\n" + CHUNK]
)
def test_a_stream_that_ends_early_is_no_answer(body: str) -> None:
    with pytest.raises(StreamEndedError) as caught:
        streamed(body.encode())
    assert "broke off in the middle of its reply" in explained(caught.value, PEER).text


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ("", "it is empty"),
        (": keep-alive\n\n", "it is empty"),
        ("data: [DONE]\n\n", "no block of the stream has `choices`"),
        ('data: {"choices": []}\n\ndata: [DONE]\n\n', "no block of the stream has `choices`"),
        ('data: {"choices": 5}\n\n', "`choices` is a number"),
        ("<html><title>Sign in</title>", "an HTML page titled 'Sign in'"),
        (CHUNK + 'data: {"error": {"message": "out of memory"}}\n\n', "out of memory"),
        (CHUNK + 'event: error\ndata: {"error": "out of memory"}\n\n', "out of memory"),
    ],
)
def test_a_stream_without_an_answer_says_what_was_missing(body: str, missing: str) -> None:
    with pytest.raises(ReplyError, match=re.escape(missing)):
        streamed(body.encode())


def test_who_hangs_up_after_the_end_has_said_everything() -> None:
    def chunks(body: str) -> Iterator[bytes]:
        yield body.encode()
        raise ConnectionError("incomplete chunked read")

    reader = ReplyReader()
    assert list(read_stream(chunks(CHUNK + END), reader)) == [BALL]
    with pytest.raises(ConnectionError):
        list(read_stream(chunks(CHUNK), ReplyReader()))


def test_a_model_that_never_stops_is_not_listened_to_for_ever() -> None:
    asked = 0

    def chunks() -> Iterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield f'data: {{"choices": [{{"delta": {{"content": "{"ab " * 500}"}}}}]}}\n\n'.encode()

    reader = ReplyReader()
    length = sum(map(len, read_stream(chunks(), reader)))
    assert length <= MOST_CHARS + 1500 and asked <= MOST_CHARS // 1500 + 2 and reader.reply.truncated


def test_pieces_come_as_they_are_sent() -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for word in ("What ", "colour ", "is ", "it?"):
            sent += 1
            yield f'data: {{"choices": [{{"delta": {{"content": "{word}"}}}}]}}\n\n'.encode()
        yield END.encode()

    assert [(piece, sent) for piece in read_stream(chunks(), ReplyReader())] == [
        ("What ", 1),
        ("colour ", 2),
        ("is ", 3),
        ("it?", 4),
    ]


# ---- anything ------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(
            ["choices", "message", "delta", "content", "text", "type", "error", "usage", "finish_reason", "tool_calls",
             "function", "arguments", "reasoning_content", "refusal", "detail", "code", "prompt_tokens", "index"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(VALUES | VALUES.map(lambda one: {"choices": [one]}) | VALUES.map(lambda one: {"choices": [{"message": one}]}))
def test_any_json_gives_a_reply_or_one_clean_error(value: Any) -> None:
    for read in (lambda: read_reply(json.dumps(value)), lambda: streamed(stream(value).body)):
        try:
            reader = read()
        except (ReplyError, StreamEndedError) as error:
            text = explained(error, PEER).text
            assert "the model m" in text and "\n" not in text and len(text) < 500
            text.encode()
        else:
            reader.reply.text.encode()
            assert isinstance(reader.reply.reason, str)


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode), st.integers(1, 9))
def test_any_bytes_give_a_reply_or_one_clean_error(body: bytes, size: int) -> None:
    for read in (lambda: read_reply(body), lambda: streamed(body, size), lambda: streamed(b"data: " + body, size)):
        with pytest.raises((ReplyError, StreamEndedError)):
            read()


@given(VALUES)
def test_any_content_is_read(value: Any) -> None:
    assert isinstance(content_part(value).text, str)
