"""A server on 127.0.0.1 that answers chat completions with whatever bytes a test gives it, and keeps what it was asked.

with raw_server() as server:
    server.answers["m"] = [Raw(b"<html>"), stream({"choices": []})]     # one after the other, the last one repeats
    ... f"openai:m?base_url={server.url}" ...
    server.requests("m")
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Raw:
    """One answer. `promised`: a Content-Length that is not kept. `wait` is called before the body is sent."""

    body: bytes = b""
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None
    wait: Callable[[], object] = lambda: None


def whole(value: Any, **more: Any) -> Raw:
    """A JSON value as the whole body."""
    return Raw(json.dumps(value).encode(), **more)


def said(text: Any, reason: str | None = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion whose content is `text`."""
    one = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": reason}
    return {"choices": [one], "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}}


def blocks(completion: Any, cuts: Sequence[int] = ()) -> list[Any]:
    """A completion as the blocks of a stream; its text is cut at these places, else after every third character."""
    if not isinstance(completion, dict) or not isinstance(completion.get("choices"), list) or not completion["choices"]:
        return [completion]
    [choice, *_] = completion["choices"]
    message = dict(choice["message"])
    content = message.pop("content", None)
    pieces: list[Any] = [content]
    if isinstance(content, str):
        places = sorted({0, len(content), *(cuts or range(0, len(content), 3))})
        pieces = [content[start:end] for start, end in zip(places, places[1:], strict=False)]
    deltas: list[dict[str, Any]] = [message, *({"content": piece} for piece in pieces)]
    return [
        *({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": choice.get("finish_reason")}]},
        {"choices": [], "usage": completion.get("usage")},
    ]


def stream(*values: Any, done: bool = True, **more: Any) -> Raw:
    """JSON values as server-sent events; a text is sent as it is."""
    lines = [value if isinstance(value, str) else f"data: {json.dumps(value)}\n\n" for value in values]
    body = "".join([*lines, "data: [DONE]\n\n" * done])
    return Raw(body.encode("utf-8", "surrogatepass"), kind="text/event-stream", **more)


class Server:
    """What is answered per model, and what was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, list[Raw]] = {}
        self.streamed: dict[str, list[Raw]] = {}
        """Answers to requests for a stream; where there are none, `answers` are sent as streams."""
        self.lock = threading.Lock()
        self._requests: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._order: list[str] = []

    def requests(self, model: str) -> list[dict[str, Any]]:
        """The bodies that were sent for a model."""
        with self.lock:
            return list(self._requests[model])

    def take(self, body: dict[str, Any]) -> Raw:
        model = body["model"]
        with self.lock:
            self._requests[model].append(body)
            number = len(self._requests[model]) - 1
        answers = self.answers[model]
        if body.get("stream") and model in self.streamed:
            answers = self.streamed[model]
        raw = answers[min(number, len(answers) - 1)]
        if body.get("stream") and model not in self.streamed and raw.status == 200:
            try:
                return stream(*blocks(json.loads(raw.body)), headers=raw.headers, wait=raw.wait)
            except ValueError:
                pass
        return raw


@contextmanager
def raw_server() -> Iterator[Server]:
    """The server, in threads of this process."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            raw = server.take(body)
            raw.wait()
            self.send_response(raw.status)
            length = raw.promised if raw.promised is not None else len(raw.body)
            headers = {"content-type": raw.kind, "content-length": str(length), **raw.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw.body)
            if raw.promised is not None:
                self.close_connection = True

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    server = Server(f"http://127.0.0.1:{listening.server_port}/v1")
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
