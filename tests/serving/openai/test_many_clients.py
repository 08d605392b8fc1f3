"""Many clients at once: batches, one encoding per picture, no mix-up, a limit, and places that become free."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core.vision import VisualQuestion
from tests.serving.openai.serving_world import COLOURS, ColourVision, Served, asking, serving


class Gate(ColourVision):
    """Its first call waits until the test has sent everything else."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def replies(self, questions: Any) -> Any:
        self.begun.set()
        assert self.gate.wait(120)
        return super().replies(questions)


def waiting(served: Served, count: int) -> None:
    """Return once that many requests wait for the vision model."""
    while served.get("/health").json()["waiting"] < count:
        threading.Event().wait(0.02)


def test_64_clients_share_batches_and_get_their_own_answers() -> None:
    vision = Gate()
    with serving(vision) as served, ThreadPoolExecutor(66) as pool:
        vision.gate.clear()
        first = pool.submit(served.ask, "first")
        assert vision.begun.wait(60)
        asked = [(f"question {number}", COLOURS[number % 3]) for number in range(64)]
        # Pictures that the server knows need no place in the queue before their question.
        answers = [pool.submit(served.ask, text, colour) for text, colour in asked]
        waiting(served, 3)
        vision.gate.set()
        assert first.result().is_success
        for (text, colour), answer in zip(asked, answers, strict=True):
            told = answer.result().json()["choices"][0]["message"]["content"]
            rgb = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255)}[colour]
            assert told == f"It is rgb{rgb}, to {text}"
    assert sum(vision.encodings) == 3, "each picture once"
    assert sum(vision.batches) == 65 and len(vision.batches) < 40, "and questions in batches"


def test_the_same_words_with_another_picture_get_another_answer(server: Served) -> None:
    answers = {server.ask("What?", colour).json()["choices"][0]["message"]["content"] for colour in COLOURS}
    assert len(answers) == len(COLOURS)


def test_too_many_requests_are_told_when_to_come_back() -> None:
    vision = Gate()
    vision.gate.clear()
    with serving(vision, queue=2) as served, ThreadPoolExecutor(2) as pool:
        held = [pool.submit(served.ask, "What?"), pool.submit(served.ask, "What?")]
        while served.get("/health").json()["active"] < 2:
            threading.Event().wait(0.02)
        refused = served.ask("What?")
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
        vision.gate.set()
        assert all(one.result().is_success for one in held)
        assert served.ask("What?").is_success


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_place(stream: bool) -> None:
    """Its request waits behind another one, and is never answered."""
    vision = Gate()
    vision.gate.clear()
    with serving(vision, queue=2) as served, ThreadPoolExecutor(2) as pool:
        first = pool.submit(served.ask, "first")
        assert vision.begun.wait(60)
        leaving = send(served, {"model": "colours", "messages": asking("leaving"), "stream": stream})
        waiting(served, 1)
        leaving.close()
        while served.get("/health").json()["active"] > 1:
            threading.Event().wait(0.02)
        assert served.get("/health").json()["waiting"] == 0
        vision.gate.set()
        assert first.result().is_success and served.ask("next").is_success
        assert sum(vision.batches) == 2, "nobody asked the model for the one that left"
        assert "inquisight_clients_left_total 1.0" in served.get("/metrics").text


def send(served: Served, body: Any) -> socket.socket:
    """A request whose answer nobody reads."""
    host, port = served.address.removeprefix("http://").split(":")
    data = json.dumps(body).encode()
    connection = socket.create_connection((host, int(port)))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return connection


def test_a_client_that_leaves_in_the_middle_of_a_stream_ends_it() -> None:
    class Endless(ColourVision):
        def pieces(self, question: VisualQuestion) -> Any:
            while True:
                yield "word "
                threading.Event().wait(0.01)  # as a model takes for a word

    vision = Endless()
    with serving(vision) as served:
        connection = send(served, {"model": "colours", "messages": asking("What?"), "stream": True})
        while b"word" not in connection.recv(4096):
            pass
        connection.close()
        while served.get("/health").json()["active"]:
            threading.Event().wait(0.02)
        assert served.get("/health").json()["waiting"] == 0


def test_metrics_count_requests_batches_and_tokens() -> None:
    with serving() as served:
        served.ask("What?")
        served.ask("What?", model="other")
        served.ask("What?", temperature=9)
        told = served.get("/metrics").text
    assert 'inquisight_requests_total{model="colours",status="200"} 1.0' in told
    assert 'inquisight_tokens_total{kind="read"} 11.0' in told
    assert 'inquisight_batch_size_count{call="encode"} 1.0' in told
    assert "inquisight_active_requests 0.0" in told


def test_interviews_of_several_clients_share_batches() -> None:
    with serving() as served, ThreadPoolExecutor(6) as pool:
        asked = [
            pool.submit(served.post, {"model": "interview/colours", "messages": asking("", colour)})
            for colour in COLOURS
        ]
        captions = [one.result().json()["inquisight"]["caption"] for one in asked]
    assert all(caption["status"] == "complete" for caption in captions)
    assert len({caption["plain"] for caption in captions}) == len(COLOURS)
    assert sum(served.vision.encodings) == len(COLOURS)
