"""A real HTTP server on this machine that notes what it is sent: who it was called by, with which headers.

with Listener() as there:
    ... there.address  # "http://127.0.0.1:PORT/v1"
    there.headers("authorization")  # of each request, in order; "" where it had none
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "any",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "What is it?"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


CHUNK = {
    **COMPLETION,
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": "What is it?"}}],
}


@dataclass(frozen=True)
class Received:
    """One request; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


Answer = tuple[int, dict[str, str], Any]


def completion(request: Received) -> Answer:
    """OpenAI's chat completion, streamed where that was asked for."""
    if '"stream":true' in request.body.replace(" ", ""):
        return 200, {"content-type": "text/event-stream"}, f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n"
    return 200, {}, COMPLETION


class Listener:
    """Answers every request with `answer(request)`: status, headers, JSON or a text as it is."""

    def __init__(self, answer: Callable[[Received], Answer] = completion) -> None:
        self.received: list[Received] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode("utf-8", "replace")
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(self.command, self.path, headers, body)
                received.append(request)
                status, more, value = answer(request)
                content = (value if isinstance(value, str) else json.dumps(value)).encode()
                self.send_response(status)
                for name, text in {"content-type": "application/json", **more}.items():
                    self.send_header(name, text)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST  # noqa: N815 - http.server's name

            def log_message(self, *_: object) -> None:
                """Nothing on standard error."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.address = f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def headers(self, name: str) -> list[str]:
        """That header of each request; "" where it had none."""
        return [one.headers.get(name, "") for one in self.received]

    @property
    def everything(self) -> str:
        """All that was received, as one text, to look for what must not be in it."""
        return "\n".join(f"{one.method} {one.path} {one.headers} {one.body}" for one in self.received)
