"""A real server (uvicorn, a socket) around a fake vision model, in a thread of the test."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import httpx
import uvicorn

from agents.interview.protocol import InterviewOptions
from agents.llm.questioners import load_questioner
from core.errors import BackendError
from core.images.picture import Picture
from core.vision import Reply, VisualQuestion
from serving.openai.app import make_app
from serving.openai.metrics import Metrics
from serving.openai.models import Offer
from serving.queued import queued
from tests.fakes import FakeVision
from tests.pictures import encoded

COLOURS = ("red", "green", "blue", "orange", "purple", "yellow")


class ColourVision(FakeVision):
    """A fake that knows the colour of a picture, and says it in a sentence or in one word.

    "secret" raises an error with a path, "many" gives many words, "hold" waits for `gate`. Batches are noted.
    """

    label: ClassVar[str] = "colours"
    streams: ClassVar[bool] = True

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[int] = []
        self.encodings: list[int] = []
        self.pieces_sent = 0

    def keep(self, picture: Picture) -> Any:
        return picture.image.getpixel((0, 0))

    def encode(self, pictures: Sequence[Picture]) -> Any:
        self.encodings.append(len(pictures))
        return super().encode(pictures)

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        return [reply.text for reply in self.replies(questions)]

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        self.batches.append(len(questions))
        return [self._reply(question) for question in questions]

    def _reply(self, question: VisualQuestion) -> Reply:
        words = question.question or "caption"
        if "secret" in words:
            raise BackendError("/home/owner/weights/model.safetensors is damaged.")
        if "hold" in words:
            assert self.gate.wait(60)
        if "many" in words:
            text = " ".join(f"word{number}" for number in range(question.options.max_new_tokens))
            return Reply(text, "length", 7, question.options.max_new_tokens)
        history = f" after {len(question.history)} turns" if question.history else ""
        seed = f" by seed {question.options.seed}" if question.options.temperature else ""
        return Reply(f"It is rgb{question.image.data}{history}{seed}, to {words}".replace(" ,", ","), "stop", 11, 5)

    def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
        reply = self._reply(question)
        words = reply.text.split(" ")
        for number, word in enumerate(words):
            self.pieces_sent += 1
            yield word if number == 0 else f" {word}"
        self.batches.append(1)
        yield reply

    def score(self, questions: Sequence[VisualQuestion], choices: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        """The first choice is likelier, the earlier the better."""
        return [tuple(-float(place + 1) for place in range(len(each))) for each in choices]


def data_url(colour: str = "red", **options: Any) -> str:
    return "data:image/png;base64," + base64.b64encode(encoded(colour, **options)).decode()


def asking(text: str, *colours: str) -> list[dict[str, Any]]:
    """The messages of one question about pictures, by default about a red one."""
    pictures = [{"type": "image_url", "image_url": {"url": data_url(colour)}} for colour in colours or ("red",)]
    return [{"role": "user", "content": [{"type": "text", "text": text}, *pictures]}]


class Served:
    """A running server and its address."""

    def __init__(self, vision: Any, address: str, metrics: Metrics) -> None:
        self.vision, self.address, self.metrics = vision, address, metrics
        limits = httpx.Limits(max_connections=None)
        self.client = httpx.Client(base_url=address, timeout=120, trust_env=False, verify=False, limits=limits)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def post(self, body: Any, **options: Any) -> httpx.Response:
        return self.client.post("/v1/chat/completions", json=body, **options)

    def ask(self, text: str, *colours: str, **fields: Any) -> httpx.Response:
        return self.post({"model": "colours", "messages": asking(text, *colours), **fields})


@contextmanager
def serving(vision: Any = None, *, questioner: Any = None, batch: int = 32, **options: Any) -> Iterator[Served]:
    """The server; its port is free and its threads end with the block."""
    vision = vision or ColourVision()
    metrics = Metrics()
    own = queued(vision, batch=batch, seen=metrics.saw_batch)
    interview = InterviewOptions(rounds=4)
    offer = Offer([own], questioner or load_questioner("scripted"), interview)
    app = make_app(offer, metrics, **options)
    config = uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        served = Served(vision, f"http://127.0.0.1:{port}", metrics)
        with served.client:
            yield served
    finally:
        vision.gate.set() if hasattr(vision, "gate") else None
        server.should_exit = True
        thread.join(60)
        own.close()
