"""A process is known by its number, start time and command; a number alone gets no signal, whoever has it now."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.console.processes import ask_to_end, describe_process, is_running
from core.errors import UsageError
from tests.training.curation.fakes import generated_folder
from training.checkpoints import PROCESS as TRAINING
from training.checkpoints import only_one, read_json, write_json
from training.curation import processes as steps
from training.curation.folder import PROCESS as CURATION
from training.recipes import load_recipe
from training.runs.manage import start as start_training
from training.runs.manage import stop as stop_training
from training.runs.status import is_starting

SLEEPER = [sys.executable, "-c", "import sys; print('here', flush=True); sys.stdin.read()"]


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[str]]:
    """A process of this user that nobody may touch."""
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline()
        yield process
        assert process.poll() is None, "it was ended"
        process.kill()


def forged(bystander: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Files that name the bystander, though another process was meant."""
    true = describe_process(bystander.pid)
    now = {"begun": time.time()}
    return [
        {"pid": bystander.pid, "host": true["host"], **now},
        {**true, **now, "started": true["started"] - 60.0},
        {**true, **now, "command": describe_process()["command"]},
        {**true, **now, "started": None},
        {**true, **now, "started": str(true["started"])},
        {**true, **now, "command": ""},
        {**true, **now, "host": "elsewhere"},
        {**describe_process(), **now, "pid": bystander.pid},
    ]


def test_a_process_is_found_again_and_asked_to_end() -> None:
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline()
        record = describe_process(process.pid)
        assert is_running(record) and ask_to_end(record)
        assert process.wait(60) != 0
        assert not is_running(record) and not ask_to_end(record)
    assert is_running(describe_process()), "this one"


def test_only_the_process_that_was_meant_gets_a_signal(bystander: subprocess.Popen[str]) -> None:
    for record in forged(bystander):
        assert not is_running(record) and not ask_to_end(record), record


@pytest.mark.parametrize("pid", [0, -1, 1, True, None, "1", 2**70, 2**31 - 1, 4.0])
def test_numbers_that_mean_more_than_one_process_or_none_get_no_signal(pid: Any) -> None:
    """0 and -1 would reach a whole group, or everything of this user."""
    record = {**describe_process(), "pid": pid}
    assert not is_running(record) and not ask_to_end(record)


def test_one_that_has_ended_is_no_process_any_more() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    record = describe_process(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked about it yet
    assert not is_running(record) and not ask_to_end(record)
    process.wait(60)


def test_what_is_written_names_no_arguments() -> None:
    with subprocess.Popen([*SLEEPER, "hush-hush"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert "hush" not in str(describe_process(process.pid))
        process.kill()


def test_stopping_a_training_ends_nobody_else(bystander: subprocess.Popen[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.toml").write_text(load_recipe("pocket-test").to_toml())
    for record in forged(bystander):
        write_json(run / TRAINING, record)
        assert not is_starting(read_json(run / TRAINING)), record
        with pytest.raises(UsageError, match="no training is at work"):
            stop_training(run)
        with only_one(run):
            write_json(run / TRAINING, record)
            with pytest.raises(UsageError, match="stop it"):
                stop_training(run)
            with pytest.raises(UsageError, match="at work in"):
                start_training(load_recipe("pocket-test"), run)


def test_stopping_a_step_ends_nobody_else(bystander: subprocess.Popen[str], tmp_path: Path) -> None:
    folder = generated_folder(tmp_path, 2)
    for record in forged(bystander):
        write_json(folder.path / CURATION, {**record, "step": "repair"})
        assert not steps.watch(folder.path).at_work, record
        with pytest.raises(UsageError, match="no step is at work"):
            steps.stop(folder.path)
        with folder.at_work(), pytest.raises(UsageError, match="stop it"):  # held, but not by the one who is named
            steps.stop(folder.path)
