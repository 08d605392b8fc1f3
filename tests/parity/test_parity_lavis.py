"""Our BLIP-2 (OPT) gives the numbers of LAVIS in tests/fixtures, written by `benchmarks/parity/run_lavis.py`."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from benchmarks.parity import lavis_recipe as recipe
from benchmarks.parity import run_lavis as parity_lavis
from core.images.picture import open_picture
from core.vision import GenerationOptions, VisualQuestion
from plugins.minigpt4.runtime.loading import MEAN, STD


@pytest.fixture(scope="module")
def kept() -> tuple[parity_lavis.Outputs, dict[str, Any]]:
    """(LAVIS's numbers, what it said)."""
    return parity_lavis.load(parity_lavis.FIXTURE)


@pytest.fixture(scope="module")
def model(kept: tuple[parity_lavis.Outputs, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Ours, from the files that LAVIS would leave."""
    folder = tmp_path_factory.mktemp("sources")
    parity_lavis.write_sources(kept[1]["shapes"], folder)
    return parity_lavis.convert(folder)


@pytest.fixture
def with_epsilon(model: Any) -> Iterator[Any]:
    """With the one thing in which the architectures differ."""
    norm = model.vision_model.post_layernorm
    before, norm.eps = norm.eps, parity_lavis.LN_VISION_EPS
    yield model
    norm.eps = before


def test_every_number_is_lavis_s(
    kept: tuple[parity_lavis.Outputs, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    code = parity_lavis.main(["--from", str(parity_lavis.FIXTURE)])
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert "prompts as token ids: equal" in printed and "\nequal within 0.0001" in printed
    assert {"pixels", "vision", "qformer", "projected", "logits_2", "greedy_2"} <= set(kept[0]) & set(printed.split())
    assert len({text for texts in kept[1]["texts"] for text in texts}) == 6, "or else the comparison says little"


def test_as_transformers_opens_it_it_says_the_same(
    kept: tuple[parity_lavis.Outputs, dict[str, Any]], model: Any
) -> None:
    """Without LAVIS's epsilon: the numbers move a little, the words do not."""
    theirs, facts = kept
    found, _ = parity_lavis.ours(model, facts)
    differences = parity_lavis.compare(theirs, found)
    assert all(differences[name] == 0 for name in differences if name.startswith("greedy"))
    assert differences["qformer"] < 1e-2


def test_a_wrong_weight_would_show(kept: tuple[parity_lavis.Outputs, dict[str, Any]], with_epsilon: Any) -> None:
    import torch

    theirs, facts = kept
    bias = with_epsilon.vision_model.encoder.layers[0].self_attn.qkv.bias
    with torch.no_grad():
        bias[-1] += 0.1
    differences = parity_lavis.compare(theirs, parity_lavis.ours(with_epsilon, facts)[0])
    with torch.no_grad():
        bias[-1] -= 0.1
    assert differences["vision"] > parity_lavis.TOLERANCE and differences["qformer"] > parity_lavis.TOLERANCE


@pytest.mark.skipif(importlib.util.find_spec("plugins.blip2") is None, reason="there is no `blip2:` here")
def test_the_blip2_backend_says_what_lavis_says(
    kept: tuple[parity_lavis.Outputs, dict[str, Any]], model: Any, tmp_path: Path
) -> None:
    from plugins.blip2.backend import Blip2Backend

    _, facts = kept
    model.generation_config.eos_token_id = model.language_model.generation_config.eos_token_id = facts["eos"]
    model.save_pretrained(tmp_path)
    tokenizer(facts["prompts"][0]).save_pretrained(tmp_path)
    side = {"height": recipe.IMAGE_SIZE, "width": recipe.IMAGE_SIZE}
    settings = {"image_processor_type": "BlipImageProcessor", "size": side, "image_mean": MEAN, "image_std": STD}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    backend = Blip2Backend(f"{tmp_path}?device=cpu&dtype=float32")
    images = backend.encode([open_picture(png(picture), name="picture") for picture in recipe.pictures()])
    options = GenerationOptions(max_new_tokens=recipe.MAX_NEW_TOKENS)
    for (history, question), texts in zip(recipe.QUESTIONS, facts["texts"], strict=True):
        asked = [VisualQuestion(image, question, history, options) for image in images]
        assert backend.answer(asked) == texts
    backend.close()


def tokenizer(empty: list[int]) -> Any:
    """The recipe's, with the token in front that LAVIS's slow tokenizer gives an empty text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids, merges = recipe.vocabulary()
    fast = Tokenizer(models.BPE(ids, merges))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    [bos] = [name for name, place in ids.items() if [place] == empty]
    fast.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, ids[bos])])
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, bos_token=bos, eos_token=bos, unk_token=bos, pad_token="<pad>"
    )


def png(picture: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
