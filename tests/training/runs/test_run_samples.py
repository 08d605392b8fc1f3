"""What a training says at its checkpoints, and trainings that somebody starts, stops and resumes from outside."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from core.errors import UsageError
from tests.training.tiny_run import log, make_world, recipe
from training.checkpoints import is_running, only_one, steps_saved, truncate
from training.commands import main
from training.features.keep import keep_features
from training.preflight import NotReadyError
from training.recipes import Recipe
from training.run import Interrupted, train
from training.runs.manage import curve, describe, find_runs, resume, sampled_texts, start, stop

pytestmark = pytest.mark.slow

PATIENCE = 300.0  # seconds that a process may take on a busy machine


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


def wanted(world: Path, **changes: object) -> Recipe:
    return recipe(world, **{"samples": 2, **changes})


@pytest.mark.parametrize("stage", [1, 2])
def test_it_says_something_of_the_same_pictures_at_every_checkpoint(world: Path, tmp_path: Path, stage: int) -> None:
    run = train(wanted(world, stage=stage), tmp_path / "run")
    told = sampled_texts(run)
    assert [one.number for one in told] == [0, 1] and all(one.picture is not None for one in told)
    assert all(list(one.says) == [3, 6, 8] for one in told)
    assert all((world / "pictures" / f"{Path(one.key).stem}.txt").read_text() == one.text for one in told)
    assert any(words for one in told for words in one.says.values())


def test_saying_it_changes_nothing_of_the_training(world: Path, tmp_path: Path) -> None:
    assert log(train(wanted(world), tmp_path / "run")) == log(train(wanted(world, samples=0), tmp_path / "plain"))
    assert not (tmp_path / "plain" / "samples.jsonl").exists()


def test_kept_features_can_say_something_too(world: Path, tmp_path: Path) -> None:
    features = keep_features(wanted(world), tmp_path / "features")
    run = train(wanted(world, features=str(features)), tmp_path / "run")
    assert [list(one.says) for one in sampled_texts(run)] == [[3, 6, 8]] * 2


def test_what_will_be_said_again_is_forgotten(world: Path, tmp_path: Path) -> None:
    run = train(wanted(world), tmp_path / "run")
    whole = sampled_texts(run)
    with (run / "samples.jsonl").open("a") as file:
        file.write('{"step": 8, "torn')
    truncate(run / "samples.jsonl", 3)
    assert [list(one.says) for one in sampled_texts(run)] == [[3], [3]]
    assert [one.text for one in sampled_texts(run)] == [one.text for one in whole]


def test_where_nothing_can_be_said_the_training_goes_on(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> str:
        raise RuntimeError("no words")

    monkeypatch.setattr("training.samples.say", fail)
    run = train(wanted(world), tmp_path / "run")
    assert (run / "finished.json").is_file() and sampled_texts(run) == []
    assert capsys.readouterr().err.count("no samples at the checkpoints: no words") == 1


def test_curves_are_thinned_and_follow_a_growing_log(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "loss": float(step), "grad_norm": None}) + "\n" for step in range(1, 1001)]
    (tmp_path / "log.jsonl").write_text("".join(lines))
    points = curve(tmp_path, points=100)
    assert len(points) == 100 and points[0] == (10, 5.5) and points[-1] == (1000, 995.5)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 1001, "loss": 7.0}\n{"step": 1002, "lo')
    assert curve(tmp_path, points=2000)[-1] == (1001, 7.0)


def test_trainings_are_found_below_a_folder(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(wanted(world, steps=1, warmup=0), tmp_path / "deep" / "down" / "run")
    assert find_runs(tmp_path) == [run]
    assert main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{run}\tfinished\t1/1\n"
    with pytest.raises(UsageError, match="is no folder"):
        find_runs(tmp_path / "nowhere")


def test_nobody_is_stopped_twice_or_for_nothing(world: Path, tmp_path: Path) -> None:
    run = train(wanted(world, steps=1, warmup=0), tmp_path / "run")
    with pytest.raises(UsageError, match="no training is at work"):
        stop(run)
    with pytest.raises(UsageError, match="finished already"):
        resume(run)
    with pytest.raises(UsageError, match="holds no training"):
        stop(world)
    with only_one(run):
        (run / "process.json").write_text(json.dumps({**json.loads((run / "process.json").read_text()), "asked": 1}))
        assert describe(run)["state"] == "stopping"
        with pytest.raises(UsageError, match="is stopping already"):
            stop(run)
        with pytest.raises(UsageError, match=r"at work in .* already"):
            start(wanted(world), run)


def until(run: Path, *states: str) -> str:
    """The state, once it is one of these."""
    deadline = time.monotonic() + PATIENCE
    ticks = threading.Event()
    while (state := describe(run)["state"]) not in states:
        assert time.monotonic() < deadline, (state, (run / "output.txt").read_text())
        ticks.wait(0.1)
    return str(state)


def test_it_is_started_stopped_and_resumed_as_if_nothing_had_happened(world: Path, tmp_path: Path) -> None:
    chosen = wanted(world, steps=3000, checkpoint_every=1000, samples=0)
    run = tmp_path / "run"
    pid = start(chosen, run)
    assert pid != os.getpid() and describe(run)["state"] in ("starting", "running")
    deadline = time.monotonic() + PATIENCE
    while not curve(run):
        assert time.monotonic() < deadline and until(run, "starting", "running")
    assert is_running(run)
    assert main(["stop", str(run)]) == 0
    assert until(run, "interrupted") and describe(run)["reason"].startswith("stopped after step")
    [saved] = steps_saved(run)
    assert 0 < saved < 3000 and describe(run)["step"] == saved
    resume(run)
    while describe(run)["step"] <= saved:
        assert time.monotonic() < deadline and until(run, "starting", "running")
    stop(run)
    until(run, "interrupted")
    assert [line["step"] for line in log(run)] == list(range(1, describe(run)["step"] + 1))


def test_one_that_cannot_begin_is_not_begun(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.runs.manage.start_detached", lambda *_, **__: pytest.fail("a process was started"))
    run = tmp_path / "run"
    with pytest.raises(NotReadyError, match=r"config\.json") as caught:
        start(wanted(world, model=str(world / "pictures"), data="/nowhere"), run)
    assert [one.field for one in caught.value.findings] == ["model", "data"] and not run.exists()


def test_one_that_fails_before_its_first_step_says_why(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = wanted(world, model=str(world / "pictures"))
    run = tmp_path / "run"
    monkeypatch.setattr("training.runs.manage.require", lambda *_: None)  # as if it had been right a moment ago
    start(chosen, run)
    assert until(run, "interrupted", "failed") == "failed"
    assert str(world / "pictures") in describe(run)["reason"] and not describe(run)["checkpoints"]


def test_an_error_is_left_in_the_folder_and_an_interruption_is_none(world: Path, tmp_path: Path) -> None:
    run = train(wanted(world, steps=1, warmup=0), tmp_path / "run")
    (run / "finished.json").unlink()
    with pytest.raises(ZeroDivisionError), only_one(run):
        _ = 1 / 0
    assert describe(run)["state"] == "failed" and "ZeroDivisionError" in describe(run)["reason"]
    (run / "stopped.json").unlink()
    with pytest.raises(Interrupted), only_one(run):
        raise Interrupted(signal.SIGTERM, 1, run)
    assert describe(run)["state"] == "interrupted"
