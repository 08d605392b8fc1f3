"""The worker of `core.isolated.backend`: runs a model in a process of another Python environment.

    other/bin/python worker.py FILE.py:Class ARGUMENT
    other/bin/python worker.py package.module:Class ARGUMENT

It needs Python 3.8 or newer, and nothing of Inquisight. The model gets Pillow images if that environment has Pillow.
docs/isolated.md describes the model's class.

A frame is `MAGIC`, the header's length (4 bytes, big-endian), the payload's length (8 bytes), the header in JSON, the
payload. The payload of `encode` is the RGB bytes of the pictures, row by row. Requests, each with an `id` that its
reply repeats:

    hello   {protocol}                                     -> {protocol, python}
    load    {keep}                                         -> {revision, size, batch, description, scores}
    encode  {pictures: [{key, width, height}]} + payload   -> {}
    answer  {questions: [{key, question, history, options}]} -> {answers} or {missing: [key]}
    score   {questions: [{..., choices}]}                  -> {scores} or {missing: [key]}; where `load` said `scores`
    close   {}                                             -> {}

Any reply may be {error: {message, expected}} instead; `expected`: the message is written for users.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import platform
import queue
import struct
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, BinaryIO

PROTOCOL = 1
MAGIC = b"INQ\x01"
MAX_HEADER = 64 << 20
MAX_PAYLOAD = 4 << 30
GRACE = 2.0  # seconds that the model gets to close itself
_START = struct.Struct(">4sIQ")
_PIECE = 1 << 20


class ProtocolError(Exception):
    """The bytes in the pipe are not a frame."""


def write_frame(stream: BinaryIO, header: dict[str, Any], payload: Iterable[bytes] = ()) -> None:
    """Send one frame; the pieces of `payload` are not joined in memory."""
    pieces = list(payload)
    text = json.dumps(header).encode("ascii")
    stream.write(_START.pack(MAGIC, len(text), sum(len(piece) for piece in pieces)) + text)
    for piece in pieces:
        stream.write(piece)
    stream.flush()


def read_frame(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next frame, or None at the end of the pipe. Raises ProtocolError."""
    start = _read(stream, _START.size)
    if not start:
        return None
    if start[: len(MAGIC)] != MAGIC[: len(start)]:
        raise ProtocolError(f"what it sent begins with {start!r}")
    if len(start) < _START.size:
        raise ProtocolError("the pipe ended within a frame")
    _, header_length, payload_length = _START.unpack(start)
    if header_length > MAX_HEADER or payload_length > MAX_PAYLOAD:
        raise ProtocolError(f"it announced a frame of {header_length} and {payload_length} bytes")
    text = _read(stream, header_length)
    payload = _read(stream, payload_length)
    if len(text) < header_length or len(payload) < payload_length:
        raise ProtocolError("the pipe ended within a frame")
    try:
        header = json.loads(text)
    except ValueError:
        raise ProtocolError("a frame's header is not JSON") from None
    if not isinstance(header, dict):
        raise ProtocolError("a frame's header is no JSON object")
    return header, payload


def _read(stream: BinaryIO, size: int) -> bytes:
    """`size` bytes, fewer only at the end of the pipe."""
    parts = []
    while size:
        part = stream.read(min(size, _PIECE))
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Host:
    """Answers requests one by one; a second thread watches for the end of the pipe."""

    def __init__(self, make: Callable[[], Any], incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._make = make
        self._incoming = incoming
        self._outgoing = outgoing
        self._requests: queue.Queue[tuple[dict[str, Any], bytes]] = queue.Queue()
        self._closing = False
        self._done = threading.Event()
        self._model: Any = None
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._keep = 1

    def run(self) -> None:
        """Serve requests until `close`."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            header, payload = self._requests.get()
            operation = str(header.get("op"))
            reply: dict[str, Any]
            try:
                handler = getattr(self, "do_" + operation, None)
                if handler is None:
                    raise ProtocolError("unknown request " + operation)
                reply = handler(header, payload)
            # some libraries call sys.exit() on failure
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may raise anything
                traceback.print_exc()
                expected = bool(getattr(error, "for_people", False))
                text = str(error).strip().partition("\n")[0]
                message = text if expected and text else f"{type(error).__name__}: {text}"
                reply = {"error": {"message": message, "expected": expected}}
            write_frame(self._outgoing, dict(reply, id=header.get("id")))
            if operation == "close":
                self._done.set()
                return

    def _listen(self) -> None:
        """End the process when the pipe ends, since a library's running work cannot be interrupted."""
        try:
            while True:
                frame = read_frame(self._incoming)
                if frame is None:
                    break
                self._closing = self._closing or frame[0].get("op") == "close"
                self._requests.put(frame)
        except (ProtocolError, OSError) as error:
            print(f"inquisight: the pipe broke: {error}", file=sys.stderr, flush=True)
        if self._closing:
            self._done.wait(GRACE)
        os._exit(0)

    def do_hello(self, header: dict[str, Any], payload: bytes) -> dict[str, Any]:
        """Report protocol and Python version; the model is not loaded yet."""
        return {"protocol": PROTOCOL, "python": platform.python_version()}

    def do_load(self, header: dict[str, Any], payload: bytes) -> dict[str, Any]:
        """Load the model."""
        self._keep = max(int(header["keep"]), 1)
        self._model = self._make()
        size = getattr(self._model, "size", None)
        describe = getattr(self._model, "describe", dict)
        return {
            "revision": str(self._model.revision),
            "size": [int(length) for length in size] if size else None,
            "batch": max(int(getattr(self._model, "batch", 1)), 1),
            "scores": hasattr(self._model, "score"),
            "description": {str(key): str(value) for key, value in describe().items()},
        }

    def do_encode(self, header: dict[str, Any], payload: bytes) -> dict[str, Any]:
        """Encode pictures and keep the results."""
        pictures = []
        place = 0
        for entry in header["pictures"]:
            length = 3 * entry["width"] * entry["height"]
            pictures.append(_picture(entry["width"], entry["height"], payload[place : place + length]))
            place += length
        if place != len(payload):
            raise ProtocolError(f"expected {place} bytes of pictures, found {len(payload)}")
        values = list(self._model.encode(pictures))
        if len(values) != len(pictures):
            raise ValueError(f"the model encoded {len(pictures)} pictures into {len(values)} values")
        for entry, value in zip(header["pictures"], values):  # noqa: B905 - Python 3.8 has no strict
            self._kept[entry["key"]] = value
            self._kept.move_to_end(entry["key"])
        while len(self._kept) > max(self._keep, len(pictures)):
            self._kept.popitem(last=False)
        return {}

    def do_answer(self, header: dict[str, Any], payload: bytes) -> dict[str, Any]:
        """Answer questions, or report pictures that are no longer kept."""
        missing, questions = self._questions(header["questions"])
        if missing:
            return {"missing": missing}
        answers = list(self._model.answer(questions))
        if len(answers) != len(questions) or not all(isinstance(answer, str) for answer in answers):
            raise ValueError(f"the model must give one string for each of {len(questions)} questions")
        return {"answers": answers}

    def do_score(self, header: dict[str, Any], payload: bytes) -> dict[str, Any]:
        """Score the choices of questions, or report pictures that are no longer kept."""
        missing, questions = self._questions(header["questions"])
        if missing:
            return {"missing": missing}
        scores = [[float(value) for value in one] for one in self._model.score(questions)]
        if [len(one) for one in scores] != [len(one.choices) for one in questions]:
            raise ValueError(f"the model must give one number for each choice of {len(questions)} questions")
        return {"scores": scores}

    def _questions(self, asked: list[dict[str, Any]]) -> tuple[list[str], list[Any]]:
        """Keys of pictures that are no longer kept, or the questions as a model gets them."""
        missing = sorted({one["key"] for one in asked if one["key"] not in self._kept})
        if missing:
            return missing, []
        questions = []
        for one in asked:
            self._kept.move_to_end(one["key"])
            question = SimpleNamespace(
                image=self._kept[one["key"]],
                question=one["question"],
                history=[(pair[0], pair[1]) for pair in one["history"]],
                **one["options"],
            )
            if "choices" in one:
                question.choices = list(one["choices"])
            questions.append(question)
        return [], questions

    def do_close(self, header: dict[str, Any], payload: bytes) -> dict[str, Any]:
        """Call the model's `close`, if it has one."""
        close = getattr(self._model, "close", None)
        if close is not None:
            close()
        return {}


def find(target: str) -> Any:
    """Import what "FILE.py:Class" or "package.module:Class" names."""
    module_name, _, attribute = target.rpartition(":")
    if module_name.endswith(".py"):
        name = "isolated_" + hashlib.sha256(module_name.encode("utf-8", "replace")).hexdigest()[:12]
        spec = importlib.util.spec_from_file_location(name, module_name)
        if spec is None or spec.loader is None:
            raise ImportError(f"{module_name} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up there
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(module_name)
    return getattr(module, attribute)


def _picture(width: int, height: int, rgb: bytes) -> Any:
    try:
        from PIL import Image
    except ImportError:
        return SimpleNamespace(width=width, height=height, rgb=rgb)
    return Image.frombytes("RGB", (width, height), rgb)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move the two pipes to new descriptors, so that no library reads from or prints into them."""
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(incoming, "rb"), os.fdopen(outgoing, "wb")


def main(arguments: list[str]) -> int:
    """Serve the model that the command line names."""
    if len(arguments) not in (1, 2) or ":" not in arguments[0]:
        print("usage: worker.py MODULE:CLASS|FILE.py:CLASS [ARGUMENT]", file=sys.stderr)
        return 2
    incoming, outgoing = _take_pipes()
    target, argument = arguments[0], "".join(arguments[1:])
    Host(lambda: find(target)(argument), incoming, outgoing).run()
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # do not wait for threads of libraries
