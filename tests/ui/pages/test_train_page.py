"""The page Train: what lies on the disk, curves, what the model says, and the buttons that start, stop and resume."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.console.processes import describe_process
from core.errors import UsageError
from plugins.pocket.backend import MODEL
from tests.ui.app import assert_well, html_of, open_page, visitor_of
from training.checkpoints import only_one
from training.data.sample_set import write_sample
from training.recipes import load_recipe
from training.runs import manage
from ui.pages.train import _few
from ui.state.chats import page_state as chat_state
from ui.state.training import TrainPageState

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


def desk(app: AppTest) -> TrainPageState:
    return visitor_of(app).keep("train", TrainPageState)


def button(app: AppTest, label: str) -> Any:
    return next((one for one in app.button if one.label == label), None)


def test_without_a_training_the_page_says_so(tmp_path: Path) -> None:
    app = opened(tmp_path)
    assert "No training run found" in app.info[0].value
    app.text_input(key="train-root").set_value(str(tmp_path / "nowhere")).run()
    assert_well(app)
    assert "is no folder of this machine" in app.error[0].value


def test_a_first_training_is_one_click_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    started: list[tuple[Any, Path]] = []
    monkeypatch.setattr("training.runs.manage.start", lambda recipe, run: started.append((recipe, run)))
    app = opened(tmp_path)
    button(app, "Start the first training").click().run()
    assert_well(app)
    [(recipe, run)] = started
    assert run == tmp_path / "runs" / "own-stage1-1" and recipe.model.parts[-2:] == ("pocket", "model")
    assert (tmp_path / "sample-pictures" / "000.png").is_file() and desk(app).chosen == [run]
    assert not app.error


def test_a_finished_training_is_tried_in_the_chat(make: Make) -> None:
    run = make("one")
    app = opened(run.parent)
    button(app, "Try it").click().run()
    assert_well(app)
    state = chat_state(visitor_of(app))
    assert state.settings.vision == f"trained:{run}" and len(state.next_pictures) == 1


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
    monkeypatch.setattr("training.runs.manage.resume", lambda run: resumed.append(run))  # a fake: starts no process
    app = opened(run.parent)
    assert "failed" in html_of(app) and "memory of cuda is full" in app.error[0].value
    assert button(app, "Resume") is None, "there is no checkpoint to go on from"
    (run / "checkpoints" / "step-00000020").mkdir(parents=True)
    app.run()
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
        monkeypatch.setattr("core.console.processes.ask_to_end", lambda process: not sent.append(process))
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


def places_of(block: Any) -> list[str]:
    """The fields below which an error is said."""
    found = []
    for child in block.children.values():
        if hasattr(child, "children"):
            key = re.search(r"train-wrong-(\w+)", str(child.proto))
            errors = any(getattr(one, "type", "") == "error" for one in child.children.values())
            found += [key[1]] if key and errors and len(child.children) == 1 else places_of(child)
    return found


def begin(app: AppTest) -> None:
    app.session_state["train-part"] = "new"
    app.run()
    assert_well(app)


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """The form, filled in with a small model and drawn pictures, and with what a test says."""
    monkeypatch.chdir(tmp_path)
    write_sample(tmp_path / "sample-pictures", 6)

    def fill(**changes: str) -> AppTest:
        app = opened(tmp_path)
        begin(app)
        app.selectbox(key="train-recipe").set_value("own-stage1")
        for name, value in {"model": "pocket", "data": "sample-pictures", "out": "runs/mine", **changes}.items():
            next(one for one in (*app.text_input, *app.text_area) if one.key == f"train-{name}").set_value(value)
        app.run()
        assert_well(app)
        return app

    return fill


def test_a_newcomer_is_led_to_the_small_model_and_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = opened(tmp_path)
    begin(app)
    assert [one.value for one in app.error if "minigpt4-7b" in one.value], "there is no large model here"
    button(app, "Use the small model and sample data").click().run()
    assert_well(app)
    assert (tmp_path / "sample-pictures" / "000.png").is_file() and not app.error and not app.warning
    assert not button(app, "Start").disabled
    assert app.text_input(key="train-out").value == "runs/own-stage1-1"
    assert button(app, "Use the small model and sample data") is None, "nothing is missing any more"


@pytest.mark.parametrize(
    ("changes", "place", "words"),
    [
        ({"model": "/nowhere"}, "model", "/nowhere does not exist"),
        ({"model": "sample-pictures"}, "model", "config.json"),
        ({"data": "/nowhere"}, "data", "does not exist"),
        ({"data": "empty"}, "data", "empty"),
        ({"data": "untold"}, "data", "untold"),
        ({"out": "sample-pictures"}, "out", "holds other things"),
        ({"out": "file/below"}, "out", "is no folder"),
        ({"settings": "stepz=4"}, "settings", "did you mean steps?"),
        ({"settings": "features=/nowhere"}, "settings", "holds no cached features"),
        ({"settings": "projection=/nowhere"}, "settings", "/nowhere does not exist"),
        ({"settings": "qformer=false"}, "model", "Q-Former"),
        ({"settings": "lora_rank=8"}, "model", "peft"),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_nothing_is_started(
    ready: Callable[..., AppTest], changes: dict[str, str], place: str, words: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("training.runs.manage.start_detached", lambda *_, **__: pytest.fail("a process was started"))
    if "lora_rank" in str(changes):
        real = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *more: None if name == "peft" else real(name, *more)
        )
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "untold").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "untold" / "1.png")  # a picture without a text
    app = ready(**changes)
    [error] = app.error
    assert words in error.value.replace("\\", "") and button(app, "Start").disabled
    assert place in places_of(app.main)
    assert not list(tmp_path.rglob("recipe.toml"))


def test_it_has_begun_when_its_process_says_that_it_trains(
    ready: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(recipe: Any, out: Path) -> int:
        """A fake: leaves a folder, and this process in the place of its own."""
        out.mkdir(parents=True)
        (out / "recipe.toml").write_text(recipe.to_toml())
        (out / "process.json").write_text(json.dumps({**describe_process(os.getpid()), "begun": time.time()}))
        return 1

    monkeypatch.setattr("training.runs.manage.start", start)
    app = ready(settings="steps=40")
    button(app, "Start").click().run()
    assert_well(app)
    [run] = desk(app).chosen
    with only_one(run):
        app.run()
        assert "starting" in html_of(app) and not app.success, "it holds its folder, and loads the model"
        (run / "status.json").write_text(json.dumps({"state": "running", "time": time.time() - 3600, "steps": 40}))
        app.run()
        assert "starting" in html_of(app) and not app.success, "this status is of an earlier process"
        (run / "status.json").write_text(json.dumps({"state": "running", "time": time.time(), "steps": 40}))
        app.run()
        assert_well(app)
        assert "has started" in app.success[0].value and "running" in html_of(app)


def test_one_that_fails_before_it_trains_shows_its_own_words_and_what_to_do(
    ready: Callable[..., AppTest], tmp_path: Path
) -> None:
    """A real process: the sample vanishes between the check and the training."""

    app = ready(settings="steps=40")
    broken = tmp_path / "broken"
    shutil.copytree(MODEL, broken)
    whole = broken.joinpath("model.safetensors").read_bytes()
    app.text_input(key="train-model").set_value(str(broken)).run()
    assert not app.error
    checked = manage.require
    manage.require = lambda *_: broken.joinpath("tokenizer.json").unlink()  # after all checks
    try:
        button(app, "Start").click().run()
    finally:
        manage.require = checked
    [run] = desk(app).chosen
    ticks = threading.Event()
    while manage.describe(run)["state"] == "starting":
        ticks.wait(0.2)
    app.run()
    assert_well(app)
    assert manage.describe(run)["state"] == "failed" and not app.success
    assert "tokenizer.json" in app.error[0].value and button(app, "Resume") is None
    button(app, "Restart").click().run()
    assert "tokenizer.json" in app.error[0].value, "it is checked again before it is started again"
    assert whole
    button(app, "Change settings").click().run()
    assert_well(app)
    assert app.text_input(key="train-out").value == str(run) and "as in" in app.selectbox(key="train-recipe").options[0]


def test_what_cannot_be_started_is_a_sentence(ready: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch) -> None:
    def start(recipe: Any, out: Path) -> int:
        raise UsageError("the training in there is finished already; name another folder.")

    monkeypatch.setattr("training.runs.manage.start", start)
    app = ready()
    button(app, "Start").click().run()
    assert_well(app)
    assert app.error[0].value == "The training in there is finished already; name another folder."


def test_a_few_of_many_checkpoints() -> None:
    steps = [(step, "") for step in range(1, 101)]
    assert [step for step, _ in _few(steps, 4)] == [1, 34, 67, 100]
    assert _few(steps[:3], 4) == steps[:3]
