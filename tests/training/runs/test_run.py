"""A whole run as a user has it: what it leaves, how it stops, how it goes on, and that its result can be used."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import BackendError, UsageError
from core.registry import get_registry
from core.testing import make_picture
from core.vision import GenerationOptions, VisualQuestion
from tests.training.tiny_run import log, losses, make_pictures, make_world, recipe
from training.checkpoints import RunError, steps_saved
from training.commands import main
from training.features.keep import keep_features
from training.recipes import StageRecipe
from training.run import Interrupted, stage1, stage2, train


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def finished(world: Path) -> Path:
    """A run that nothing disturbed."""
    return train(recipe(world), world / "finished")


def written(world: Path, out: Path, **changes: Any) -> list[str]:
    """Arguments of the command for a recipe of the tests."""
    file = out.with_suffix(".toml")
    chosen = recipe(world, **changes)
    file.write_text(chosen.to_toml())
    return [chosen.name, "--recipe", str(file), "--out", str(out)]


# --- what it leaves --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_learns_and_leaves_everything(finished: Path) -> None:
    lines = log(finished)
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert lines[-1]["samples"] == 32 and lines[-1]["tokens"] > 32
    assert lines[-1]["loss"] < lines[0]["loss"]
    names = {path.name for path in finished.iterdir()}
    assert {"recipe.toml", "log.jsonl", "projection.safetensors", "finished.json", "checkpoints"} <= names
    assert steps_saved(finished) == [6, 8]


def test_only_the_projection_is_saved(finished: Path) -> None:
    from safetensors.torch import load_file

    tensors = load_file(finished / "projection.safetensors")
    assert set(tensors) == {"language_projection.weight", "language_projection.bias"}
    times = {name: (finished / name).stat().st_mtime_ns for name in ("projection.safetensors", "finished.json")}
    assert times["projection.safetensors"] <= times["finished.json"]


def test_the_plot_is_a_picture_and_tensorboard_can_read_the_run(finished: Path) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    with Image.open(finished / "loss.png") as plot:
        assert plot.size[0] > 500
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = event_accumulator.EventAccumulator(str(finished / "tensorboard"))
    events.Reload()
    assert [round(one.value, 3) for one in events.Scalars("loss")] == [round(loss, 3) for loss in losses(finished)]


def test_the_same_run_again_says_that_it_is_finished(
    world: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "projection.safetensors").read_bytes()
    assert train(recipe(world), finished) == finished
    assert "is finished already" in capsys.readouterr().err
    assert (finished / "projection.safetensors").read_bytes() == before


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run(world: Path, finished: Path, tmp_path: Path) -> None:
    again = train(recipe(world), tmp_path / "again")
    assert log(again) == log(finished)
    assert losses(train(recipe(world, seed=43), tmp_path / "other")) != losses(finished)


# --- the same numbers by other ways ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"pack_tokens": 0}, {"forward_tokens": 100}, {"recompute": True}, {"workers": 4}], ids=str
)
def test_how_it_is_computed_changes_nothing(
    world: Path, finished: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    assert losses(train(recipe(world, **changes), tmp_path / "run")) == pytest.approx(losses(finished), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [1, 2])
def test_kept_features_give_the_same_loss(world: Path, tmp_path: Path, stage: int) -> None:
    changes: dict[str, Any] = {"stage": stage, "plain_captions": stage == 1}
    plain = train(recipe(world, **changes), tmp_path / "plain")
    features = keep_features(recipe(world, **changes), tmp_path / "features")
    cached = train(recipe(world, **changes, features=str(features)), tmp_path / "cached")
    assert losses(cached) == pytest.approx(losses(plain), rel=1e-3)  # features are kept in 16 bit
    assert losses(cached) != losses(plain)


@pytest.mark.slow
def test_a_picture_without_features_is_skipped_and_named(world: Path, tmp_path: Path) -> None:
    features = keep_features(recipe(world), tmp_path / "features")
    shutil.copytree(world / "pictures", tmp_path / "more")
    make_pictures(tmp_path / "more", 13)  # one that was not there
    run = train(recipe(world, data=str(tmp_path / "more"), features=str(features), steps=12), tmp_path / "run")
    named = [json.loads(line) for line in (run / "broken.jsonl").read_text().splitlines()]
    assert [Path(entry["key"]).name for entry in named] == ["012.png"]
    assert "no cached features" in named[0]["reason"]


# --- stopping and going on -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_a_checkpoint_and_the_same_command_goes_on(
    world: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    from training.runs.progress import RunProgress

    step = RunProgress.step

    def interrupting(self: RunProgress, entry: dict[str, Any], *rest: Any) -> None:
        step(self, entry, *rest)
        if entry["step"] == 4:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with monkeypatch.context() as patched:
        patched.setattr(RunProgress, "step", interrupting)
        with pytest.raises(Interrupted, match="stopped after step 5") as raised:
            train(recipe(world), tmp_path / "run")
    assert raised.value.exit_code == 128 + number
    assert signal.getsignal(number) == before
    assert steps_saved(tmp_path / "run") == [3, 5] and not (tmp_path / "run" / "finished.json").exists()
    run = train(recipe(world), tmp_path / "run")
    assert log(run) == log(finished)
    assert (run / "projection.safetensors").read_bytes() == (finished / "projection.safetensors").read_bytes()


@pytest.mark.slow
def test_another_recipe_does_not_go_on(world: Path, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"lr: 0\.001 there, 0\.002 here"):
        train(recipe(world, lr=2e-3), finished)
    with pytest.raises(BackendError, match="mistyped"):
        train(recipe(world, model="/mistyped"), tmp_path / "run")
    assert train(recipe(world), tmp_path / "run").is_dir()  # nothing was begun there


def spoil(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """From the picture number `after` on, the picture that is 20 high gives numbers that are none."""
    from training import feed

    seen = 0
    real = feed.pixels

    def pixels(pictures: list[Any], *settings: Any) -> torch.Tensor:
        nonlocal seen
        seen += 1
        made = real(pictures, *settings)
        return made * float("nan") if seen > after and pictures[0].image.height == 20 else made

    monkeypatch.setattr(feed, "pixels", pixels)


@pytest.mark.parametrize("pack", [0, 256])
def test_a_loss_that_is_no_number_stops_with_the_samples(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: int
) -> None:
    spoil(monkeypatch, 16)
    with pytest.raises(RunError) as raised:
        train(recipe(world, pack_tokens=pack, steps=20), tmp_path / "run")
    said = str(raised.value)
    assert "the loss is nan at step " in said and "1 of its 4 samples: " in said and "004.png" in said
    assert "lower lr" in said and "\n" not in said
    told = json.loads((tmp_path / "run" / "stopped.json").read_text())
    assert len(told["keys"]) == 4 and [key.split(": ")[1] for key in told["broken"]] == ["004.png"]
    last = log(tmp_path / "run")[-1]["step"]
    assert told["step"] == last + 1 and steps_saved(tmp_path / "run")[-1] == last - last % 3
    assert f"step-{last - last % 3:08d}/projection.safetensors" in said


@pytest.mark.slow
def test_a_loss_that_explodes_stops_at_the_last_good_checkpoint(world: Path, tmp_path: Path) -> None:
    # the usual loss counts as an explosion here
    with pytest.raises(RunError, match=r"the loss explodes at step 21: .* usual is .*step-00000020/projection"):
        train(recipe(world, steps=30, explosion=0.5, checkpoint_every=10), tmp_path / "run")
    assert steps_saved(tmp_path / "run") == [10, 20]


@pytest.mark.slow
def test_too_many_broken_pictures_stop_the_run(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "pictures", tmp_path / "pictures")
    for file in sorted((tmp_path / "pictures").glob("*.png"))[:4]:
        file.write_bytes(file.read_bytes()[:60])
    data = str(tmp_path / "pictures")
    with pytest.raises(Exception, match="samples are broken") as raised:
        train(recipe(world, data=data, steps=200), tmp_path / "run")
    assert "\n" not in str(raised.value)
    allowed = train(recipe(world, data=data, steps=6, max_broken=0.9), tmp_path / "allowed")
    named = {json.loads(line)["key"] for line in (allowed / "broken.jsonl").read_text().splitlines()}
    assert named and all(key.startswith("00") for key in named)
    assert {sample for line in log(allowed) for sample in [line["samples"]]} == {4, 8, 12, 16, 20, 24}


# --- ablations -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"projection_layers": 3},
        {"train_qformer": True},
        {"lora_rank": 2},
        {"stage": 2, "projection": "fresh"},
        {"epochs": 2, "steps": None},
    ],
    ids=str,
)
def test_each_ablation_trains_resumes_and_is_used(world: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    if "lora_rank" in changes:
        pytest.importorskip("peft")
    chosen = recipe(world, **changes)
    run = train(chosen, tmp_path / "run")
    whole = log(run)
    shutil.rmtree(run / "checkpoints" / f"step-{whole[-1]['step']:08d}")
    (run / "finished.json").unlink()
    assert log(train(chosen, run)) == whole
    assert isinstance(answer(f"{run}"), str)


@pytest.mark.slow
def test_without_a_qformer(tmp_path: Path) -> None:
    from benchmarks.parity import minigpt4_recipe as parity
    from benchmarks.parity.run_minigpt4 import converted, save_sources

    [variant] = [each for each in parity.VARIANTS if not each.qformer]
    save_sources(variant, tmp_path)
    chosen = recipe(
        tmp_path, model=str(converted(variant, tmp_path)), data=str(make_pictures(tmp_path / "pictures")), qformer=False
    )
    run = train(chosen, tmp_path / "run")
    assert losses(run)[-1] < losses(run)[0]


@pytest.mark.slow
def test_stage_2_begins_where_stage_1_ended(world: Path, finished: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    run = train(
        recipe(world, projection=str(finished), steps=1, warmup=1, lr_warmup_start=0, lr_min=0), tmp_path / "run"
    )
    before, after = (load_file(each / "projection.safetensors") for each in (finished, run))
    assert all(torch.equal(before[name], after[name]) for name in before)  # the first rate was zero
    file = finished / "checkpoints" / "step-00000006" / "projection.safetensors"
    assert train(recipe(world, projection=str(file), steps=1, warmup=0), tmp_path / "from-checkpoint").is_dir()


# --- using it --------------------------------------------------------------------------------------------------------


def answer(argument: str, kind: str = "trained") -> str:
    """What the backend says of a picture."""
    from plugins.minigpt4.runtime.backend import MiniGPT4Backend
    from plugins.trained import TrainedBackend

    backend = (TrainedBackend if kind == "trained" else MiniGPT4Backend)(argument)
    [image] = backend.encode([make_picture()])
    question = VisualQuestion(image, "What is it?", options=GenerationOptions(max_new_tokens=12))
    [said] = backend.answer([question])
    backend.close()
    return said


def test_a_finished_run_scores_answers_by_its_own_probabilities(world: Path, finished: Path) -> None:
    from plugins.trained import open_trained

    scores = []
    for backend in (open_trained(str(finished)), get_registry().create_vision(f"minigpt4:{world / 'model'}")):
        assert backend.scores
        [image] = backend.encode([make_picture()])
        scores += backend.score([VisualQuestion(image, "Is it red?")], [("yes", "no")])
        backend.close()
    assert scores[0] != scores[1] and all(map(math.isfinite, [*scores[0], *scores[1]]))


def test_a_finished_run_sees_at_once(world: Path, finished: Path) -> None:
    assert answer(str(finished)) != answer(str(world / "model"), "minigpt4")
    assert answer(f"{finished}?base={world / 'model'}&dtype=float32") == answer(str(finished))


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"train_qformer": True}, {"lora_rank": 2}], ids=str)
def test_exported_it_says_the_same(world: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    if "lora_rank" in changes:
        pytest.importorskip("peft")
    run = train(recipe(world, **changes, lr=1e-2), tmp_path / "run")
    assert main(["export", str(run), "--to", str(tmp_path / "whole")]) == 0
    assert answer(str(tmp_path / "whole"), "minigpt4") == answer(str(run))
    assert json.loads((tmp_path / "whole" / "manifest.json").read_text())["trained"]["steps"] == 8


def test_the_converter_takes_the_projection(world: Path, finished: Path) -> None:
    from plugins.minigpt4.convert.projection import read_projection

    projection = read_projection(finished / "projection.safetensors")
    assert (projection.inputs, projection.outputs) == (32, 64)


@pytest.mark.slow
def test_what_cannot_be_used_is_one_line(world: Path, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="holds no finished training"):
        answer(str(world))
    copied = tmp_path / "copy"
    shutil.copytree(finished, copied)
    (copied / "projection.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(BackendError, match="is not the file that was written"):
        answer(str(copied))
    other = tmp_path / "model"
    shutil.copytree(world / "model", other)
    (other / "generation_config.json").write_text("{}")
    with pytest.raises(BackendError, match=r"is not the model that .* was trained with"):
        answer(f"{finished}?base={other}")
    deep = train(recipe(world, projection_layers=2, steps=2), tmp_path / "deep")
    with pytest.raises(UsageError, match="no place for; use it as trained:"):
        from plugins.minigpt4.convert.trained import export

        export(deep, tmp_path / "whole")


@pytest.mark.slow
def test_prepare_joins_a_language_model_with_an_untrained_projection(tmp_path: Path) -> None:
    from tests.plugins.minigpt4 import convert_sources as sources

    llm = sources.save_llm(sources.llm(), tmp_path / "llm")
    eye = sources.save_eye(sources.blip2(), tmp_path / "eye")
    arguments = ["prepare", "--llm", str(llm), "--vision", eye[0]]
    assert main([*arguments, "--to", str(tmp_path / "model")]) == 0
    assert main([*arguments, "--to", str(tmp_path / "patches"), "--no-qformer"]) == 0
    pictures = make_pictures(tmp_path / "pictures")
    for name, qformer in (("model", True), ("patches", False)):
        chosen = recipe(tmp_path, model=str(tmp_path / name), data=str(pictures), qformer=qformer, steps=3)
        assert len(losses(train(chosen, tmp_path / f"run-{name}"))) == 3


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_trains_and_tells_its_status(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert main([*written(world, run), "--set", "log_every=4"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{run}\n"
    lines = [line for line in captured.err.splitlines() if line.startswith("step ")]
    assert [line.split()[1] for line in lines] == ["1/8", "4/8", "8/8"]
    assert all("samples/s" in line and "% of the peak" in line and " left" in line for line in lines)
    assert main(["status", str(run)]) == 0
    said = capsys.readouterr().out
    assert "finished (stage 2" in said and "step 8/8, 32 samples" in said and "--vision trained:" in said
    (run / "finished.json").unlink()
    assert main(["status", str(run)]) == 0
    assert "the same command resumes after step 8" in capsys.readouterr().out
    assert main(["status", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "interrupted"


@pytest.mark.slow
def test_status_of_a_run_that_failed_and_of_one_under_way(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.checkpoints import only_one

    run = tmp_path / "run"
    spoil(monkeypatch, 0)
    assert main(written(world, run)) == RunError.exit_code
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("inquisight: the loss is nan at step ")
    assert main(["status", str(run)]) == 0
    said = capsys.readouterr().out
    assert ": failed" in said and "why it stopped: the loss is nan" in said
    with only_one(run):
        assert main(["status", str(run)]) == 0
        assert ": starting" in capsys.readouterr().out, "the status is that of the process before"
        (run / "status.json").write_text(json.dumps({"state": "running", "time": time.time(), "steps": 8}))
        assert main(["status", str(run)]) == 0
    assert ": running" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stage2", "--recipe", "pocket-test", "--out", "x", "--set", "data=/nowhere"], "model"),
        (["stage1", "--recipe", "own-data", "--out", "x"], "is for stage 2: `inquisight train stage2`"),
        (["stage2", "--recipe", "nothing", "--out", "x"], "no file and no shipped recipe"),
        (["stage2", "--recipe", "own-data"], "--out"),
        (["status", "/nowhere"], "/nowhere does not exist"),
        (["recipes", "stage1-fats"], "did you mean stage1-fast"),
        (["export", "/nowhere", "--to", "x"], "/nowhere does not exist"),
        (["features", "--recipe", "own-data", "--out", "x", "--set", "data=[]"], "names no data"),
    ],
)
def test_bad_input_is_one_line_and_a_code(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) != 0
    captured = capsys.readouterr()
    [line] = captured.err.strip().splitlines()
    assert said in line and line.startswith("inquisight: ")


def test_the_registered_trainers_are_these(world: Path, finished: Path) -> None:
    assert stage2(recipe(world), finished) == finished
    with pytest.raises(UsageError, match="run `inquisight train stage2`"):
        stage1(recipe(world), finished)


def test_processes_that_do_not_share_the_readers_evenly_are_refused(world: Path) -> None:
    from plugins.minigpt4.runtime.loading import check
    from training.feed import Feed
    from training.stages import Wording

    with pytest.raises(UsageError, match="streams=2 cannot be shared evenly by 3 processes: --set streams=3"):
        Feed(recipe(world), object.__new__(Wording), check(world / "model"), steps=1, world=3)


def test_a_bar_on_a_terminal(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from training.runs.progress import RunProgress

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    with RunProgress(tmp_path, "mine", 100, 0, peak=1e9, every=10) as progress:
        progress.step({"step": 50, "loss": 1.5, "lr": 1e-4, "grad_norm": 1.0}, 4, 1e6)
        progress.say("note: something")
        progress._bar.refresh()
    assert "step 50/100  loss 1.5000" in screen.getvalue() and "note: something" in screen.getvalue()


def test_recipes_are_written_beside_the_output(world: Path, finished: Path) -> None:
    import tomllib

    saved = StageRecipe.model_validate(tomllib.loads((finished / "recipe.toml").read_text()))
    assert saved == recipe(world)
