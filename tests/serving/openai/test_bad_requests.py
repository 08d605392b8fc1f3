"""What is wrong with a request is said in OpenAI's form, and the server stays alive."""

from __future__ import annotations

import base64
import io
import struct
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.serving.openai.serving_world import Served, asking, data_url, serving


def picture(url: Any) -> dict[str, Any]:
    return {"model": "colours", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]}


def said(answer: httpx.Response, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"} and error["type"].endswith("_error")
    assert "/home" not in answer.text and "Traceback" not in answer.text
    return str(error["message"])


GOOD = {"model": "colours", "messages": asking("What?", "red")}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (picture(data_url()), "messages.0.content"),  # image_url as a string
        (picture({"url": "data:image/png;base64,AAAA"}), "not a picture in a supported"),
        (picture({"url": "data:image/png;base64,%%%"}), "not valid base64"),
        (picture({"url": "data:image/png,abc"}), "data URL that is not base64"),
        (picture({"url": "/etc/passwd"}), "send a data URL"),
        (picture({"url": "file:///etc/passwd"}), "send a data URL"),
        (picture({"url": ""}), "send a data URL"),
        (picture({"url": "http://127.0.0.1:9/x.png"}), "--fetch HOST"),
        (picture({"url": data_url()[:70]}), "picture 1 of message 1"),  # cut
        ({"model": "colours", "messages": []}, "messages"),
        ({"model": "colours"}, "messages"),
        ({"messages": GOOD["messages"]}, "model"),
        ({**GOOD, "temperature": 3}, "temperature"),
        ({**GOOD, "temperature": "hot"}, "temperature"),
        ({**GOOD, "n": 0}, "n: "),
        ({**GOOD, "n": 1000}, "n: "),
        ({**GOOD, "max_tokens": 0}, "max_tokens"),
        ({**GOOD, "stop": 5}, "stop"),
        ({**GOOD, "tools": [{"type": "function", "function": {"name": "x"}}]}, "no model of this server can do that"),
        ({**GOOD, "frequency_penalty": 1.5}, "frequency_penalty"),
        ({**GOOD, "modalities": ["text", "audio"]}, "modalities"),
        ({**GOOD, "response_format": {"type": "grammar"}}, "response_format"),
        ({"model": "colours", "messages": [{"role": "tool", "content": "x"}]}, "role"),
        ({"model": "colours", "messages": [{"role": "assistant", "content": "x"}]}, "last message must be a person's"),
        ({"model": "colours", "messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "content"),
        ({"model": "colours", "messages": asking("Which?", "red", "blue")}, "takes one picture at a time"),
        ({"model": "colours", "messages": asking("Which?", *["red"] * 40)}, "40 pictures in one request"),
        ({"model": "interview/colours", "messages": asking("", "red", "blue")}, "an interview is about one picture"),
        ({"model": "interview/colours", "messages": asking("", "red"), "n": 2}, "an interview has no n"),
    ],
)
def test_400(server: Served, body: Any, says: str) -> None:
    assert says in said(server.post(body))
    assert server.post(GOOD).status_code == 200


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b'"text"', b"null", b"\xff\xfe", b"{}", b'{"model": 5}'])
def test_a_body_that_is_no_request(server: Served, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    said(server.client.post("/v1/chat/completions", content=content, headers=headers))


def test_a_picture_of_too_many_pixels(server: Served) -> None:
    file = io.BytesIO()
    Image.new("1", (3, 9)).save(file, "GIF")
    data = file.getvalue()
    claimed = data[:6] + struct.pack("<HH", 30_000, 9_000) + data[10:]
    url = "data:image/gif;base64," + base64.b64encode(claimed).decode()
    assert "pixels" in said(server.post(picture({"url": url})))


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "nonsense"}, "no JSON Schema"),
        (
            {"type": "object", "properties": {"a": {"$ref": "http://example.org/x"}}},
            "put the definition into its $defs",
        ),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}, "which is not in it"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$"}}}, "a pattern"),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, "follows no instructions"),
        ({"type": "object"}, "an object without properties"),
    ],
)
def test_schemas_that_cannot_be_used(server: Served, schema: Any, says: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert says in said(server.ask("What?", response_format=form))


def test_fields_that_nobody_knows_are_ignored(server: Served) -> None:
    assert server.ask("What?", seed=-1, user="me", metadata={}, mirostat=2, tools=[], presence_penalty=0).is_success


def test_other_ways_to_ask(server: Served) -> None:
    assert "not offered" in said(server.post({**GOOD, "model": "gpt"}), 404)
    said(server.get("/v1/chat/completions"), 405)
    said(server.get("/v1/nothing"), 404)
    assert server.get("/health").json()["status"] == "ok"


def test_a_failing_model_tells_nothing_about_this_machine(server: Served) -> None:
    assert said(server.ask("secret"), 500) == "the vision model failed; the server's log has the reason"
    streamed = server.ask("secret", stream=True)
    assert "/home" not in streamed.text and "the vision model failed" in streamed.text
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert server.ask("What?").is_success


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large(declared: bool) -> None:
    with serving(body_bytes=100_000) as served:
        data = b'{"model": "' + b"x" * 300_000 + b'"}'
        content: Any = data if declared else (data[at : at + 1000] for at in range(0, len(data), 1000))
        try:
            answer = served.client.post("/v1/chat/completions", content=content)
        except httpx.WriteError:  # the server closed the connection while the rest was sent
            answer = None
        if answer is not None:
            assert "larger than 100,000 bytes" in said(answer, 413)
        assert served.ask("What?").is_success


def test_only_its_own_names_reach_a_local_server() -> None:
    with serving(hosts=("localhost", "127.0.0.1")) as served:
        assert served.get("/v1/models").is_success
        assert served.get("/v1/models", headers={"host": "evil.example"}).status_code == 400


def test_a_page_of_another_site_cannot_ask(server: Served) -> None:
    """A form or fetch without preflight sends text/plain."""
    data = b'{"model": "colours", "messages": [{"role": "user", "content": "x"}]}'
    answer = server.client.post("/v1/chat/completions", content=data, headers={"content-type": "text/plain"})
    assert answer.status_code == 400
