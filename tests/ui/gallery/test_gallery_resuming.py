"""Runs that were going when the server was killed go on when the next one starts, with no page opened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.console.processes import describe_process
from core.files.journal import read_json, write_json
from tests.ui.gallery.served import make_pictures
from ui.gallery.library import data_folder
from ui.gallery.resuming import resume_runs
from ui.gallery.runs.collect import SERVER, FolderRuns
from ui.gallery.runs.request import RunRequest
from ui.gallery.runs.run import Run

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 240  # seconds
# What the page does when somebody clicks Start, then nothing until the process is killed.
START = """
import sys, time
from pathlib import Path
from ui.gallery.library import folders
from ui.gallery.runs.request import RunRequest

folder = folders().get(Path(sys.argv[1]))
folder.runs.start(RunRequest("pocket", "scripted", rounds=1), folder.entries(range(9)))
print("started", flush=True)
time.sleep(600)
"""


@pytest.fixture
def going(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run that a server left, without its process."""
    root = make_pictures(tmp_path / "pictures")
    runs = data_folder(root) / "runs"
    Run.make(runs, RunRequest("pocket", "scripted"), {"p0.png": ""}).save()
    write_json(runs / SERVER, {"root": str(root), "pid": 0})
    monkeypatch.setattr(Run, "start", lambda self: None)
    monkeypatch.setattr(FolderRuns, "_follow", lambda self, run: None)
    return root


def test_a_run_that_nobody_follows_is_found(going: Path) -> None:
    assert resume_runs() == [going]
    record = read_json(data_folder(going) / "runs" / SERVER)
    assert record is not None and record["pid"] == os.getpid()
    assert resume_runs() == []  # this process follows it now


def test_runs_of_another_server_and_finished_ones_are_left_alone(going: Path) -> None:
    runs = data_folder(going) / "runs"
    write_json(runs / SERVER, {"root": str(going), **describe_process(os.getppid())})
    assert resume_runs() == []
    write_json(runs / SERVER, {"root": str(going), "pid": 0})
    [path] = [one for one in runs.iterdir() if one.is_dir()]
    run = Run.read(path)
    assert run is not None
    run.state = "paused"
    run.save()
    assert resume_runs() == []


def test_a_folder_that_is_gone_is_told(going: Path, capsys: pytest.CaptureFixture[str]) -> None:
    going.rename(going.with_name("elsewhere"))
    assert resume_runs() == []
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "does not go on: there is no folder" in said


def batches(home: Path) -> list[psutil.Process]:
    """The processes that caption pictures of this home."""
    found = []
    for one in psutil.process_iter():
        try:
            command = one.cmdline()
        except psutil.Error:
            continue
        if "batch" in command and str(home) in " ".join(command):
            found.append(one)
    return found


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for one in started:
        if one.poll() is None:
            one.terminate()
        one.communicate()
    for batch in batches(tmp_path / "home"):
        batch.kill()


@pytest.mark.slow
def test_after_a_kill_the_next_server_completes_the_run(tmp_path: Path, processes: list[subprocess.Popen[str]]) -> None:
    root, home = make_pictures(tmp_path / "pictures"), tmp_path / "home"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INQUISIGHT_")}
    environment = {**kept, "INQUISIGHT_HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}

    def start(*command: str) -> subprocess.Popen[str]:
        one = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        processes.append(one)
        return one

    first = start("-c", START, str(root))
    assert first.stdout is not None and first.stdout.readline() == "started\n"
    first.kill()
    first.wait()
    for batch in batches(home):
        os.kill(batch.pid, signal.SIGKILL)
        batch.wait(20)
    assert not (root / "p0.txt").exists()
    server = start("-m", "agents.cli", "ui", "--port", "0", "--no-browser")
    assert server.stdout is not None and server.stdout.readline().startswith("Inquisight is at ")
    end = time.monotonic() + PATIENCE
    while not all((root / f"p{n}.txt").exists() for n in range(6)) and time.monotonic() < end:
        time.sleep(0.1)
    assert all((root / f"p{n}.txt").read_text().strip() for n in range(6))
