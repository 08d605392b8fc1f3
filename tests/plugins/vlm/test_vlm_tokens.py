"""Log-probabilities of the tokens of answers, against those of plain transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.testing import make_picture
from core.vision import GenerationOptions, VisualQuestion
from plugins.vlm.backend import TransformersBackend
from plugins.vlm.prompts import TemplateTurn, messages
from tests.plugins.vlm.tiny_vlm import FAMILIES

RED, BLUE = make_picture(64, 48, (255, 0, 0)), make_picture(30, 60, (0, 0, 255))
SCORED = GenerationOptions(10, token_scores=4)


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_are_those_of_plain_transformers(family: str, tmp_path: Path) -> None:
    FAMILIES[family](tmp_path)
    backend = TransformersBackend(str(tmp_path))
    [red, blue] = backend.encode([RED, BLUE])
    questions = [VisualQuestion(red, "Why 猫?", options=SCORED), VisualQuestion(blue, "What is it?", options=SCORED)]
    for question, reply, picture in zip(questions, backend.replies(questions), (RED, BLUE), strict=True):
        turns = messages([TemplateTurn((question.image.data[0],), question.question or "")])
        text = backend.processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        inputs = backend.processor(
            images=[[picture.image.copy()]], text=[text], add_special_tokens=False, return_tensors="pt"
        )
        with torch.inference_mode():
            made = backend.model.generate(
                **inputs, max_new_tokens=10, do_sample=False, return_dict_in_generate=True, output_logits=True
            )
        odds = torch.stack(made.logits).log_softmax(-1)[:, 0]
        ids = made.sequences[0, inputs["input_ids"].shape[1] :]
        best = odds.topk(4)
        assert len(reply.tokens) == reply.output_tokens and reply.output_tokens
        for place, token in enumerate(reply.tokens):
            assert token.logprob == pytest.approx(float(odds[place, ids[place]]), abs=1e-3)
            assert [value for _, value in token.likeliest] == pytest.approx(best.values[place].tolist(), abs=1e-3)
        assert "".join(token.text for token in reply.tokens).strip() == reply.text


def test_a_sampled_token_has_the_models_own_probability(tmp_path: Path) -> None:
    """That is: before temperature, as OpenAI reports it."""
    FAMILIES["llava"](tmp_path)
    backend = TransformersBackend(str(tmp_path))
    [red] = backend.encode([RED])
    seeds = [GenerationOptions(1, temperature=heat, seed=3, token_scores=300) for heat in (1.0, 3.0)]
    replies = [backend.replies([VisualQuestion(red, "Hm?", options=options)])[0] for options in seeds]
    first, second = (reply.tokens[0] for reply in replies)
    assert dict(first.likeliest) == pytest.approx(dict(second.likeliest), abs=1e-4)
    assert first.logprob in [value for _, value in first.likeliest]
