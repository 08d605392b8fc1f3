"""Pocket's plain runtime equals the class of transformers that trains: same files, same numbers, same words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from core.images.picture import open_picture
from core.testing import make_picture
from core.vision import VisualQuestion
from plugins.pocket.backend import MODEL, PocketBackend
from plugins.pocket.engine import PocketPrompt
from plugins.pocket.transformers_model import PocketForConditionalGeneration

PHOTOS = Path(__file__).resolve().parents[2] / "examples" / "photos"
QUESTIONS = (None, "Describe the picture in detail.", "What colour is the thing in the middle of it?", "Is it a dog?")

pytestmark = pytest.mark.skipif(not (MODEL / "model.safetensors").is_file(), reason="the model has not been built")


@pytest.fixture(scope="module")
def pocket() -> PocketBackend:
    return PocketBackend()


@pytest.fixture(scope="module")
def reference() -> PocketForConditionalGeneration:
    return PocketForConditionalGeneration.from_pretrained(MODEL, dtype=torch.float32, local_files_only=True).eval()


@pytest.fixture(scope="module")
def prompts(pocket: PocketBackend) -> list[PocketPrompt]:
    pictures = [*(open_picture(path) for path in sorted(PHOTOS.glob("*.jpg"))), make_picture(colour=(10, 60, 200))]
    tokens = [image.data.tokens for image in pocket.encode(pictures)]
    talk = (("What is it?", "It is a cat."), ("Is it old?", "I do not know."))
    return [PocketPrompt(one, question, talk[:turns]) for one in tokens for turns, question in enumerate(QUESTIONS)]


def generated(
    reference: PocketForConditionalGeneration,
    pocket: PocketBackend,
    prompts: Sequence[PocketPrompt],
    **sampling: object,
) -> list[list[int]]:
    engine = pocket.engine
    embeds, mask = engine.batch(prompts, engine.room - 60)
    rows = reference.language_model.generate(
        inputs_embeds=embeds,
        attention_mask=mask,
        max_new_tokens=60,
        eos_token_id=engine.stop,
        pad_token_id=engine.pad,
        **sampling,
    ).tolist()
    return [row[: row.index(engine.stop)] if engine.stop in row else row for row in rows]


@torch.inference_mode()
def test_a_picture_is_encoded_alike(pocket: PocketBackend, reference: PocketForConditionalGeneration) -> None:
    pixels = pocket.pixels([open_picture(path) for path in sorted(PHOTOS.glob("*.jpg"))])
    seen = pocket.engine.model.vision_model(pixels)
    tokens = pocket.engine.model.image_tokens(seen.cells, seen.facts)
    assert (tokens - reference.get_image_features(pixels).pooler_output).abs().max() < 1e-4


@torch.inference_mode()
def test_the_language_model_gives_the_same_numbers(
    pocket: PocketBackend, reference: PocketForConditionalGeneration, prompts: list[PocketPrompt]
) -> None:
    """Prefill and one step with the cache, padded on the left."""
    embeds, mask = pocket.engine.batch(prompts, 300)
    found: list[torch.Tensor] = []
    hook = pocket.engine.model.language_model.register_forward_hook(lambda _, __, logits: found.append(logits))
    steps = [ids for ids, _ in zip(pocket.engine.model.generate(
        embeds, mask, max_new_tokens=2, eos_token_id=pocket.engine.stop
    ), range(2), strict=False)]  # fmt: skip
    hook.remove()
    step = reference.language_model.get_input_embeddings()(steps[0][:, None])
    whole = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
    theirs = reference.language_model(
        inputs_embeds=torch.cat([embeds, step], 1),
        attention_mask=whole,
        position_ids=(whole.cumsum(-1) - 1).clamp(min=0),
    ).logits[:, -2:]
    assert (torch.stack(found, 1) - theirs).abs().max() < 1e-4


def test_greedy_answers_are_the_same(
    pocket: PocketBackend, reference: PocketForConditionalGeneration, prompts: list[PocketPrompt]
) -> None:
    with torch.inference_mode():
        expected = generated(reference, pocket, prompts, do_sample=False)
    assert [list(one.ids) for one in pocket.engine.write(prompts)] == expected


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 0.9), (0.7, 0.5), (1.5, 1.0)])
def test_sampled_answers_are_the_same_for_the_same_seed(
    pocket: PocketBackend,
    reference: PocketForConditionalGeneration,
    prompts: list[PocketPrompt],
    temperature: float,
    top_p: float,
) -> None:
    with torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(5)
        expected = generated(reference, pocket, prompts, do_sample=True, temperature=temperature, top_p=top_p, top_k=0)
    found = pocket.engine.write(prompts, temperature=temperature, top_p=top_p, seed=5)
    assert [list(one.ids) for one in found] == expected


def test_what_is_streamed_is_the_answer(pocket: PocketBackend) -> None:
    """Sentence by sentence: a later word can change what stands before it in a sentence."""
    images = pocket.encode([open_picture(PHOTOS / f"{name}.jpg") for name in ("cat", "coffee")])
    for image in images:
        for text in ("Describe the picture in detail.", "Is there a cat?", "What is in the background?"):
            question = VisualQuestion(image, text)
            *pieces, reply = pocket.pieces(question)
            assert "".join(map(str, pieces)) == reply.text == pocket.answer([question])[0]  # type: ignore[union-attr]
            assert reply == pocket.replies([question])[0]
