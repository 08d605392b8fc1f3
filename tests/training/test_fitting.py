"""What a run chooses from its data and its model: said with a reason, kept, and the same after an interruption."""

from __future__ import annotations

import csv
import json
import random
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from core.errors import InquisightError
from plugins.pocket.backend import MODEL
from tests.training.tiny_run import losses, make_pictures, make_world, recipe
from training.fitting import FittedValues, choose, choose_packing, chosen_for, count_samples
from training.packing import Words, forwards, groups_of, work_of
from training.preflight import check
from training.recipes import load_recipe, make_recipe, ready_recipe
from training.run import train

SMALL = ["workers=1", "samples=0", "explosion=0", "forward_tokens=1024"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


def own(world: Path, data: Path, stage: int = 1, **changes: Any) -> Any:
    words = [f"model={world / 'model'}", f"data={data}", *SMALL, *(f"{k}={v}" for k, v in changes.items())]
    return ready_recipe(f"own-stage{stage}", words, stage=f"stage{stage}")


# --- numbers from the data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "batch", "steps"),
    [(1, 4, 100), (12, 4, 100), (60, 4, 150), (200, 16, 125), (1000, 64, 157), (100_000, 64, 15_625)],
)
def test_batch_steps_and_warm_up_follow_the_number_of_samples(samples: int, batch: int, steps: int) -> None:
    values = choose(load_recipe("own-stage1"), samples=samples, hidden=4096, world=1).values
    assert (values["batch"], values["steps"], values["warmup"]) == (batch, steps, steps // 10)
    assert values.get("streams", 4) == min(4, samples)


def test_many_samples_have_no_more_steps_than_the_paper() -> None:
    assert choose(load_recipe("own-stage1"), samples=10**7, hidden=4096, world=1).values["steps"] == 20_000


@pytest.mark.parametrize(("stage", "hidden", "rate"), [(1, 4096, 2.4e-4), (2, 4096, 7.3e-5), (1, 256, 3.9e-3)])
def test_the_rate_follows_the_width(stage: int, hidden: int, rate: float) -> None:
    values = choose(load_recipe(f"own-stage{stage}"), samples=60, hidden=hidden, world=1).values
    assert values["lr"] == rate and values["lr_min"] == rate / 10 and values["lr_warmup_start"] == rate / 100


def test_what_is_asked_for_is_not_chosen() -> None:
    changed = load_recipe("own-stage1", ["batch=2", "lr=1e-3", "steps=30", "warmup=3"])
    assert changed.fit == () and (changed.batch, changed.lr, changed.steps, changed.warmup) == (2, 1e-3, 30, 3)
    partly = load_recipe("own-stage1", ["epochs=2", "batch=5"])
    values = choose(partly, samples=100, hidden=64, world=1).values
    assert set(partly.fit) == {"lr", "warmup"} and values["warmup"] == 4 and "steps" not in values


def test_readers_are_shared_evenly_by_the_processes() -> None:
    assert choose(load_recipe("own-stage1"), samples=3, hidden=64, world=2).values["streams"] == 2
    assert choose(load_recipe("own-stage1"), samples=1, hidden=64, world=2).values["streams"] == 4  # its error is named


# --- any kind of data, nothing but model and data named ---------------------------------------------------------------


def as_folder(pictures: Path, to: Path) -> Path:
    return shutil.copytree(pictures, to)


def as_csv(pictures: Path, to: Path) -> Path:
    shutil.copytree(pictures, to)
    with (to / "list.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "caption"])
        writer.writerows([picture.name, picture.with_suffix(".txt").read_text()] for picture in to.glob("*.png"))
    for text in to.glob("*.txt"):
        text.unlink()
    return to / "list.csv"


def as_jsonl(pictures: Path, to: Path) -> Path:
    shutil.copytree(pictures, to)
    rows = [{"file_name": one.name, "text": one.with_suffix(".txt").read_text()} for one in to.glob("*.png")]
    (to / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return to


def as_shards(pictures: Path, to: Path) -> Path:
    """Without the statistics that img2dataset leaves beside a shard."""
    to.mkdir()
    files = sorted(pictures.iterdir())
    for number, some in enumerate((files[:8], files[8:])):
        with tarfile.open(to / f"{number:05d}.tar", "w") as tar:
            for file in some:
                tar.add(file, file.name)
    return to


@pytest.mark.parametrize("write", [as_folder, as_csv, as_jsonl, as_shards], ids=lambda one: one.__name__[3:])
def test_one_setting_beside_the_model_is_enough(
    world: Path, tmp_path: Path, write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(world / "pictures", tmp_path / "data")
    chosen = own(world, data)
    assert count_samples(chosen) == 12
    # the number of steps alone is made smaller
    out = train(own(world, data, steps=3), tmp_path / "run")
    said = capsys.readouterr().err
    assert len(losses(out)) == 3 and "batch: 4, for 12 samples" in said and "12 written" in said
    assert (out / "features" / "features.json").is_file()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_handful_of_pictures_can_be_trained_on(world: Path, tmp_path: Path, count: int) -> None:
    out = train(own(world, make_pictures(tmp_path / "few", count), steps=2), tmp_path / "run")
    assert len(losses(out)) == 2 and json.loads((out / "finished.json").read_text())["samples"] == 8


def test_stage_2_goes_on_with_the_run_of_stage_1_and_its_features(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train(own(world, world / "pictures", steps=2), tmp_path / "first")
    changes = [f"model={first}", f"data={world / 'pictures'}", "steps=2", *SMALL]
    chosen = ready_recipe("own-stage2", changes, stage="stage2")
    assert chosen.model == world / "model" and chosen.projection == str(first)
    capsys.readouterr()
    second = train(chosen, tmp_path / "second")
    assert "0 written, 12 known" in capsys.readouterr().err and not (second / "features").exists()
    again = make_recipe(chosen.model_dump(mode="json", exclude_none=True), "again")
    assert (again.model, again.projection) == (chosen.model, chosen.projection)


def test_a_run_goes_on_with_what_it_chose(world: Path, tmp_path: Path) -> None:
    """The number of steps is read from the run, also where other numbers would be chosen by now."""
    from training import checkpoints

    chosen = recipe(world, steps=4, checkpoint_every=2)
    whole = train(chosen, tmp_path / "whole")
    part = tmp_path / "part"
    shutil.copytree(whole, part)
    for name in ("finished.json", "projection.safetensors"):
        (part / name).unlink()
    shutil.rmtree(part / "checkpoints" / "step-00000004")
    values = json.loads((part / "chosen.json").read_text())
    values["values"]["steps"] = 6
    (part / "chosen.json").write_text(json.dumps(values))
    assert len(losses(train(chosen, part))) == 6
    assert checkpoints.steps_saved(part) == [4, 6]


# --- packing ----------------------------------------------------------------------------------------------------------

SHAPE: dict[str, Any] = {"linear": 12 * 256 * 256, "hidden": 256}


def estimate(lengths: list[int], size: int = 1024, batch: int = 12, **shape: Any) -> Any:
    return work_of(lengths, batch=batch, size=size, budget=8192, **{**SHAPE, **shape})


def test_texts_of_one_length_are_not_packed_and_mixed_ones_are() -> None:
    chance = random.Random(1)
    equal = estimate([180] * 240)
    mixed = estimate([int(chance.lognormvariate(4.6, 0.7)) for _ in range(240)])
    assert equal.padded == 0 and equal.ratio > 1.1
    assert mixed.padded > 0.4 and mixed.ratio < 0.9
    base = load_recipe("stage2-7b")
    no, yes = choose_packing(base, lambda: equal), choose_packing(base, lambda: mixed)
    assert no.values == {"pack_tokens": 0} and no.why["packing"].startswith("no, of 240 samples 0% of the places")
    assert yes.values == {} and yes.why["packing"].startswith("yes, of 240 samples")
    assert estimate([180] * 240) == equal, "the same every time"


def test_attention_weighs_less_in_a_wide_model() -> None:
    narrow, wide = estimate([180] * 240), estimate([180] * 240, linear=12 * 4096**2, hidden=4096)
    assert wide.ratio < narrow.ratio


def test_the_estimate_counts_the_places_that_are_computed() -> None:
    """Held against the layouts themselves, in both ways."""
    chance = random.Random(2)
    words = [Words((1,), (), tuple(range(1, chance.randint(5, 60)))) for _ in range(30)]
    lengths = [one.length(4) for one in words]
    for size in (0, 96):
        places = sum(rows.places for rows in forwards(words, 4, size, 300))
        groups = list(groups_of(lengths, size, 300))
        assert sum(len(rows) * max(sum(lengths[one] for one in row) for row in rows) for rows in groups) == places
    found = work_of(lengths, batch=30, size=96, budget=300, linear=1.0, hidden=0)
    plain = sum(rows.places for rows in forwards(words, 4, 0, 300))
    packed = sum(rows.places for rows in forwards(words, 4, 96, 300))
    assert found.ratio == pytest.approx(packed / plain)
    assert found.padded == pytest.approx(1 - sum(lengths) / plain)


@pytest.mark.parametrize(("setting", "packed"), [("true", True), ("false", False)])
def test_the_recipe_may_decide_it(setting: str, packed: bool) -> None:
    def never() -> Any:
        raise AssertionError("nothing is measured")

    chosen = load_recipe("stage2-7b", [f"packing={setting}"])
    found = choose_packing(chosen, never)
    assert (found.values == {}) is packed and "as the recipe says" in found.why["packing"]
    assert choose_packing(load_recipe("stage2-7b", ["pack_tokens=0"]), never).why == {"packing": "no, pack_tokens=0"}


def test_what_was_chosen_is_said_and_kept_and_changes_no_number(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {}
    for setting in ("auto", True, False):
        capsys.readouterr()
        runs[setting] = train(recipe(world, packing=setting, steps=4), tmp_path / str(setting))
        said = capsys.readouterr().err
        kept = json.loads((runs[setting] / "finished.json").read_text())["chosen"]["packing"]
        chosen = chosen_for(runs[setting])
        assert f"packing: {kept}" in said and chosen is not None and chosen.why["packing"] == kept
    assert losses(runs[True]) == pytest.approx(losses(runs[False]), rel=1e-4)
    assert losses(runs["auto"]) == pytest.approx(losses(runs[False]), rel=1e-4)


def test_packing_is_not_chosen_anew_when_a_run_goes_on(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import run as running
    from training import tasks
    from training.runs.progress import RunProgress

    step = RunProgress.step
    sizes: list[int] = []
    forwards_ = tasks.forwards

    def noted(words: Any, pictures: int, size: int, budget: int) -> Any:
        sizes.append(size)
        return forwards_(words, pictures, size, budget)

    def interrupted(self: RunProgress, entry: dict[str, Any], *rest: Any) -> None:
        step(self, entry, *rest)
        if entry["step"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(tasks, "forwards", noted)
    monkeypatch.setattr(
        running, "choose_packing", lambda *_, **__: FittedValues({"pack_tokens": 64}, {"packing": "yes, a test"})
    )
    with monkeypatch.context() as patched:
        patched.setattr(RunProgress, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(recipe(world, steps=4, checkpoint_every=1), tmp_path / "run")
    monkeypatch.setattr(running, "choose_packing", lambda *_, **__: pytest.fail("it was chosen already"))
    train(recipe(world, steps=4, checkpoint_every=1), tmp_path / "run")
    assert set(sizes) == {64}


# --- checks before anything large is read -----------------------------------------------------------------------------


def bare(folder: Path) -> Path:
    make_pictures(folder)
    for text in folder.glob("*.txt"):
        text.unlink()
    return folder


def test_what_cannot_work_is_one_line_before_a_model_is_loaded(world: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    prepared = shutil.copytree(world / "model", tmp_path / "prepared")
    (prepared / "manifest.json").write_text(json.dumps({"untrained": True}))
    model, data = f"model={world / 'model'}", f"data={world / 'pictures'}"
    for name, changes, said in (
        ("own-stage1", [model, f"data={tmp_path / 'nowhere'}"], "does not exist"),
        ("own-stage1", [model, f"data={tmp_path / 'empty'}"], "holds no pictures"),
        (
            "own-stage1",
            [model, f"data={bare(tmp_path / 'bare')}"],
            "its 12 samples cannot be used, as 000.png: it has no",
        ),
        ("own-stage1", [f"model={tmp_path / 'empty'}", data], "model="),
        ("own-stage2", [f"model={prepared}", data], "is not trained yet: train stage 1 first"),
        ("own-stage2", [model, data, f"projection={tmp_path / 'no-run'}"], "no-run"),
        ("pocket-test", ["model=pocket", data], "--set keep_features=true"),
    ):
        text = check(ready_recipe(name, changes))[0].words
        assert said in text and "\n" not in text, text
    assert check(ready_recipe("own-stage1", [f"model={prepared}", data])) == []


def test_broken_samples_are_named_before_the_first_step(world: Path, tmp_path: Path) -> None:
    data = make_pictures(tmp_path / "data")
    for number in range(4):
        (data / f"{number:03d}.png").write_bytes(b"no picture %d" % number)
    with pytest.raises(InquisightError, match="4 of 12 samples are broken"):
        train(own(world, data, steps=2), tmp_path / "run")
    assert not (tmp_path / "run" / "log.jsonl").exists()


# --- the embedded small model -----------------------------------------------------------------------------------------


def test_pocket_is_the_embedded_model_unless_a_folder_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_recipe("own-stage1", ["model=pocket"]).model == MODEL
    (tmp_path / "pocket").mkdir()
    assert load_recipe("own-stage1", ["model=pocket"]).model == tmp_path / "pocket"
