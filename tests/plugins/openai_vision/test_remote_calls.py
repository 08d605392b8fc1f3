"""What all who call a server share: pace, retries, batches, secrets, thoughts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from core.net.remote import (
    Pace,
    Peer,
    concurrently,
    explained,
    redacted,
    retry_after,
    retrying,
    tries_of,
    wait_before_retry,
)
from core.stopping import CalledOff


class Response:
    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status_code = status
        self.headers = headers


class HTTPError(Exception):
    """As client libraries have them: a response, and perhaps a body."""

    def __init__(self, status: int, message: str = "it failed", body: object = None, **headers: str) -> None:
        super().__init__(message)
        self.response = Response(status, {name.replace("_", "-"): value for name, value in headers.items()})
        self.body = body


def test_retry_after_as_seconds_and_as_a_date() -> None:
    assert retry_after(HTTPError(429, retry_after="7")) == 7
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (retry_after(HTTPError(429, retry_after=soon)) or 0) <= 30
    past = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    assert retry_after(HTTPError(429, retry_after=past)) == 0
    assert retry_after(HTTPError(429, retry_after="tomorrow")) is None
    assert retry_after(HTTPError(429)) is None


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_worth_another_try(status: int) -> None:
    assert wait_before_retry(HTTPError(status), 0) is not None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 501])
def test_not_worth_another_try(status: int) -> None:
    assert wait_before_retry(HTTPError(status), 0) is None


@pytest.mark.parametrize("body", ["image_url is not supported", {"error": {"message": "Not yet implemented: images"}}])
def test_a_server_error_that_will_always_be_one_is_not_tried_again(body: object) -> None:
    assert wait_before_retry(HTTPError(500, body=body), 0) is None
    assert wait_before_retry(HTTPError(503, body=body), 0) is not None, "another instance may serve it"


@pytest.mark.parametrize("body", ["it broke: nan", {"error": "it broke: nan"}, {"error": {"message": "it broke: nan"}}])
def test_what_the_server_says_is_told_in_whichever_form_it_comes(body: object) -> None:
    assert "it broke: nan" in explained(HTTPError(500, "an error", body=body), Peer("the eye")).text


def test_waits_grow_and_are_bounded() -> None:
    waits = [wait_before_retry(ConnectionError(), attempt) or 0 for attempt in range(12)]
    assert waits[0] < 1 and max(waits) <= 10
    assert wait_before_retry(HTTPError(429, retry_after="61"), 0) is None, "out of reach for this run"
    assert wait_before_retry(HTTPError(429, body={"code": "insufficient_quota"}), 0) is None


def test_retrying_tells_how_often_it_tried() -> None:
    tried: list[int] = []

    def call() -> None:
        tried.append(1)
        raise HTTPError(503, retry_after="0")

    with pytest.raises(HTTPError) as caught:
        retrying(call, retries=2, pace=Pace())
    assert len(tried) == tries_of(caught.value) == 3
    fault = explained(caught.value, Peer("the eye"), tries_of(caught.value))
    assert fault.text == "the eye failed after 3 tries (HTTP 503): it failed" and not fault.for_all


def test_retrying_does_not_begin_what_was_called_off() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(CalledOff):
        retrying(lambda: 1, retries=0, pace=Pace(), stop=stop)


def test_a_hold_is_for_everybody() -> None:
    pace = Pace()
    stop = threading.Event()
    pace.hold(3600)
    waiting = threading.Thread(target=pace.wait, args=(stop,))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    stop.set()
    waiting.join(20)
    assert not waiting.is_alive(), "and ends when it is called off"


def test_results_come_in_order_with_errors_among_them() -> None:
    def call(number: int) -> Callable[[threading.Event], int]:
        def run(stop: threading.Event) -> int:
            if number == 3:
                raise ValueError("three")
            return number

        return run

    results = concurrently([call(number) for number in range(6)], workers=4, give_up=lambda error: False)
    assert [result for result in results if not isinstance(result, ValueError)] == [0, 1, 2, 4, 5]
    assert isinstance(results[3], ValueError)
    assert concurrently([], workers=4, give_up=lambda error: True) == []


def test_the_rest_is_given_up_when_it_is_in_vain() -> None:
    def fail(stop: threading.Event) -> None:
        raise ValueError("all the same")

    results = concurrently([fail] * 10, workers=1, give_up=lambda error: True)
    assert isinstance(results[0], ValueError) and results[1:] == [None] * 9


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Incorrect API key provided: sk-abc123456789.", "Incorrect API key provided: [key]"),
        ("Bearer abc.def was refused", "[key] was refused"),
        ("see https://me:pass@host/v1 for more", "see https://host/v1 for more"),
        ("my-own-secret-word failed", "[key] failed"),
        ("no secret at all", "no secret at all"),
    ],
)
def test_secrets_are_taken_out(text: str, kept: str) -> None:
    assert redacted(text, ["my-own-secret-word"]) == kept


def test_a_prompt_that_is_too_long_is_recognised_in_the_words_of_several_servers() -> None:
    for message in (
        "This model's maximum context length is 4096 tokens, however you requested 9000 tokens",
        "the request exceeds the available context size, try increasing it",
        "The decoder prompt (length 9000) is longer than the maximum model length of 4096.",
        "prompt is too long: 9000 tokens > 4096 maximum",
    ):
        assert explained(HTTPError(400, message), Peer("the eye")).kind == "length"
    assert explained(HTTPError(400, "unknown field"), Peer("the eye")).kind == "failed"
