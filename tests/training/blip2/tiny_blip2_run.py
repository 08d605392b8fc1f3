"""A BLIP-2 of a few thousand random numbers, pictures with captions or questions, and a recipe of a few steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.plugins.blip2.tiny_blip2 import make_model, save
from tests.training.tiny_run import make_pictures
from training.recipes import Blip2Recipe, make_recipe

KINDS = ("opt", "t5")
QUESTIONS = (
    ("What is it?", ["a cat", "a cat", "cat"]),
    ("How many dogs are there, and where do they sit?", ["2"]),
    ("Is it red?", ["no"]),
)


def make_blip2_world(root: Path, kind: str, *, dropout: float = 0.0) -> Path:
    """ROOT/model, ROOT/pictures with a caption each, and ROOT/questions.jsonl."""
    model = make_model(kind)
    model.config.qformer_config.hidden_dropout_prob = dropout
    model.config.qformer_config.attention_probs_dropout_prob = dropout
    if kind == "t5":  # logits as of a model that learned something: rounding errors do not grow from step to step
        with torch.no_grad():
            model.language_model.lm_head.weight.mul_(0.1)
    save(root / "model", kind, model)
    make_pictures(root / "pictures")
    rows = [
        {"image": f"pictures/{number:03d}.png", "question": question, "answers": answers}
        for number in range(12)
        for question, answers in [QUESTIONS[number % 3]]
    ]
    (root / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return root


def blip2_recipe(root: Path, **changes: Any) -> Blip2Recipe:
    """A recipe of a few steps; `changes` as in a recipe file."""
    values: dict[str, Any] = {
        "stage": "blip2",
        "model": str(root / "model"),
        "data": str(root / ("questions.jsonl" if changes.get("task") == "vqa" else "pictures")),
        "max_target_tokens": 100,
        "steps": 6,
        "batch": 4,
        "lr": 1e-3,
        "lr_min": 1e-3,
        "lr_warmup_start": 1e-3,
        "warmup": 0,
        "packing": False,
        "workers": 1,
        "streams": 1,
        "shuffle_buffer": 0,
        "checkpoint_every": 3,
        "explosion": 0,
        "samples": 0,
        "lora_dropout": 0.0,
        "lora_rank": 4,
    }
    if changes.get("packing"):
        values["pack_tokens"] = 256
    made = make_recipe({**values, **changes}, "the test's recipe")
    assert isinstance(made, Blip2Recipe)
    return made


def train_blip2_in_a_process(root: str, out: str, changes: dict[str, Any], kill_after: int = 0) -> None:
    """In a process of its own, with one thread and nothing said; it gets SIGKILL after step `kill_after`, if given."""
    import os
    import signal
    import sys

    from training.runs.progress import RunProgress

    step = RunProgress.step

    def killed(self: RunProgress, entry: dict[str, Any], *rest: Any) -> None:
        step(self, entry, *rest)
        if entry["step"] == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    RunProgress.step = killed  # type: ignore[method-assign]
    from training.run import train

    torch.set_num_threads(1)
    with open(os.devnull, "w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        train(blip2_recipe(Path(root), **changes), Path(out))
