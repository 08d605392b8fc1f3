"""A real OpenAI-compatible server on this machine that counts requests and answers when the test says so.

with Gate(lambda request: request.wait_for(2) or request.fail(401)) as gate:
    ... gate.address, gate.count
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import pytest

PATIENCE = 120.0  # seconds, for a test that would hang otherwise


@dataclass
class Request:
    """One request: its number, from 1, and how it is answered."""

    number: int
    body: dict[str, Any]
    gate: Gate
    status: int = 200
    value: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def wait_for(self, count: int) -> None:
        """Until so many requests are there."""
        with self.gate.changed:
            assert self.gate.changed.wait_for(lambda: self.gate.count >= count, PATIENCE)

    def wait_until_answered(self, number: int) -> None:
        """Until request `number` has its answer."""
        with self.gate.changed:
            assert self.gate.changed.wait_for(lambda: number in self.gate.answered, PATIENCE)

    def hold(self) -> None:
        """Until the test calls `gate.release()`."""
        assert self.gate.released.wait(PATIENCE)

    def say(self, text: str) -> None:
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": self.body.get("model")}
        self.value = {**head, "choices": [choice], "usage": usage}

    def fail(self, status: int, code: str | None = None, **headers: str) -> None:
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.value = {"error": {"message": "no", "type": "error", "code": code}}


class Gate:
    """The server; `answer(request)` runs in the request's thread and says something or fails."""

    def __init__(self, answer: Callable[[Request], object]) -> None:
        self.answer = answer
        self.changed = threading.Condition()
        self.released = threading.Event()
        self.count = 0
        self.answered: set[int] = set()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with gate.changed:
                    gate.count += 1
                    request = Request(gate.count, body, gate)
                    gate.changed.notify_all()
                gate.answer(request)
                raw = json.dumps(request.value).encode()
                self.send_response(request.status)
                for name, text in {"content-type": "application/json", **request.headers}.items():
                    self.send_header(name, text)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                try:
                    self.wfile.write(raw)
                    self.wfile.flush()
                except OSError:
                    self.close_connection = True
                with gate.changed:
                    gate.answered.add(request.number)
                    gate.changed.notify_all()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}/v1"

    def release(self) -> None:
        self.released.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self.server.shutdown()
        self.server.server_close()


def known_by_the_client(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once an error has ended the work on our side: a reply that waits for it cannot come before."""
    from core.stopping import Halt

    known, plain = threading.Event(), Halt.set

    def told(self: Halt, reason: BaseException | None = None) -> None:
        plain(self, reason)
        if reason is not None:
            known.set()

    monkeypatch.setattr(Halt, "set", told)
    return known


def threads_end(*names: str) -> None:
    """Join all threads whose names begin so: whatever they would still have begun, they have begun then."""
    for thread in threading.enumerate():
        if thread.name.startswith(names):
            thread.join(PATIENCE)
            assert not thread.is_alive()
