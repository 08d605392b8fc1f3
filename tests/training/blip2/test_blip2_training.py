"""Fine-tuning of BLIP-2: the losses of a loop by hand with plain transformers, and the same run by other ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, Blip2ForConditionalGeneration, BlipImageProcessorPil

from tests.plugins.blip2.tiny_blip2 import QUERIES
from tests.training.blip2.tiny_blip2_run import KINDS, QUESTIONS, blip2_recipe, make_blip2_world
from tests.training.tiny_run import TEXTS, losses
from training.features.blip2 import Blip2Vision
from training.features.encode import write_features
from training.features.keep import keep_features
from training.run import train

CLOSE = 1e-5
RATE, DECAY, BATCH, STEPS = 2e-4, 0.05, 4, 6
STEADY: dict[str, Any] = {"lr": RATE, "lr_min": RATE, "lr_warmup_start": RATE}
Pair = tuple[str, str]  # prompt and text to learn


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: make_blip2_world(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


# --- the loop by hand -------------------------------------------------------------------------------------------------


def pairs(task: str, kind: str) -> list[Pair]:
    """Prompt and text of each of the twelve samples; questions with one answer, so that nothing is drawn."""
    if task == "caption":
        return [("", f"{TEXTS[number % len(TEXTS)]} {number}") for number in range(12)]
    form = "Question: {} Answer:" if kind == "opt" else "Question: {} Short answer:"
    return [(form.format(QUESTIONS[number % 3][0]), QUESTIONS[number % 3][1][0]) for number in range(12)]


def batches(root: Path, kind: str, samples: list[Pair]) -> Iterator[dict[str, torch.Tensor]]:
    """What plain transformers reads: placeholders of the picture, prompt, text; -100 where nothing is learned."""
    tokenizer, processor = (one.from_pretrained(root / "model") for one in (AutoTokenizer, BlipImageProcessorPil))
    picture = [tokenizer.convert_tokens_to_ids("<image>")] * QUERIES
    for step in range(STEPS):
        numbers = [(step * BATCH + place) % 12 for place in range(BATCH)]
        images = [Image.open(root / "pictures" / f"{number:03d}.png").convert("RGB") for number in numbers]
        inputs, labels = [], []
        for prompt, text in (samples[number] for number in numbers):
            before = [*picture, *tokenizer(prompt).input_ids]
            if kind == "opt":
                target = tokenizer((" " if prompt else "") + text + "\n", add_special_tokens=False).input_ids
                inputs.append([*before, *target])
                labels.append([*[-100] * len(before), *target])
            else:
                inputs.append(before)
                labels.append(tokenizer(text).input_ids)

        def padded(rows: list[list[int]], value: int) -> torch.Tensor:
            longest = max(map(len, rows))
            return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])

        yield {
            "pixel_values": processor(images, return_tensors="pt").pixel_values,
            "input_ids": padded(inputs, tokenizer.pad_token_id),
            "attention_mask": padded([[1] * len(row) for row in inputs], 0),
            "labels": padded(labels, -100),
        }


def by_hand(root: Path, kind: str, task: str, trained: tuple[str, ...], model: Any = None) -> list[float]:
    """Train what begins with `trained`, by the shortest loop there is; returns the loss of each step."""
    model = model or Blip2ForConditionalGeneration.from_pretrained(root / "model", dtype=torch.float32)
    model.eval()  # the random numbers of dropout are not ours
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in trained))
    free = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert free
    matrices, vectors = ([one for one in free if (one.ndim >= 2) is wanted] for wanted in (True, False))
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}], lr=RATE
    )
    found = []
    for batch in batches(root, kind, pairs(task, kind)):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(loss.detach()))
    return found


@pytest.mark.parametrize("task", ["caption", "vqa"])
@pytest.mark.parametrize("train_", ["qformer", "projection"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_loss_is_that_of_a_loop_by_hand(
    worlds: dict[str, Path], tmp_path: Path, kind: str, train_: str, task: str
) -> None:
    trained = ("qformer.", "query_tokens", "language_projection.") if train_ == "qformer" else ("language_projection.",)
    root = worlds[kind]
    if task == "vqa":  # with one answer each
        lines = [json.loads(line) for line in (root / "questions.jsonl").read_text().splitlines()]
        file = tmp_path / "one.jsonl"
        rows = [{**one, "image": str(root / one["image"]), "answers": one["answers"][:1]} for one in lines]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        recipe = blip2_recipe(root, train=train_, task=task, data=str(file), clip=0, **STEADY)
    else:
        recipe = blip2_recipe(root, train=train_, clip=0, **STEADY)
    run = train(recipe, tmp_path / "run")
    expected = by_hand(root, kind, task, trained)
    assert losses(run) == pytest.approx(expected, rel=CLOSE)
    assert abs(expected[-1] - expected[0]) > 1e-3, "it learned"


@pytest.mark.parametrize(
    ("kind", "parts", "targets"),
    [
        ("opt", ["language_model"], ["q_proj", "v_proj"]),
        ("t5", ["language_model"], ["q", "v"]),
        ("opt", ["language_model", "qformer"], ["q_proj", "v_proj", "query", "value"]),
    ],
)
def test_lora_is_that_of_peft(
    worlds: dict[str, Path], tmp_path: Path, kind: str, parts: list[str], targets: list[str]
) -> None:
    peft = pytest.importorskip("peft")
    plain = Blip2ForConditionalGeneration.from_pretrained(worlds[kind] / "model", dtype=torch.float32)
    torch.manual_seed(3)
    model = peft.get_peft_model(plain, peft.LoraConfig(r=4, lora_alpha=32, lora_dropout=0.0, target_modules=targets))
    begin = {
        name.removeprefix("base_model.model."): value.detach().clone()
        for name, value in model.named_parameters()
        if "lora_" in name
    }
    save_file(begin, tmp_path / "begin.safetensors")
    recipe = blip2_recipe(
        worlds[kind], train="lora", lora_parts=parts, begin=str(tmp_path / "begin.safetensors"), clip=0, **STEADY
    )
    run = train(recipe, tmp_path / "run")
    assert set(load_file(run / "projection.safetensors")) == set(begin)
    assert losses(run) == pytest.approx(by_hand(worlds[kind], kind, "caption", ("lora_",), model), rel=CLOSE)


# --- the same numbers by other ways -----------------------------------------------------------------------------------


@pytest.mark.parametrize("train_", ["qformer", "projection"])
@pytest.mark.parametrize("kind", KINDS)
def test_cached_features_give_the_same_losses(
    worlds: dict[str, Path], tmp_path: Path, kind: str, train_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = blip2_recipe(worlds[kind], train=train_, **STEADY)
    plain = train(recipe, tmp_path / "plain")
    write_features(Blip2Vision.open(recipe), recipe.data, tmp_path / "exact", dtype="float32")
    exact = train(recipe.model_copy(update={"features": tmp_path / "exact"}), tmp_path / "from-exact")
    assert losses(exact) == pytest.approx(losses(plain), rel=CLOSE)
    capsys.readouterr()
    cached = train(recipe.model_copy(update={"keep_features": True}), tmp_path / "cached")
    assert losses(cached)[0] == pytest.approx(losses(plain)[0], rel=1e-3)  # kept in 16 bit
    tokens = 5 if train_ == "qformer" else QUERIES  # of the vision tower, or of the Q-Former
    assert f"features: {tokens} x 32 numbers, 0 KB a picture, " in capsys.readouterr().err
    assert set(load_file(cached / "projection.safetensors")) == set(load_file(plain / "projection.safetensors"))


def test_features_of_another_part_are_refused(worlds: dict[str, Path], tmp_path: Path) -> None:
    from core.datasets.samples.sample import DataError

    kept = keep_features(blip2_recipe(worlds["opt"], train="projection"), tmp_path / "kept")
    with pytest.raises(DataError, match="features of another vision model"):
        train(blip2_recipe(worlds["opt"], train="qformer", features=str(kept)), tmp_path / "run")


@pytest.mark.parametrize("changes", [{"packing": True}, {"forward_tokens": 60}, {"recompute": True}], ids=str)
def test_how_it_is_computed_changes_nothing(worlds: dict[str, Path], tmp_path: Path, changes: dict[str, Any]) -> None:
    for kind in KINDS:
        if "packing" in changes and kind == "t5":
            continue
        plain = train(blip2_recipe(worlds[kind], **STEADY), tmp_path / f"plain-{kind}")
        other = train(blip2_recipe(worlds[kind], **STEADY, **changes), tmp_path / f"other-{kind}")
        assert losses(other) == pytest.approx(losses(plain), rel=1e-4)


def test_answers_are_drawn_as_often_as_they_were_given(worlds: dict[str, Path], tmp_path: Path) -> None:
    from core.datasets.samples.sample import Sample
    from training.blip2.opening import open_blip2
    from training.tasks import words_of

    wording = open_blip2(blip2_recipe(worlds["opt"], task="vqa"), "cpu", "float32").wording
    sample = Sample("1", "x", b"", "cat", "What?", answers=("a cat", "cat", "cat"))
    drawn = [words_of(wording, sample, str(number)).target for number in range(60)]
    texts = [wording.tokenizer.decode(list(one)) for one in drawn]
    assert set(texts) == {" cat\n", " a cat\n"} and texts.count(" cat\n") > texts.count(" a cat\n")
    assert drawn == [words_of(wording, sample, str(number)).target for number in range(60)]


def test_the_model_says_at_checkpoints_what_the_backend_says(worlds: dict[str, Path], tmp_path: Path) -> None:
    from core.images.picture import open_picture
    from core.vision import GenerationOptions, VisualQuestion
    from plugins.blip2.backend import Blip2Backend

    for kind in KINDS:
        run = train(blip2_recipe(worlds[kind], samples=2, task="vqa"), tmp_path / kind)
        entries = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
        last = [one["says"] for one in entries if one["step"] == 6]
        assert len(entries) == 4
        backend = Blip2Backend(str(run))
        pictures = [open_picture(worlds[kind] / "pictures" / f"{number:03d}.png") for number in range(2)]
        asked = [VisualQuestion(image, QUESTIONS[place][0]) for place, image in enumerate(backend.encode(pictures))]
        answers = [
            reply.text
            for reply in backend.replies(
                [VisualQuestion(one.image, one.question, options=GenerationOptions(max_new_tokens=80)) for one in asked]
            )
        ]
        assert [" ".join(answer.split()) for answer in answers] == last
