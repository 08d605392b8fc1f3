"""The page Train: what lies on the disk, curves, what the model says, and the buttons that start, stop and resume."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.errors import UsageError
from tests.ui.pages import assert_well, html_of, open_page, visitor_of
from training.checkpoints import only_one
from training.recipes import load_recipe
from ui.train import Desk, _few

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes the folder of a training as one leaves it, without training anything."""

    def run(name: str, *, steps: int = 40, done: int = 40, finished: bool = True, loss: float = 4.0) -> Path:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        recipe = load_recipe("pocket-test", {"title": "A made one", "steps": steps, "warmup": 1})
        (folder / "recipe.toml").write_text(recipe.to_toml())
        lines = [
            {"step": step, "loss": loss / step, "lr": 1e-3, "samples": 4 * step, "seconds": step / 2}
            for step in range(1, done + 1)
        ]
        (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "samples").mkdir()
        Image.new("RGB", (20, 12), "orange").save(folder / "samples" / "0.jpg")
        said = [
            {"step": step, "number": 0, "key": "000.png", "says": f"a <cat> {step}", "text": "a dog on a lawn"}
            for step in range(5, done + 1, 5)
        ]
        (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said))
        if finished:
            (folder / "finished.json").write_text(json.dumps({"kind": "inquisight-training"}))
        return folder

    return run


def opened(root: Path) -> AppTest:
    app = open_page("train")
    app.text_input(key="train-root").set_value(str(root)).run()
    assert_well(app)
    return app


def desk(app: AppTest) -> Desk:
    return visitor_of(app).keep("train", Desk)


def button(app: AppTest, label: str) -> Any:
    return next((one for one in app.button if one.label == label), None)


def test_without_a_training_the_page_says_so(tmp_path: Path) -> None:
    app = opened(tmp_path)
    assert "No training lies there" in app.info[0].value
    app.text_input(key="train-root").set_value(str(tmp_path / "nowhere")).run()
    assert_well(app)
    assert "is no folder of this machine" in app.error[0].value


@pytest.mark.slow
def test_a_finished_training_shows_its_curve_and_what_it_said(make: Make) -> None:
    run = make("one")
    app = opened(run.parent)
    assert app.subheader[0].value == "one" and "finished" in html_of(app)
    assert {one.label: one.value for one in app.metric}["Samples/s"] == "8"
    assert any("4.00 at step 1, 0.10 at step 40" in one.value for one in app.caption)
    assert app.get("vega_lite_chart") or app.get("arrow_vega_lite_chart")
    page = html_of(app)
    assert "a &lt;cat&gt; 5" in page and "a &lt;cat&gt; 40" in page and "a dog on a lawn" in page
    assert button(app, "Stop") is None and button(app, "Resume") is None
    assert any(f"trained:{run}" in one.value for one in app.code)


def test_two_trainings_are_laid_over_each_other(make: Make) -> None:
    one, other = make("one"), make("other", loss=8.0, done=30, finished=False)
    app = opened(one.parent)
    app.multiselect[0].set_value([one, other]).run()
    assert_well(app)
    assert [sub.value for sub in app.subheader[:2]] == ["one", "other"]
    [told] = [caption.value for caption in app.caption if "; " in caption.value]
    assert "one: 4.00 at step 1" in told and "other: 8.00 at step 1" in told


def test_one_that_was_interrupted_can_be_resumed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make("one", done=20, finished=False)
    (run / "output.txt").write_text("step 20/40\ninquisight: the memory of cuda is full at step 21.\n")
    resumed: list[Path] = []
    monkeypatch.setattr("training.runs.resume", lambda run: resumed.append(run))  # a fake: starts no process
    app = opened(run.parent)
    assert "interrupted" in html_of(app) and "memory of cuda is full" in app.error[0].value
    button(app, "Resume").click().run()
    assert_well(app)
    assert resumed == [run]


def test_one_that_failed_says_why(make: Make) -> None:
    run = make("one", done=20, finished=False)
    (run / "stopped.json").write_text(json.dumps({"reason": "the loss is nan at step 21; try a lower lr."}))
    app = opened(run.parent)
    assert "failed" in html_of(app) and app.error[0].value.startswith("The loss is nan at step 21")


def test_one_at_work_can_be_stopped_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make("one", done=20, finished=False)
    sent: list[object] = []
    with only_one(run):
        monkeypatch.setattr("training.runs.ask_to_end", lambda process: not sent.append(process))
        status = {"state": "running", "time": time.time(), "rate": 12.5, "left": 90.0, "steps": 40}
        (run / "status.json").write_text(json.dumps(status))
        app = opened(run.parent)
        figures = {one.label: one.value for one in app.metric}
        assert figures["Samples/s"] == "12.5" and figures["Time left"].startswith("1 min")
        assert json.loads((run / "process.json").read_text())["pid"] == os.getpid()
        button(app, "Stop").click().run()
        assert_well(app)
        assert len(sent) == 1 and button(app, "Stop").disabled and "stopping" in html_of(app)
    assert not (run / "process.json").exists()


def test_one_on_another_machine_is_told(make: Make) -> None:
    run = make("one", done=20, finished=False)
    with only_one(run):
        (run / "process.json").write_text(json.dumps({"pid": 1, "host": f"not-{platform.node()}"}))
        app = opened(run.parent)
        button(app, "Stop").click().run()
        assert_well(app)
        assert "stop it there" in app.error[0].value


def begin(app: AppTest) -> None:
    app.session_state["train-part"] = "new"
    app.run()
    assert_well(app)


def test_a_new_one_is_checked_as_on_the_command_line(tmp_path: Path) -> None:
    app = opened(tmp_path)
    begin(app)
    assert button(app, "Start").disabled
    app.text_area(key="train-settings").set_value("stepz=4").run()
    assert_well(app)
    assert "there is no 'stepz'; did you mean steps?" in app.error[0].value
    app.text_area(key="train-settings").set_value("steps=4\nwarmup=1").run()
    assert not app.error and "4 steps" in html_of(app)
    (tmp_path / "notes.txt").write_text("not a training")
    app.text_input(key="train-out").set_value(str(tmp_path)).run()
    button(app, "Start").click().run()
    assert_well(app)
    assert r"holds other things (notes.txt)" in app.error[0].value and not (tmp_path / "recipe.toml").exists()


@pytest.mark.slow
def test_a_new_one_is_started_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[Any, Path]] = []

    def start(recipe: Any, out: Path) -> int:
        """A fake: leaves a folder and starts no process."""
        out.mkdir()
        (out / "recipe.toml").write_text(recipe.to_toml())
        started.append((recipe, out))
        return 1

    monkeypatch.setattr("training.runs.start", start)
    app = opened(tmp_path)
    begin(app)
    app.selectbox(key="train-recipe").set_value("pocket-test").run()
    app.text_input(key="train-model").set_value("a model")
    app.text_input(key="train-data").set_value('pictures "with" quotes')
    app.text_area(key="train-settings").set_value("seed=7")
    app.text_input(key="train-out").set_value(str(tmp_path / "mine")).run()
    button(app, "Start").click().run()
    assert_well(app)
    [(recipe, out)] = started
    assert recipe.seed == 7 and recipe.model == Path("a model").absolute() and out == tmp_path / "mine"
    assert recipe.data[0].path == str(Path('pictures "with" quotes').absolute())
    assert "has begun" in app.success[0].value and desk(app).chosen == [out]
    assert app.subheader[0].value == "mine"


@pytest.mark.slow
def test_what_cannot_be_started_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(recipe: Any, out: Path) -> int:
        raise UsageError("the training in there is finished already; name another folder.")

    monkeypatch.setattr("training.runs.start", start)
    app = opened(tmp_path)
    begin(app)
    app.text_input(key="train-model").set_value("m")
    app.text_input(key="train-data").set_value("d")
    app.text_input(key="train-out").set_value("o").run()
    button(app, "Start").click().run()
    assert_well(app)
    assert app.error[0].value == "The training in there is finished already; name another folder."


def test_a_few_of_many_checkpoints() -> None:
    steps = [(step, "") for step in range(1, 101)]
    assert [step for step, _ in _few(steps, 4)] == [1, 34, 67, 100]
    assert _few(steps[:3], 4) == steps[:3]
