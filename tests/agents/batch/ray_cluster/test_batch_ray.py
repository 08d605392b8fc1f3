"""`--engine ray` on a Ray of its own with two workers: the same files as the local engine, whatever happens to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.agents.batch.making import lines, make_pictures
from tests.agents.batch.ray_cluster.ray_eye import DIES_AT, WAITS_FROM, install

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'ray' is not installed"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals"),
]
ROOT = Path(__file__).resolve().parents[4]
COUNT, PATIENCE = 60, 400  # seconds; on a busy machine Ray takes a minute to start
OUTPUTS = ("captions.jsonl", "captions.json", "captions.tar")


@dataclass(frozen=True)
class Desktop:
    """A folder with pictures: twins near and far, and one that is none."""

    folder: Path
    environment: dict[str, str]

    def start(self, *options: str, vision: str = "watched", **variables: Path) -> subprocess.Popen[str]:
        outs = [part for output in OUTPUTS for part in ("--out", output)]
        command = [sys.executable, "-m", "agents.batch", "photos", *outs, "--shard-size", "20", "--vision", vision]
        command += ["--questioner", "scripted", "--rounds", "4", "--seed", "5", "--batch", "2", "--concurrency", "2"]
        environment = self.environment | {name: str(value) for name, value in variables.items()}
        return subprocess.Popen(
            [*command, *options], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, *options: str, **variables: Path) -> tuple[int, str, str]:
        with self.start(*options, **variables) as process:
            out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err

    def taken(self) -> dict[str, bytes]:
        """Every file that a user gets; they are gone then, and the journal with them."""
        found = {path.name: path.read_bytes() for path in sorted(self.folder.glob("captions*")) if path.is_file()}
        for path in self.folder.glob("captions*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.looks.unlink(missing_ok=True)
        return found

    @property
    def looks(self) -> Path:
        return Path(self.environment["LOOKS"])

    @property
    def log(self) -> list[tuple[int, str]]:
        """(process id, "opened" or sha256 of what it looked at), oldest first."""
        if not self.looks.exists():
            return []
        return [(int(pid), what) for pid, what in map(str.split, self.looks.read_text().splitlines())]

    @property
    def workers(self) -> set[int]:
        """Process ids of those that looked at something."""
        return {pid for pid, what in self.log if what != "opened"}

    @property
    def settled(self) -> list[str]:
        """The keys in the journal, in its order."""
        journal = self.folder / "captions.jsonl.work" / "journal.jsonl"
        if not journal.exists():
            return []
        # the last line may be on its way
        whole = journal.read_text().rpartition("\n")[0].splitlines()
        records = [json.loads(line) for line in whole]
        return [record["key"] for record in records if record["kind"] in ("done", "same", "failed")]


@pytest.fixture
def desktop(tmp_path: Path) -> Desktop:
    photos = make_pictures(tmp_path / "photos", COUNT)
    for number, name in ((50, "p000x"), (3, "p059x"), (30, "p031x")):
        shutil.copy(photos / f"p{number:03d}.png", photos / f"{name}.png")
    (photos / "p017.png").write_bytes(b"no picture")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("INQUISIGHT_", "RAY_"))}
    path = os.pathsep.join([str(install(tmp_path / "plugin")), str(ROOT)])
    names = {"LOOKS": tmp_path / "looks.log", "INQUISIGHT_HOME": tmp_path / "home"}
    return Desktop(tmp_path, clean | {"PYTHONPATH": path} | {name: str(value) for name, value in names.items()})


def wait(process: subprocess.Popen[str], until: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not until():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def are_gone(pids: set[int]) -> None:
    """Or become so: a process takes a moment to end."""
    end = time.monotonic() + PATIENCE
    while not all(map(is_gone, pids)):
        assert time.monotonic() < end, "workers outlive the command"
        time.sleep(0.05)


RAY = ("--engine", "ray", "--workers", "2")


def looked(desktop: Desktop) -> Counter[str]:
    """How often each picture was looked at."""
    return Counter(what for _, what in desktop.log if what != "opened")


def test_two_workers_write_what_one_process_writes(desktop: Desktop) -> None:
    code, out, _ = desktop.run()
    assert (code, out.splitlines()[0]) == (
        1, "63 pictures: 59 captioned, 3 repeated, 1 failed (see captions.failed.jsonl; --failed tries them again)"
    )  # fmt: skip
    [same] = [line for line in lines(desktop.folder / "captions.jsonl") if line["key"] == "photos/p050.png"]
    assert same["same_as"] == "photos/p000x.png", "the first of the input is the one that others are the same as"
    local = desktop.taken()

    code, again, err = desktop.run(*RAY, "--requests-per-second", "500")
    assert (code, again.splitlines()[0]) == (1, out.splitlines()[0]), err
    assert err in ("", *(line for line in err.splitlines(keepends=True) if " of 63, " in line)), "Ray keeps quiet"
    workers = desktop.workers
    assert len(workers) == 2 and again.splitlines()[1].endswith(", 2 workers"), "both had their share"
    assert max(looked(desktop).values()) == 1, "and no picture was looked at twice"
    ours = desktop.taken()
    assert sorted(ours) == sorted(local) and ours == local
    are_gone(workers)


def test_a_pool_grows_while_there_is_more_to_do_than_hands(desktop: Desktop) -> None:
    """From one worker, who is stuck before the gate with all it can hold, to two; the files are those of one process,
    which are those of a fixed pool.
    """
    assert desktop.run()[0] == 1
    local = desktop.taken()
    gate = desktop.folder / "gate"
    few = ("--concurrency", "1", "--batch", "1")  # a worker holds less than waits for the gate
    with desktop.start("--engine", "ray", "--workers", "1:2", *few, GATE=gate) as process:
        wait(process, lambda: len(desktop.workers) == 2)
        gate.touch()
        out, err = process.communicate(timeout=PATIENCE)
    opened = [number for number, (_, what) in enumerate(desktop.log) if what == "opened"]
    assert len(opened) == 2 and opened[1] - opened[0] > 1, "the first one was at work before there was a second"
    assert process.returncode == 1 and out.splitlines()[1].endswith(", 2 workers"), out + err
    assert max(looked(desktop).values()) == 1
    assert desktop.taken() == local


def test_killed_and_gone_on_with(desktop: Desktop) -> None:
    assert desktop.run()[0] == 1
    local = desktop.taken()
    gate, died = desktop.folder / "gate", desktop.folder / "died"
    with desktop.start(*RAY, GATE=gate) as process:
        wait(process, lambda: len(desktop.settled) >= 5)
        workers = desktop.workers
        process.kill()
    assert workers and process.returncode == -signal.SIGKILL
    before = desktop.settled
    assert 5 <= len(before) < COUNT, "in the middle"
    are_gone(workers)

    gate.touch()
    code, out, err = desktop.run(*RAY, DIED=died)  # and now a worker is killed, whose pictures others take over
    assert code == 1 and out.startswith("63 pictures: 59 captioned, 3 repeated, 1 failed"), err
    settled = desktop.settled
    assert died.exists() and f"photos/p{DIES_AT:03d}.png" not in before, "a worker died in the middle"
    assert settled[: len(before)] == before and len(settled) == len(set(settled)) == COUNT + 3, "nothing lost or twice"
    assert desktop.taken() == local


def test_ctrl_c_finishes_what_is_under_way_and_the_other_engine_goes_on(desktop: Desktop) -> None:
    assert desktop.run()[0] == 1
    local = desktop.taken()
    gate = desktop.folder / "gate"
    with desktop.start(*RAY, "--json", GATE=gate) as process:
        wait(process, lambda: len(desktop.settled) >= 5)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everybody hears it
        assert process.stderr is not None
        while "finishing the interviews under way" not in (line := process.stderr.readline()):
            assert line, "it ended without a word"
        gate.touch()
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and "Traceback" not in err
    facts = json.loads(out)
    assert facts["captioned"] >= 5 and facts["this_run"]["captioned"] == facts["captioned"]
    assert len(looked(desktop)) == facts["captioned"], "what was begun was finished"
    assert desktop.run()[0] == 1 and len(desktop.settled) == len(set(desktop.settled)) == COUNT + 3
    assert desktop.taken() == local


def test_an_error_of_a_worker_is_one_line(desktop: Desktop) -> None:
    with desktop.start("--engine", "ray", vision="bug") as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode and out == "" and err.count("\n") == 1 and "Traceback" not in err
    assert "a bug in a plugin" in err and "vision backend 'bug'" in err
    assert WAITS_FROM < COUNT
