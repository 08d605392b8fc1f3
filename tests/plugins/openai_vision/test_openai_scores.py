"""Scores of `openai:MODEL`: from the log-probabilities of a server's reply, or from its words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from uuid import uuid4

import pytest

from core.errors import BackendError
from core.testing import make_picture
from core.vision import GenerationOptions, VisualQuestion
from plugins.openai_vision.scores import scores_of_tokens, token_odds
from tests.plugins.openai_vision.seeing_server import VARIABLES, eye, received, seeing_openai

YES_NO = ("yes", "no")
Places = list[list[tuple[str, float]]]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with seeing_openai() as url:
        yield url


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def shares(server: str, places: Places, choices: tuple[str, ...]) -> list[float]:
    """The probabilities of choices when the server writes these tokens, each the first of its place."""
    backend = eye(server, "odds")
    question = VisualQuestion(backend.encode_image(make_picture()), json.dumps(places))
    return [round(math.exp(score), 4) for score in backend.score([question], [choices])[0]]


def test_every_way_to_write_a_choice_counts(server: str) -> None:
    places: Places = [[("Yes", 0.6), ("No", 0.2), (" yes", 0.1), ("yes", 0.05), ("Nothing", 0.03)], [(",", 1.0)]]
    assert shares(server, places, YES_NO) == [0.75, 0.2]
    assert shares(server, places, ("no", "yes")) == [0.2, 0.75]
    assert shares(server, [[("2", 0.5), ("Two", 0.3), ("Three", 0.1)]], ("two", "3")) == [0.8, 0.1]


def test_a_choice_of_several_tokens_is_followed_to_its_end(server: str) -> None:
    places: Places = [[("dark", 0.5), ("red", 0.4)], [(" red", 0.8), (" blue", 0.1)], [(".", 1.0)]]
    assert shares(server, places, ("dark red", "dark blue", "red")) == [0.4, 0.05, 0.4]
    assert shares(server, [[("\n", 1.0)], [("No", 0.7), ("Yes", 0.3)]], YES_NO) == [0.3, 0.7]


def test_what_is_not_listed_has_at_most_what_is_left(server: str) -> None:
    assert shares(server, [[("Yes", 0.95), ("The", 0.03)]], YES_NO) == [0.95, 0.02]
    assert shares(server, [[("Yes", 0.5), ("The", 0.01)]], YES_NO) == [0.5, 0.01]
    assert shares(server, [[("It", 0.6), ("N", 0.1), ("A", 0.05)]], YES_NO) == [0.05, 0.1], "N may begin a no"


def test_one_short_request_for_each_question(server: str) -> None:
    name = f"odds.{uuid4().hex}"
    backend = eye(server, name)
    image = backend.encode_image(make_picture())
    asked = [
        VisualQuestion(image, json.dumps([[(word, 0.9)]]), options=GenerationOptions(300, temperature=1.5, seed=2))
        for word in ("yes", "no", "yes")
    ]
    scores = backend.score(asked, [YES_NO] * 3)
    assert [one[0] > one[1] for one in scores] == [True, False, True]
    sent = [one["body"] for one in received(server, name)]
    assert len(sent) == 3
    for body in sent:
        assert body["logprobs"] is True and body["top_logprobs"] == 20 and body["temperature"] == 0
        assert body["max_tokens"] == 24 and "seed" not in body
    backend.answer(asked[:1])
    assert "logprobs" not in received(server, name)[-1]["body"]


@pytest.mark.parametrize("kind", ["looks", "few", "refuses.logprobs", "refuses.top_logprobs"])
def test_a_server_without_log_probabilities_is_scored_by_its_words(server: str, kind: str) -> None:
    name = f"{kind}.{uuid4().hex}"
    backend = eye(server, name)
    image = backend.encode_image(make_picture(8, 8, (255, 0, 0)))
    choices = ("yes", "no", "without logprobs", "without top_logprobs")
    [scores] = backend.score([VisualQuestion(image, "Is it?")], [choices])
    expected = {"few": "no", "looks": ""}.get(kind, f"without {kind.partition('.')[2]}")
    assert [choice for choice, score in zip(choices, scores, strict=True) if score > -1] == [expected][: bool(expected)]
    count = len(received(server, name))
    backend.score([VisualQuestion(image, "Is it?")], [YES_NO])
    later = [one["body"] for one in received(server, name)[count:]]
    assert len(later) == 1 and ("logprobs" in later[0]) == (kind == "looks"), "what a server refuses is not sent again"


def test_errors_are_those_of_an_answer(server: str) -> None:
    backend = eye(server, "hates-blue")
    images = backend.encode([make_picture(colour=(0, 0, 255)), make_picture()])
    with pytest.raises(BackendError, match="content filter"):
        backend.score([VisualQuestion(image, "Is it?") for image in images], [YES_NO] * 2)


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", '{"choices": [{"logprobs": null}]}', '{"choices": [{"logprobs": {"content": [{"token": 1}]}}]}'],
)
def test_what_cannot_be_read_is_no_log_probability(body: str) -> None:
    assert token_odds(body) == () and scores_of_tokens((), YES_NO) is None


def test_odd_numbers_of_a_server_do_no_harm() -> None:
    place = {"token": "Yes", "logprob": 0.1, "top_logprobs": [{"token": "No", "logprob": float("-inf")}]}
    found = token_odds(json.dumps({"choices": [{"logprobs": {"content": [place]}}]}))
    assert scores_of_tokens(found, YES_NO) == (0.0, -1e4)
