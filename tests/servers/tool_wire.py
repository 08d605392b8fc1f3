"""An OpenAI-compatible server whose model calls tools. Standard library only; no model is behind it, it follows a plan.

    python tests/servers/tool_wire.py      # prints its port, then serves on 127.0.0.1 until it is ended

It insists on what the API insists on: every tool call of an assistant message is answered by a tool message, and tools
that are called were offered. The model's name says what it does, see `Handler.behave`. `GET /requests/<model>` gives
back the bodies of all requests for a model; `GET /go/<model>` lets one that `waits` go on after its first words.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RECEIVED: dict[str, list[dict[str, Any]]] = defaultdict(list)
LOCK = threading.Lock()
GO: dict[str, threading.Event] = defaultdict(threading.Event)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test's output is not ours."""

    def do_GET(self) -> None:
        model = self.path.rpartition("/")[2]
        if self.path.startswith("/go/"):
            GO[model].set()
        self.send(200, RECEIVED[model])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with LOCK:
            RECEIVED[body["model"]].append(body)
            turn = len(RECEIVED[body["model"]])
        problem = self.problem(body)
        if problem:
            self.error(400, problem)
        else:
            self.behave(body, turn)

    @staticmethod
    def problem(body: dict[str, Any]) -> str:
        """What the real API would refuse, "" where there is nothing."""
        waiting: list[str] = []
        for message in body["messages"]:
            if message["role"] == "tool":
                if message["tool_call_id"] not in waiting:
                    return "a tool message must answer a tool call of the preceding assistant message"
                waiting.remove(message["tool_call_id"])
            elif waiting:
                return f"these tool calls have no tool message: {', '.join(waiting)}"
            waiting += [call["id"] for call in message.get("tool_calls") or ()]
        return f"these tool calls have no tool message: {', '.join(waiting)}" if waiting else ""

    def behave(self, body: dict[str, Any], turn: int) -> None:
        """`turn` counts the requests for this model, from 1."""
        name = body["model"].partition(".")[0]
        offered = [tool["function"]["name"] for tool in body.get("tools") or ()]
        if name == "no-tools" and offered:
            self.error(400, "this model does not support tools")
        elif name == "busy-once" and turn == 1:
            self.error(429, "Rate limit reached", {"Retry-After": "0"})
        elif name == "no-stream" and body.get("stream"):
            self.error(400, "Cannot use tools with stream")
        elif name == "busy-with-its-upstream" and turn == 1:
            self.error(502, "upstream connect error", {"Retry-After": "0"})
        elif name == "unauthorized":
            self.error(401, "Incorrect API key provided")
        elif not offered:  # as the questioner of an interview
            self.reply(body, "What colour is it?")
        elif body["messages"][-1]["role"] == "user":
            question = {"picture": 1, "question": "What is it?"}
            calls = [("ask_about_picture", json.dumps(question))]
            if name == "curious":
                calls += [("ask_about_picture", '{"picture": 9, "question": "What is it?"}'), ("nonsense", "{}")]
            if name == "clumsy":
                calls = [("ask_about_picture", '{"picture": "one"}')]
            self.reply(body, None, calls)
        else:
            heard = [message["content"] for message in body["messages"] if message["role"] == "tool"]
            thoughts = "<think>A plant? I should say so.</think>\n\n" if name == "thinks" else ""
            self.reply(body, f"{thoughts}I heard: " + " | ".join(heard))

    def reply(self, body: dict[str, Any], text: str | None, calls: list[tuple[str, str]] | None = None) -> None:
        if body.get("stream") and not body["model"].startswith("ignores-stream"):
            self.stream(body, text, calls or [])
            return
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if calls:
            message["tool_calls"] = [
                {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
                for number, (name, arguments) in enumerate(calls)
            ]
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"], "object": "chat.completion"}
        self.send(200, head | {"choices": [choice], "usage": usage})

    def stream(self, body: dict[str, Any], text: str | None, calls: list[tuple[str, str]]) -> None:
        """Word by word, then the tool calls, whose arguments come in two halves. Nothing of it waits for a packet."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        name = body["model"].partition(".")[0]
        if name == "breaks-off":
            self.send_header("content-length", "100000")  # promised, not kept: a connection that broke
        self.end_headers()
        self.close_connection = True
        words = (text or "").replace(" ", " \0").split("\0")
        for number, word in enumerate(words):
            if number == 2 and not calls and name in ("waits", "breaks-off"):
                if name == "breaks-off":
                    return
                GO[body["model"]].wait(60)
            self.chunk(body, {"role": "assistant", "content": word} if number == 0 else {"content": word})
        for index, (tool, arguments) in enumerate(calls):
            half = len(arguments) // 2
            function = {"name": tool, "arguments": arguments[:half]}
            begun = {"index": index, "id": f"call_{index}", "type": "function", "function": function}
            self.chunk(body, {"tool_calls": [begun]})
            self.chunk(body, {"tool_calls": [{"index": index, "function": {"arguments": arguments[half:]}}]})
        self.chunk(body, {}, "tool_calls" if calls else "stop")
        self.wfile.write(b"data: [DONE]\n\n")

    def chunk(self, body: dict[str, Any], delta: dict[str, Any], reason: str | None = None) -> None:
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"], "object": "chat.completion.chunk"}
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        self.wfile.write(f"data: {json.dumps(head | {'choices': [choice]})}\n\n".encode())
        self.wfile.flush()

    def error(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        self.send(status, {"error": {"message": message, "type": "error", "code": None}}, headers)

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
