"""kill -9 at ten random moments: the run ends with the same losses and the same bytes as one that nobody disturbed."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.training.tiny_run import log, make_world, train_in_a_process

KILLS = 10
CHANGES: dict[str, Any] = {"steps": 60, "checkpoint_every": 4, "lora_rank": 0, "train_qformer": True}
PATIENCE = 120.0


def lines(run: Path) -> int:
    try:
        return (run / "log.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


@pytest.mark.slow
def test_killed_ten_times_it_is_the_same_run(tmp_path: Path) -> None:
    """The Q-Former is trained too, so that dropout has to be the same again."""
    make_world(tmp_path)
    context = multiprocessing.get_context("forkserver")  # imports once, before it forks
    context.set_forkserver_preload(["training.run", "training.features.encode", "tests.training.tiny_run"])

    def start(name: str) -> Any:
        process = context.Process(target=train_in_a_process, args=(str(tmp_path), str(tmp_path / name), CHANGES))
        process.start()
        return process

    undisturbed = start("undisturbed")
    chance = random.Random(11)
    killed = tmp_path / "killed"
    kills = 0
    while kills < KILLS:
        process = start("killed")
        target = lines(killed) + chance.randint(-3, 9)  # sometimes while it is still opening the model
        deadline = time.monotonic() + PATIENCE
        while process.is_alive() and lines(killed) < target and time.monotonic() < deadline:
            process.join(0.002)
        process.join(chance.random() * 0.05)  # anywhere within a step, or while a checkpoint is written
        if not process.is_alive():
            assert process.exitcode == 0
            break
        process.kill()
        process.join()
        kills += 1
    last = start("killed")
    for process in (undisturbed, last):
        process.join(PATIENCE)
        assert process.exitcode == 0
    assert kills == KILLS, f"the run was over after {kills} kills; make it longer"
    assert len(log(killed)) == 60
    assert log(killed) == log(tmp_path / "undisturbed")
    for file in ("projection.safetensors", "recipe.toml"):
        assert (killed / file).read_bytes() == (tmp_path / "undisturbed" / file).read_bytes()
    steps = [path.name for path in sorted((killed / "checkpoints").iterdir())]
    assert steps == ["step-00000056", "step-00000060"], "nothing half written is left"


@pytest.fixture(autouse=True)
def _no_children_are_left() -> Any:
    yield
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
