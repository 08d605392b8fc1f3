"""Two processes of `accelerate launch` compute what one computes with the same global batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.tiny_run import log, losses, make_world, recipe
from training.run import train

ROOT = Path(__file__).resolve().parents[3]


def launch(processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`accelerate launch` on CPU, as the documentation has it, talking through the loopback interface alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes)]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_ip", "127.0.0.1", "--main_process_port", str(port), "-m", "training.run", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=400)


@pytest.mark.slow
def test_two_processes_are_one_with_the_same_global_batch(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    chosen = recipe(world, steps=10, batch=5, checkpoint_every=4)  # five samples: the shares differ
    one = train(chosen, tmp_path / "one")
    file = tmp_path / "recipe.toml"
    file.write_text(chosen.to_toml())
    two = tmp_path / "two"
    done = launch(2, "stage2", "--recipe", str(file), "--out", str(two))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == f"{two}\n" and "2 processes on cpu" in done.stderr
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    assert [line["tokens"] for line in log(two)] == [line["tokens"] for line in log(one)]
    # and one process goes on where two were, to the same end
    (two / "finished.json").unlink()
    import shutil

    shutil.rmtree(two / "checkpoints" / "step-00000010")
    train(chosen, two)
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
