"""Steps as background processes: start, watch, stop, resume, and their errors."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import ImageError, RegistryError, UsageError
from core.files.journal import read_json, write_json
from tests.training.curation.fakes import generated_folder, make_pictures
from training.curation.folder import PROCESS, CurationFolder, is_held
from training.curation.processes import StepStatus, begin, last_option, resume, start, stop, watch
from training.curation.steps.generate import generated
from training.curation.steps.repair import repaired
from training.curation.workspace import find_curations

LONG = 240.0


def until(path: Path, holds: Callable[[StepStatus], bool]) -> StepStatus:
    """The first look for which that holds."""
    end = time.monotonic() + LONG
    while not holds(doing := watch(path)):
        assert time.monotonic() < end, doing
        time.sleep(0.05)
    return doing


def idle(doing: StepStatus) -> bool:
    return not doing.at_work


@pytest.fixture
def folder(tmp_path: Path) -> CurationFolder:
    return generated_folder(tmp_path, 4)


def test_a_step_is_started_and_watched_to_its_end(folder: CurationFolder) -> None:
    assert watch(folder.path) == StepStatus()
    number = start(folder, "repair", ["--repairer", "rules"])
    assert watch(folder.path).state in ("starting", "running")
    with pytest.raises(UsageError, match="`repair` is at work"):
        start(folder, "repair", ["--repairer", "rules"])
    done = until(folder.path, idle)
    assert done.step == "repair" and done.error == "" and number != os.getpid()
    assert len(repaired(folder)) == 4
    assert last_option(folder.path, "repair", "--repairer") == "rules"


@pytest.mark.slow
def test_what_goes_wrong_in_a_step_is_one_sentence(folder: CurationFolder) -> None:
    start(folder, "repair", ["--repairer", "nobody-knows-it"])
    done = until(folder.path, idle)
    assert "nobody-knows-it" in done.error and "Traceback" not in done.error
    start(folder, "repair", ["--repairer", "rules"])
    assert until(folder.path, idle).error == "", "what was wrong before is forgotten"


@pytest.mark.slow
def test_one_that_is_stopped_keeps_what_is_done_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "sitecustomize.py").write_text(
        "import time\nfrom training.curation.steps import fixing\nmend = fixing.repair\n"
        f"def wait(text):\n    import pathlib\n    while pathlib.Path({str(tmp_path / 'hold')!r}).exists()"
        " and ' number ' in text and wait.done >= 2:\n        time.sleep(0.02)\n    wait.done += 1\n"
        "    return mend(text)\nwait.done = 0\nfixing.repair = wait\n"
    )
    (tmp_path / "hold").touch()
    monkeypatch.setenv("PYTHONPATH", str(slow))
    folder = generated_folder(tmp_path, 8)
    start(folder, "repair", ["--repairer", "rules", "--concurrency", "1"])
    seen = until(folder.path, lambda one: one.state == "running" and len(repaired(folder)) == 2)
    assert seen.step == "repair"
    stop(folder.path)
    assert watch(folder.path).state == "stopping"
    with pytest.raises(UsageError, match="stopping already"):
        stop(folder.path)
    (tmp_path / "hold").unlink()
    done = until(folder.path, idle)
    assert done.error == "" and 2 <= len(repaired(folder)) < 8
    with pytest.raises(UsageError, match="no step is at work"):
        stop(folder.path)
    resume(folder.path, "repair")
    assert until(folder.path, idle).error == ""
    assert len(repaired(folder)) == 8


def test_one_that_was_killed_is_told_so(folder: CurationFolder) -> None:
    number = start(folder, "repair", ["--repairer", "rules"])
    os.kill(number, signal.SIGKILL)
    assert "it was killed" in until(folder.path, idle).error


@pytest.mark.slow
def test_a_run_in_a_terminal_is_seen_too(folder: CurationFolder) -> None:
    with folder.at_work("repair"):
        assert is_held(folder.path) and watch(folder.path).state == "running"
        with pytest.raises(UsageError, match="at work"):
            start(folder, "repair", [])
    assert watch(folder.path) == StepStatus(step="repair")
    with folder.at_work():
        assert watch(folder.path).state == "busy"


def test_one_of_another_machine_is_not_stopped_from_here(folder: CurationFolder) -> None:
    with folder.at_work("repair"):
        about = read_json(folder.path / PROCESS) or {}
        write_json(folder.path / PROCESS, {**about, "host": "elsewhere"})
        with pytest.raises(UsageError, match="elsewhere; stop it there"):
            stop(folder.path)


@pytest.mark.parametrize(
    ("pictures", "vision", "problem", "words"),
    [
        ("", "pocket", UsageError, "name the folder of the pictures"),
        ("nowhere", "pocket", UsageError, "is not on this machine"),
        ("empty", "pocket", (UsageError, ImageError), "empty"),
        ("pictures", "pocket", UsageError, "follows no instructions"),
        ("pictures", "no-such-eye", RegistryError, "no-such-eye"),
    ],
)
def test_what_cannot_begin_says_so_and_leaves_nothing(
    tmp_path: Path,
    pictures: str,
    vision: str,
    problem: type[Exception],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_pictures(tmp_path / "pictures", 2)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(problem, match=words):
        begin(tmp_path / "new", pictures, vision)
    assert not (tmp_path / "new").exists()


def test_a_curation_is_begun_with_pocket(tmp_path: Path) -> None:
    make_pictures(tmp_path / "pictures", 3)
    new = tmp_path / "new"
    found = begin(
        new,
        str(tmp_path / "pictures"),
        "pocket",
        sample=2,
        anyway=True,
        instructions=["Describe this picture in detail.", " "],
        options=["--continues", "0", "--temperature", "0"],
    )
    assert found == 2 and find_curations(tmp_path) == [new], "it is there at once"
    done = until(new, idle)
    assert done.error == "" and len(generated(CurationFolder(new))) == 2
    assert CurationFolder(new).settings("generate")["instructions"] == ["Describe this picture in detail."]
    with pytest.raises(UsageError, match="there is a curation in"):
        begin(new, str(tmp_path / "pictures"), "pocket", anyway=True)
    resume(new, "generate")
    assert until(new, idle).error == ""
