"""`openai_wire.py` with eyes: it decodes the pictures it is sent and answers with their sizes and average colours.

    python tests/servers/openai_eye.py      # prints its port, then serves on 127.0.0.1 until it is ended

`GET /peak/<model>` gives back how many requests for a model that `meets` were there at the same time, at most.
"""

from __future__ import annotations

import base64
import io
import json
import math
import threading
from collections import defaultdict
from http.server import ThreadingHTTPServer
from typing import Any

from openai_wire import Handler
from PIL import Image

BUSY: dict[str, int] = defaultdict(int)
PEAK: dict[str, int] = defaultdict(int)
BARRIERS: dict[str, threading.Barrier] = {}
LOCK = threading.Lock()


def seen(url: str) -> str:
    """ "64x48 #c81e1e" of a data URL. Raises where it holds no picture."""
    head, _, data = url.partition(",")
    kind = head.removeprefix("data:image/").removesuffix(";base64")
    image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    assert image.format == kind.upper(), f"{head} holds a {image.format}"
    red, green, blue = image.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return f"{image.width}x{image.height} #{red:02x}{green:02x}{blue:02x}"


def told(content: Any) -> str:
    """A message's content as words: pictures as what they show, in the order in which they stand."""
    if isinstance(content, str):
        return content
    parts = [seen(part["image_url"]["url"]) if part["type"] == "image_url" else part["text"] for part in content]
    return ", ".join(parts)


SCHEMA = "fits this JSON Schema, and nothing else:\n"


def filled(talk: list[str]) -> str:
    """What a chatty model makes of a schema: words alone, then a property too few, then what was asked for."""
    schema = json.loads(next(part for part in talk if SCHEMA in part).partition(SCHEMA)[2])
    values = {name: 1 if one.get("type") == "integer" else f"a {name}" for name, one in schema["properties"].items()}
    repaired = sum("That does not fit" in part for part in talk)
    if repaired == 0:
        return "Sure! I will gladly answer in JSON {as you like}."
    if repaired == 1:
        values.popitem()
    return f"Here it is:\n```json\n{json.dumps(values)}\n```\nIs there anything else?"


class Eye(Handler):
    """The model's name says what happens; those that `openai_wire.py` knows behave as there."""

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        if self.path.startswith("/peak/"):
            self.send(200, PEAK[self.path.rpartition("/")[2]])
        else:
            super().do_GET()

    def behave(self, body: dict[str, Any], turn: int) -> None:
        name, _, detail = body["model"].partition(".")
        detail = detail.partition(".")[0]
        talk = [f"{message['role']}: {told(message['content'])}" for message in body["messages"]]
        pictures = sum(part.count("#") for part in talk)
        if name == "fills" and any(SCHEMA in part for part in talk):
            self.tell(body, filled(talk), pictures)
        elif name in ("looks", "fills"):
            self.tell(body, " | ".join(talk), pictures)
        elif name == "meets":  # answers once so many requests are there at the same time
            with LOCK:
                BUSY[body["model"]] += 1
                PEAK[body["model"]] = max(PEAK[body["model"]], BUSY[body["model"]])
                barrier = BARRIERS.setdefault(body["model"], threading.Barrier(int(detail)))
            barrier.wait(60)
            with LOCK:
                BUSY[body["model"]] -= 1
            self.tell(body, talk[-1], pictures)
        elif name == "refuses" and detail in body:
            self.error(
                400, f"Unsupported value: '{detail}' is not supported with this model.", code="unsupported_value"
            )
        elif name == "refuses":
            self.tell(body, f"without {detail}", pictures)
        elif name == "odds":  # the question is the answer: [[token, probability], ...] at each place, its own first
            places = json.loads(body["messages"][-1]["content"][-1]["text"])
            listed = [[{"token": token, "logprob": math.log(odds)} for token, odds in place] for place in places]
            content = [{**one[0], "bytes": None, "top_logprobs": one[: body.get("top_logprobs", 0)]} for one in listed]
            self.tell(body, "".join(one["token"] for one in content), pictures, {"content": content})
        elif name == "few" and body.get("top_logprobs", 0) > 5:
            self.error(400, "top_logprobs must be less than or equal to 5.", code="invalid_value")
        elif name == "few":
            self.tell(body, "No, it is not.", pictures)
        elif name == "too-long":
            self.error(400, "This model's maximum context length is 4096 tokens.", code="context_length_exceeded")
        elif name == "forbidden":
            self.error(403, "Country not supported")
        elif name == "hates-blue" and "#0000ff" in talk[-1]:
            self.error(400, "The response was filtered", code="content_filter")
        elif name == "hates-blue":
            self.tell(body, "fine", pictures)
        elif name == "page":
            raw = b"<html>Welcome to the router</html>"
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)
        elif name == "blank":
            self.tell(body, " \n", pictures)
        else:
            super().behave(body, turn)

    def tell(self, body: dict[str, Any], text: str, pictures: int, logprobs: Any = None) -> None:
        """An answer, streamed or whole, that counts 100 tokens a picture and one a word."""
        usage = {"prompt_tokens": 10 + 100 * pictures, "completion_tokens": len(text.split())}
        usage["total_tokens"] = sum(usage.values())
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            choice |= {"logprobs": logprobs} if logprobs else {}
            self.send(200, head | {"object": "chat.completion", "choices": [choice], "usage": usage})
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        head["object"] = "chat.completion.chunk"
        for piece in [*text.replace(" ", " \0").split("\0"), None]:
            delta = {"content": piece} if piece else {}
            choice = {"index": 0, "delta": delta, "finish_reason": None if piece else "stop"}
            self.wfile.write(f"data: {json.dumps(head | {'choices': [choice]})}\n\n".encode())
        if (body.get("stream_options") or {}).get("include_usage"):
            self.wfile.write(f"data: {json.dumps(head | {'choices': [], 'usage': usage})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Eye)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
