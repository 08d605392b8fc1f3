"""Checkpoints are whole or not there; a folder belongs to one recipe and one process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from tests.training.tiny_run import recipe
from training.checkpoints import (
    LEARNED,
    OPTIMIZER,
    STATE,
    RunError,
    claim,
    is_running,
    latest,
    log_lines,
    only_one,
    prune,
    save,
    steps_saved,
    truncate,
)

ROOT = Path(__file__).resolve().parents[3]


def store(run: Path, step: int) -> Path:
    learned = {"weight": torch.full((3, 2), float(step)), "half": torch.ones(2, dtype=torch.bfloat16)}
    return save(run, step, learned, {"weight|exp_avg": torch.ones(3, 2)}, {"positions": {"0": {"taken": step}}})


def test_the_newest_one_is_read_back(tmp_path: Path) -> None:
    assert latest(tmp_path) is None
    for step in (5, 10, 100_000_000):
        store(tmp_path, step)
    found = latest(tmp_path)
    assert found is not None and found.step == 100_000_000
    assert (
        torch.equal(found.learned["weight"], torch.full((3, 2), 1e8)) and found.learned["half"].dtype == torch.bfloat16
    )
    assert found.state["positions"] == {"0": {"taken": 100_000_000}}
    assert set(found.optimizer) == {"weight|exp_avg"}


@pytest.mark.parametrize("file", [LEARNED, OPTIMIZER, STATE])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, file: str, damage: str) -> None:
    store(tmp_path, 5)
    bad = store(tmp_path, 10) / file
    content = bytearray(bad.read_bytes())
    if damage == "cut":
        bad.write_bytes(content[:-7])
    elif damage == "changed":
        content[len(content) // 2] ^= 255
        bad.write_bytes(content)
    else:
        bad.unlink()
    found = latest(tmp_path)
    assert found is not None and found.step == 5
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000005")
    with pytest.raises(RunError, match="step-00000010"):
        latest(tmp_path)


def test_a_kill_while_writing_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every point at which something was written: the folder as a kill there would leave it."""
    from training import checkpoints

    class Killed(BaseException):
        pass

    store(tmp_path / "first", 5)
    whole = checkpoints.write_whole
    for survived in range(4):
        run = tmp_path / f"run{survived}"
        shutil.copytree(tmp_path / "first", run)
        left = survived

        def dying(path: Path, content: bytes) -> None:
            nonlocal left
            if left == 0:
                path.write_bytes(content[: len(content) // 2])
                raise Killed
            left -= 1
            whole(path, content)

        monkeypatch.setattr(checkpoints, "write_whole", dying)
        if survived < 3:
            with pytest.raises(Killed):
                store(run, 10)
        else:
            store(run, 10)
        monkeypatch.undo()
        found = latest(run)
        assert found is not None and found.step == (10 if survived == 3 else 5)
        assert store(run, 10).is_dir() and steps_saved(run) == [5, 10]  # and the next try works
        prune(run, 1)
        assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000010"]


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), unique=True, max_size=8), st.integers(1, 4))
def test_pruning_keeps_the_newest(tmp_path_factory: pytest.TempPathFactory, steps: list[int], keep: int) -> None:
    run = tmp_path_factory.mktemp("run")
    for step in steps:
        (run / "checkpoints" / f"step-{step:08d}").mkdir(parents=True)
    prune(run, keep)
    assert steps_saved(run) == sorted(steps)[-keep:]


def test_the_log_is_cut_to_the_checkpoint(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "loss": 1.0 / step}) for step in range(1, 6)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + '\n{"step": 6, "lo')
    assert [line["step"] for line in log_lines(tmp_path)] == [1, 2, 3, 4, 5]
    truncate(tmp_path / "log.jsonl", 3)
    assert (tmp_path / "log.jsonl").read_text() == "\n".join(lines[:3]) + "\n"


def test_a_folder_belongs_to_one_recipe(tmp_path: Path) -> None:
    run = tmp_path / "run"
    claim(run, recipe(tmp_path))
    claim(run, recipe(tmp_path, seed=41))  # nothing was trained yet
    claim(run, recipe(tmp_path))
    store(run, 5)
    claim(run, recipe(tmp_path, checkpoint_every=1, title="the same"))
    with pytest.raises(UsageError, match=r"another recipe \(seed: 42 there, 7 here\)"):
        claim(run, recipe(tmp_path, seed=7))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds other things \(letter.txt\)"):
        claim(tmp_path / "other", recipe(tmp_path))


def test_one_process_at_a_time_and_a_kill_frees_the_folder(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from training.checkpoints import only_one
with only_one(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None and other.stdout.readline() == "in\n"
    assert is_running(tmp_path)
    with pytest.raises(UsageError, match="another process trains"), only_one(tmp_path):
        pass
    other.kill()
    other.wait()
    other.stdout.close()
    assert other.stdin is not None
    other.stdin.close()
    assert not is_running(tmp_path)
    with only_one(tmp_path):
        assert is_running(tmp_path)


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    store(tmp_path, 5)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="no space left on device"):
        store(tmp_path, 10)
    monkeypatch.undo()
    found = latest(tmp_path)
    assert found is not None and found.step == 5
