"""An OpenAI-compatible server (chat completions, with streaming) that fails on demand. Standard library only.

    python tests/servers/openai_wire.py      # prints its port, then serves on 127.0.0.1 until it is ended

The model's name says how a request is answered, see `Handler.behave`. `GET /requests/<model>` gives back
everything that was received for a model: [{"headers": {...}, "body": {...}}, ...].
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RECEIVED: dict[str, list[dict[str, Any]]] = defaultdict(list)
LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test's output is not ours."""

    def do_GET(self) -> None:
        self.send(200, RECEIVED[self.path.rpartition("/")[2]])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with LOCK:
            seen = RECEIVED[body["model"]]
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen.append({"headers": headers, "body": body, "at": time.monotonic()})
            turn = len(seen)
        if self.path != "/v1/chat/completions":
            self.error(404, f"no such path: {self.path}")
        else:
            self.behave(body, turn)

    def behave(self, body: dict[str, Any], turn: int) -> None:
        """`turn` counts the requests for this model, from 1."""
        name = body["model"].partition(".")[0]
        if name == "unauthorized":
            self.error(401, f"Incorrect API key provided: {self.headers['authorization'].removeprefix('Bearer ')}")
        elif name == "missing":
            self.error(404, "The model `missing` does not exist", code="model_not_found")
        elif name == "bad-request":
            self.error(400, "messages: nothing to\n\x1b[31m answer")
        elif name == "busy-once" and turn == 1:
            self.error(429, "Rate limit reached", headers={"Retry-After": "1"})
        elif name == "busy-for-an-hour":
            self.error(429, "Rate limit reached", headers={"Retry-After": "3600"})
        elif name == "no-quota":
            self.error(429, "You exceeded your current quota", code="insufficient_quota")
        elif name == "broken-once" and turn == 1 or name == "broken":
            self.error(500, "The server had an error")
        elif name == "slow":
            time.sleep(30)
        elif name == "hangs-up-once" and turn == 1:
            self.close_connection = True
            self.connection.close()
        elif name == "filtered-request":
            self.error(400, "The response was filtered", code="content_filter")
        elif name == "filtered-reply":
            self.reply(body, "", "content_filter")
        elif name == "empty":
            self.reply(body, "", "stop")
        elif name == "blank":
            self.reply(body, " \n ", "stop")
        elif name == "thinker":
            enough = int(body.get("max_tokens") or body.get("max_completion_tokens") or 0) > 500
            self.reply(body, "What is it?" if enough else "", "stop" if enough else "length")
        elif name == "thinks-aloud":
            self.reply(body, "<think>A cat? I should ask.</think>\n\nWhat is it?", "stop")
        elif name == "breaks-off":
            self.reply(body, "What is", None, cut=True)
        else:
            self.reply(body, "Is it day or night?", "stop")

    def reply(self, body: dict[str, Any], text: str, reason: str | None, *, cut: bool = False) -> None:
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
            usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
            self.send(200, head | {"object": "chat.completion", "choices": [choice], "usage": usage})
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        if cut:
            self.send_header("content-length", "100000")  # promised, not kept: a connection that broke
        self.end_headers()
        deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
        deltas += [({"content": piece}, None) for piece in text.replace(" ", " \0").split("\0") if piece]
        deltas += [] if cut else [({}, reason)]
        for delta, finish in deltas:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            chunk = head | {"object": "chat.completion.chunk", "choices": [choice]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        if not cut:
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def error(self, status: int, message: str, *, code: str = "", headers: dict[str, str] | None = None) -> None:
        self.send(status, {"error": {"message": message, "type": "error", "code": code or None}}, headers)

    def send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        raw = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, text)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
