"""kill -9 in the middle of a fine-tuning with dropout: the same losses and bytes as of one that nobody disturbed."""

from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.training.blip2.tiny_blip2_run import make_blip2_world, train_blip2_in_a_process
from tests.training.tiny_run import log

PATIENCE = 300.0
CHANGES: dict[str, Any] = {"steps": 14, "checkpoint_every": 4, "shuffle_buffer": 8, "streams": 2, "task": "vqa"}
WAYS: dict[str, dict[str, Any]] = {
    "qformer": {"train": "qformer", "keep_features": True},
    "lora": {"train": "lora", "lora_dropout": 0.1},
}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "way"), [("opt", "qformer"), ("t5", "lora")])
def test_killed_three_times_it_is_the_same_run(tmp_path: Path, kind: str, way: str) -> None:
    if way == "lora":
        pytest.importorskip("peft")
    make_blip2_world(tmp_path, kind, dropout=0.1)
    context = multiprocessing.get_context("forkserver")  # imports once, before it forks
    context.set_forkserver_preload(["training.run", "training.features.encode", "tests.training.tiny_run"])
    changes = {**CHANGES, **WAYS[way]}

    def run(name: str, kill_after: int = 0) -> int | None:
        arguments = (str(tmp_path), str(tmp_path / name), changes, kill_after)
        process = context.Process(target=train_blip2_in_a_process, args=arguments)
        process.start()
        process.join(PATIENCE)
        return process.exitcode

    assert run("undisturbed") == 0
    for step in (3, 6, 9):  # before the first checkpoint, and between two
        assert run("killed", step) == -signal.SIGKILL
    assert run("killed") == 0
    assert len(log(tmp_path / "killed")) == 14
    assert log(tmp_path / "killed") == log(tmp_path / "undisturbed")
    names = ("killed", "undisturbed")
    tensors, others = ((tmp_path / name / "projection.safetensors").read_bytes() for name in names)
    assert tensors == others


@pytest.fixture(autouse=True)
def _no_children_are_left() -> Any:
    yield
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
