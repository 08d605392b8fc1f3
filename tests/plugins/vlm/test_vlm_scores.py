"""Scores of `transformers:NAME` on random weights: those of plain transformers, one answer after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.testing import make_picture
from core.vision import VisualQuestion
from plugins.hf.scoring import whole
from plugins.vlm.backend import TransformersBackend
from plugins.vlm.scores import answered
from tests.plugins.vlm.tiny_vlm import FAMILIES, LOOK_ONCE, MORE

RED, BLUE = make_picture(64, 48, (255, 0, 0)), make_picture(30, 60, (0, 0, 255))
YES_NO = ("yes", "no")
Backends = Callable[[str], TransformersBackend]


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Backends:
    opened: dict[str, TransformersBackend] = {}

    def make(family: str) -> TransformersBackend:
        if family not in opened:
            directory: Path = tmp_path_factory.mktemp(family)
            (FAMILIES | MORE)[family](directory)
            opened[family] = TransformersBackend(str(directory))
        return opened[family]

    return make


def one_by_one(backend: TransformersBackend, question: VisualQuestion, choice: str) -> float:
    """The score of one choice, by a pass over pixels and words for each of its spellings."""
    row = backend._prepare(backend._conversation(question))
    totals = []
    for ids in backend._spelt(choice):
        with torch.inference_mode():
            logits = backend.model(**backend._reader.place(answered(row, ids).inputs)).logits[0, -len(ids) - 1 :]
        totals.append(whole(logits.float().log_softmax(-1), ids, backend._closing))
    return math.log(sum(map(math.exp, totals)))


@pytest.mark.parametrize("family", FAMILIES | MORE)
def test_scores_are_those_of_plain_transformers(backends: Backends, family: str) -> None:
    backend = backends(family)
    red, blue = backend.encode([RED, BLUE])
    questions = [
        VisualQuestion(red, "Is there a dog?"),
        VisualQuestion(blue, "What colour is it?", (("What is it?", "a cat"),)),
        VisualQuestion(red, "How many dogs are there, and where are they?"),
    ]
    choices = [YES_NO, ("red", "dark red"), ("two",)]
    expected = [
        [one_by_one(backend, question, choice) for choice in each]
        for question, each in zip(questions, choices, strict=True)
    ]
    for _ in range(2):  # the second time, from what was kept
        for scores, wanted in zip(backend.score(questions, choices), expected, strict=True):
            assert scores == pytest.approx(wanted, abs=2e-3)
    backend.answer(questions)  # keeps whole prompts, whose last token has to be read again
    assert backend.score(questions[:1], [("yes",)])[0] == pytest.approx(expected[0][:1], abs=2e-3)


@pytest.mark.parametrize("family", LOOK_ONCE)
def test_a_picture_is_encoded_once_and_a_batch_takes_one_pass(backends: Backends, family: str) -> None:
    backend = backends(family)
    image = backend.encode_image(make_picture(40, 40, (9, 90, 200)))
    backend.score([VisualQuestion(image, "Is it?")], [("yes",)])  # how the model reads is found out with the first ones
    backend.score([VisualQuestion(image, "Is it?")], [("yes",)])
    encoded, passes = backend.encoded, 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    hook = backend.model.register_forward_hook(count)
    try:
        backend.score([VisualQuestion(image, f"Is there a {thing}?") for thing in ("dog", "cat")], [YES_NO] * 2)
    finally:
        hook.remove()
    assert backend.encoded == encoded
    assert passes == (1 if backend._reader.why_not else 2), "what the prompts have in common, then all that differs"


def test_an_answer_of_marks_alone_has_no_probability(backends: Backends) -> None:
    backend = backends("llava")
    image = backend.encode_image(RED)
    [scores] = backend.score([VisualQuestion(image, "Is it?")], [("<image>", "no")])
    assert scores[0] == -math.inf and math.isfinite(scores[1])
