"""Scores of MiniGPT-4 and BLIP-2 on random weights: one pass gives what a pass for each choice gives."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from core.testing import make_picture
from core.vision import VisualQuestion
from plugins.blip2.backend import Blip2Backend
from plugins.hf.scoring import Question, ScoredRow, closing_tokens, spelt, whole
from plugins.minigpt4.runtime.backend import EngineBackend, MiniGPT4Backend
from tests.plugins.blip2.tiny_blip2 import save as save_blip2
from tests.plugins.minigpt4.tiny import save as save_minigpt4

KINDS = ("minigpt4", "opt", "t5")
YES_NO = ("yes", "no")


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, EngineBackend]:
    made: dict[str, EngineBackend] = {
        kind: Blip2Backend(str(save_blip2(tmp_path_factory.mktemp(kind), kind))) for kind in KINDS[1:]
    }
    return made | {"minigpt4": MiniGPT4Backend(str(save_minigpt4(tmp_path_factory.mktemp("minigpt4"))))}


def one_by_one(backend: Any, question: VisualQuestion, choice: str) -> float:
    """The score of one choice, by a pass of the language model for each of its spellings."""
    engine = backend.engine
    row = engine.rows.row(backend._conversation(question), 10)
    embeds = engine._embed(row, 0, len(row.keys))[None]
    totals = []
    with torch.inference_mode():
        for ids in spelt(choice, lambda text: engine.tokenizer(text, add_special_tokens=False).input_ids):
            if getattr(engine, "encoder", False):
                begin = engine.language_model.generation_config.decoder_start_token_id
                answer = torch.tensor([[begin, *ids]])
                logits = engine.language_model(inputs_embeds=embeds, decoder_input_ids=answer).logits[0]
            else:
                tokens = torch.cat([embeds, engine.embed(torch.tensor([ids]))], 1)
                logits = engine.language_model(inputs_embeds=tokens).logits[0, embeds.shape[1] - 1 :]
            logits[:, engine.suppress_tokens] = -torch.inf
            totals.append(whole(logits.log_softmax(-1), ids, engine.closing))
    return math.log(sum(map(math.exp, totals)))


@pytest.mark.parametrize("kind", KINDS)
def test_one_pass_gives_what_a_pass_for_each_choice_gives(backends: dict[str, EngineBackend], kind: str) -> None:
    backend = backends[kind]
    red, blue = backend.encode([make_picture(colour=(255, 0, 0)), make_picture(colour=(0, 0, 255))])
    history = (("What is it?", "A wall."),)
    questions = [
        VisualQuestion(red, "Is there a dog?"),
        VisualQuestion(blue, "What colour is it?", history),
        VisualQuestion(red, "How many dogs are there, and where are they?"),
        VisualQuestion(red, "Is there a dog?"),
    ]
    choices = [YES_NO, ("red", "dark red"), ("0", "two", "3"), ("no",)]
    expected = [
        [one_by_one(backend, question, choice) for choice in each]
        for question, each in zip(questions, choices, strict=True)
    ]
    for _ in range(2):  # the second time, from what was kept
        for scores, wanted in zip(backend.score(questions, choices), expected, strict=True):
            assert scores == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_questions_about_two_pictures_take_one_pass(backends: dict[str, EngineBackend], kind: str) -> None:
    backend = backends[kind]
    counts = backend.engine.counts
    images = backend.encode([make_picture(colour=(9, 200, 9)), make_picture(colour=(200, 200, 9))])
    questions = [VisualQuestion(image, f"Is there a {thing}?") for thing in ("dog", "cat", "car") for image in images]
    backend.engine.forget()
    before = (counts.pictures, counts.prefills, counts.reused)
    backend.score(questions, [YES_NO] * 6)
    assert (counts.pictures, counts.prefills, counts.reused) == (before[0], before[1] + 1, before[2])
    backend.score(questions[:2], [YES_NO] * 2)
    assert counts.prefills == before[1] + 2
    assert (counts.reused > before[2]) == (kind != "t5"), "an encoder reads a picture with its question"


def test_an_answer_that_cannot_be_written_has_no_probability(backends: dict[str, EngineBackend]) -> None:
    for backend in backends.values():
        image = backend.encode_image(make_picture())
        [scores] = backend.score([VisualQuestion(image, "Is it?")], [("</s>", "no")])
        assert scores[0] == -math.inf and math.isfinite(scores[1])
        [scores] = backend.score([VisualQuestion(image, "Is it?")], [("</s>",)])
        assert scores == (-math.inf,)


def test_a_row_has_its_parts_one_behind_the_other_and_apart() -> None:
    row = ScoredRow(2, [Question(1, [[(5, 6)], [(7,)]]), Question(2, [[(8,)]])])
    assert row.positions == [0, 1, 2, 3, 4, 3, 2, 3, 4] and row.starts == [2, 6] and row.spots == [[[3], [5]], [[8]]]
    assert [visible.nonzero()[:, 0].tolist() for visible in row.visible()] == [
        [0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4], [0, 1, 2, 5], [0, 1, 6], [0, 1, 6, 7], [0, 1, 6, 7, 8],
    ]  # fmt: skip


def test_what_may_follow_an_answer() -> None:
    texts = ["yes", " no", ".", ", and", "#", "###", " #", "\n\n", "", "..."]
    assert closing_tokens(texts, ("###",)) == [2, 3, 4, 5, 7, 9]
    assert spelt("Two.", lambda text: [ord(sign) for sign in text])[0] == tuple(map(ord, "Two"))
    assert {"".join(map(chr, ids)) for ids in spelt("2", lambda text: [ord(sign) for sign in text])} == {
        "2", " 2", "two", " two", "Two", " Two",
    }  # fmt: skip
