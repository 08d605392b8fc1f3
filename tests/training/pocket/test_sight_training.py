"""The third stage of pocket from its pictures to an exported model, on a handful of drawn pictures."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from plugins.pocket.backend import MODEL
from plugins.pocket.modeling import CELL_DIM, CELLS, FACTS
from plugins.pocket.runtime import PocketModel
from training.pocket import export, features, sources
from training.pocket import train as steps
from training.pocket.foundation import known_names
from training.pocket.sight import composed, encoded, scene_words, train
from training.pocket.sight.copied import copied_tokens
from training.pocket.train import PocketRecipe

pytestmark = pytest.mark.slow
JOBS = [("scene", 3), ("photograph", 1), ("scene", 4), ("scene", 5), ("photograph", 2)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the one `training.pocket.sources` fills, drawn instead of downloaded."""
    root = tmp_path_factory.mktemp("sources")
    for cut_out in sources.cut_outs(root):
        cut_out.path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGBA", (60, 60))
        ImageDraw.Draw(image).ellipse((2, 2, 57, 57), fill=(220, 20, 30, 255))
        image.save(cut_out.path)
    for folder, count, size in (("usr/share/openclipart/png", 2, 80), ("usr/share/backgrounds", 10, 720)):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            Image.effect_noise((size, size), 60).convert("RGB").save(root / folder / f"zz{number}.png")
    return root


def test_encoding_resumes_after_an_interruption(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (features, encoded):
        monkeypatch.setattr(module, "BATCH", 2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    encoded.encode(root, whole, "train", JOBS)
    normalise, calls = encoded.normalise, iter((False, True))

    def interrupted(pixels: torch.Tensor) -> torch.Tensor:
        if next(calls):
            raise KeyboardInterrupt
        return normalise(pixels)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(encoded, "normalise", interrupted)
        encoded.encode(root, parts, "train", JOBS)
    truths = parts / "train-truth.jsonl"
    kept = truths.read_bytes()
    assert kept.count(b"\n") == 2
    truths.write_bytes(kept + kept.splitlines(keepends=True)[0] + b'{"things": [')  # cut off in its fourth line
    encoded.encode(root, parts, "train", JOBS)
    assert truths.read_bytes() == (whole / "train-truth.jsonl").read_bytes()
    for name, shape in (("features", (5, CELLS, CELL_DIM)), ("facts", (5, FACTS))):
        one, other = (np.load(folder / f"train-{name}.npy") for folder in (whole, parts))
        assert one.shape == shape and one.any() and np.array_equal(one, other)
    with pytest.raises(SystemExit, match="holds 5 pictures, not 4: give its folder another name"):
        encoded.encode(root, parts, "train", JOBS[:4])


def test_training_that_is_interrupted_ends_at_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "encoded"
    folder.mkdir()
    thing = {"kind": "bird", "colours": ["yellow"], "column": "left", "row": "centre", "box": [0.1, 0.4, 0.3, 0.6]}
    names = [name for name, _ in known_names()]
    scene = {"things": [{"name": "duck", **thing}], "background": "plain", "background_colours": ["green"]}
    bare = {"things": [], "background": "photograph", "background_colours": ["grey"]}
    facts = np.zeros((4, FACTS), np.int64)
    facts[:2, 0] = 1
    facts[:2, 12:15] = names.index("duck") + 1, 3, 7
    np.save(folder / "train-facts.npy", facts)
    np.save(folder / "train-features.npy", np.random.default_rng(1).random((4, CELLS, CELL_DIM)).astype(np.float16))
    (folder / "train-truth.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in (scene, scene, bare, bare)))
    recipe = PocketRecipe(2, batch=2, questions=2, lr=1e-3, warmup=1, photographs=0.5, length=200, seed=4)
    monkeypatch.setattr(steps, "CHECKPOINT", 1)
    train.train(folder, tmp_path / "whole", recipe, begin=MODEL)
    loss_of, calls = train.loss_of, iter((False, True))

    def interrupted(*given: Any) -> torch.Tensor:
        if next(calls):
            raise KeyboardInterrupt
        return loss_of(*given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train, "loss_of", interrupted)
        train.train(folder, tmp_path / "parts", recipe, begin=MODEL)
    assert not (tmp_path / "parts" / "stage3.pt").exists()
    train.train(folder, tmp_path / "parts", recipe, begin=MODEL)
    whole, parts = (torch.load(tmp_path / name / "stage3.pt", weights_only=True) for name in ("whole", "parts"))
    log = (tmp_path / "parts" / "stage3.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [0, 1], "the first step is not repeated"
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)
    before = train.extended(MODEL)[0].language_model.state_dict()
    assert any(not torch.equal(whole[name], before[name]) for name in whole), "nothing was learned"


@pytest.fixture(scope="module")
def heads(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with both heads: blue pictures hold all scene words, noisy ones none; nobody opens those held out."""
    folder, labels, run = (tmp_path_factory.mktemp(name) for name in ("photographs", "labels", "heads"))
    scenes, split = ["# id"], ["# id"]
    for number in range(16):
        name, holds = f"p{number:02}", number % 2 == 0
        image = Image.new("RGB", (300, 260), (40, 80, 150 + 5 * number))
        (image if holds else Image.effect_noise((300, 260), 90).convert("RGB")).save(folder / f"{name}.png")
        scenes.append(f"{name}\t{', '.join(scene_words.WORDS) if holds else ''}\t\t\t")
        if number >= 12:
            split.append(f"{name}\tdevelopment")
    scenes.append("hidden\tsky\t\t\t")
    split.append("hidden\theld-out")
    truths = [{"id": "p12", "things": [], "scene": ["sky"], "maybe": []}]
    (labels / "scenes.tsv").write_text("\n".join(scenes) + "\n")
    (labels / "split.tsv").write_text("\n".join(split) + "\n")
    (labels / "truth.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in truths))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene_words, "LABELS", labels)
        patch.setattr(composed, "SCENES", 12)
        scene_words.fit(folder, run)
        composed.fit(root, folder, run)
    return run


def test_the_fitted_heads_are_read_by_the_export(heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = train.extended(MODEL)
    torch.save(model.language_model.state_dict(), tmp_path / "stage3.pt")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    monkeypatch.setattr(export, "copied_tokens", partial(copied_tokens, samples=20))
    to = tmp_path / "model"
    export.with_sight(MODEL, tmp_path, heads, to)
    vision = PocketModel.load(to).vision_model
    for name, shape in (("scene", (len(scene_words.WORDS), 1280)), ("composed", (1, 2 * 1760))):
        written, head = np.load(heads / f"{name}.npz"), getattr(vision, name)
        assert written["weight"].shape == shape and written["weight"].any()
        for part in ("weight", "bias"):
            assert np.array_equal(getattr(head, part).numpy(), written[part].astype(np.float16).astype(np.float32))
    said = json.loads((heads / "scene.json").read_text())
    assert list(said) == list(scene_words.WORDS)
    assert all(0.5 <= odds <= 0.95 or odds == scene_words.NEVER for odds in said.values())
    assert said["indoors"] < 1, "blue and noise are told apart"
    assert json.loads((to / "config.json").read_text())["pocket_scene"] == said
