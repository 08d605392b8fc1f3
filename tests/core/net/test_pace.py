"""One pace per server: what it asks one caller to wait holds for all, whoever they are."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import HumanMessage

from agents.llm.providers import server_of
from agents.llm.questioners import load_questioner
from core.net.remote import Hold, Pace, origin, pace_of, retrying
from core.settings import Settings
from core.testing import make_picture
from core.vision import VisualQuestion
from plugins.openai_vision.backend import OpenAIBackend
from tests.agents.llm.asking import ask
from tests.servers.raw import Raw, raw_server, said, whole


class Time:
    """A clock that only moves while somebody sleeps. `during` happens in the middle of the first sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.during: Any = None

    def pace(self, rate: float | None = None, hold: Hold | None = None) -> Pace:
        return Pace(rate, hold=hold, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float, stop: threading.Event) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds
        if self.during is not None:
            during, self.during = self.during, None
            during()


class BusyError(Exception):
    """429 with Retry-After."""

    def __init__(self, seconds: str) -> None:
        super().__init__("slow down")
        self.status_code = 429
        self.response = type("Response", (), {"status_code": 429, "headers": {"retry-after": seconds}})()


def test_calls_come_at_their_rate() -> None:
    time = Time()
    pace = time.pace(4)
    for _ in range(4):
        pace.wait()
    assert time.slept == [0.25, 0.25, 0.25]


def test_a_hold_holds_all_paces_of_a_server_and_those_who_wait_already() -> None:
    time, hold = Time(), Hold()
    slow, free = time.pace(1, hold), time.pace(None, hold)
    slow.wait()
    time.during = lambda: free.hold(30)
    slow.wait()
    assert time.slept == [1, 30], "its turn had come, but the server asked to wait meanwhile"
    free.wait()
    assert time.slept == [1, 30]


def test_a_caller_that_gives_up_lets_the_others_wait_all_the_same() -> None:
    time = Time()
    pace = time.pace()

    def call() -> None:
        raise BusyError("20")

    with pytest.raises(BusyError):
        retrying(call, retries=0, pace=pace)
    pace.wait()
    assert len(time.slept) == 1 and 20 <= time.slept[0] < 20.2


def test_a_call_that_is_called_off_waits_no_more() -> None:
    time = Time()
    pace, stop = time.pace(), threading.Event()
    pace.hold(3600)
    time.during = stop.set
    pace.wait(stop)
    assert len(time.slept) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://HOST:80/v1", "http://host/v2", True),
        ("https://host/v1", "https://host:443", True),
        ("http://host:8000/v1", "http://host:8001/v1", False),
        ("http://host/v1", "https://host/v1", False),
        ("anthropic", "anthropic", True),
        ("anthropic", "groq", False),
    ],
)
def test_a_server_is_its_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert (origin(one) == origin(other)) is same
    assert (pace_of(one) is pace_of(other)) is same


def test_vision_models_and_questioners_share_the_pace_of_a_server() -> None:
    settings = Settings(base_url="http://127.0.0.1:9/v1", requests_per_second=3.0)
    vision = OpenAIBackend("m", settings=settings)
    questioners = [load_questioner(f"openai:{name}", settings) for name in ("a", "b")]
    paces = {id(pace_of(server_of(one), settings.requests_per_second)) for one in questioners}
    assert paces == {id(vision.server.pace)}
    assert pace_of(server_of(questioners[0]))._hold is vision.server.pace._hold, "a hold is shared at any rate"


def test_a_busy_server_gets_no_call_from_anybody_before_it_wants_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its order of requests: the one that was refused, then both of them again, none in between."""
    order: list[str] = []
    held = threading.Event()
    with raw_server() as server:
        settings = Settings(base_url=server.url, max_retries=2, timeout=20.0)
        busy, other = (f"{name}-{uuid4().hex}" for name in ("busy", "other"))
        refusal = Raw(b'{"error": {"message": "slow down"}}', 429, headers={"Retry-After": "1"})
        server.answers[busy] = [refusal, whole(said("A ball."), wait=lambda: order.append("busy"))]
        server.answers[other] = [whole(said("What is it?"), wait=lambda: order.append("other"))]
        vision = OpenAIBackend(busy, settings=settings)
        questioner = load_questioner(f"openai:{other}", settings)
        pace = vision.server.pace
        hold = pace.hold

        def holding(seconds: float) -> None:
            hold(seconds)
            order.append("held")
            held.set()

        monkeypatch.setattr(pace, "hold", holding)
        [image] = vision.encode([make_picture()])
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.extend(vision.answer([VisualQuestion(image, "What?")])))
        thread.start()
        assert held.wait(20)
        until = pace._hold.until
        assert ask(questioner, [HumanMessage("Ask.")]) == "What is it?"
        assert pace._clock() >= until, "the questioner waited, though it was the vision model that was refused"
        thread.join(20)
    assert answers == ["A ball."] and order[0] == "held" and sorted(order[1:]) == ["busy", "other"]
