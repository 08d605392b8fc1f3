"""A model, pictures with texts and a recipe that take a second: what the tests of training train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.recipes import Recipe, make_recipe

TEXTS = (
    "a picture of something red",
    "two cats on a mat, and one more behind them that nobody counted",
    "A house. It is green!",
    "seven",
    "there is a man who has a hat and another man who has none",
)
INSTRUCTIONS = ["Describe this image in detail.", "What do you see?", "Say what is there."]


def make_pictures(folder: Path, count: int = 12) -> Path:
    """Small pictures of noise with a text beside each."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    for number in range(count):
        noise = random.integers(0, 255, (16 + number, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number:03d}.png")
        (folder / f"{number:03d}.txt").write_text(f"{TEXTS[number % len(TEXTS)]} {number}", encoding="utf-8")
    return folder


def make_world(root: Path) -> Path:
    """ROOT/model and ROOT/pictures."""
    from tests.plugins.minigpt4.tiny import save

    save(root / "model")
    make_pictures(root / "pictures")
    return root


def recipe(root: Path, **changes: Any) -> Recipe:
    """A recipe of a few steps; `changes` as in a recipe file."""
    values: dict[str, Any] = {
        "stage": 2,
        "model": str(root / "model"),
        "data": str(root / "pictures"),
        "instructions": INSTRUCTIONS,
        "max_target_tokens": 40,
        "steps": 8,
        "batch": 4,
        "lr": 1e-3,
        "lr_min": 1e-4,
        "lr_warmup_start": 1e-5,
        "warmup": 2,
        "pack_tokens": 256,
        "forward_tokens": 1024,
        "workers": 1,
        "streams": 2,
        "shuffle_buffer": 8,
        "checkpoint_every": 3,
        "explosion": 0,
        "samples": 0,
    }
    return make_recipe({**values, **changes}, "the test's recipe")


def log(run: Path) -> list[dict[str, Any]]:
    """The log without what a clock says."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in log(run)]


def train_in_a_process(root: str, out: str, changes: dict[str, Any]) -> None:
    """For processes that will be killed: one thread, and nothing said."""
    import os
    import sys

    import torch

    from training.run import train

    torch.set_num_threads(1)
    with open(os.devnull, "w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        train(recipe(Path(root), **changes), Path(out))
