"""The command `train blip2` and its recipes: what is chosen, and one clear line for what cannot work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import InquisightError, UsageError
from tests.training.blip2.tiny_blip2_run import blip2_recipe, make_blip2_world
from training.commands import main
from training.preflight import check
from training.recipes import Blip2Recipe, fields, load_recipe, make_recipe
from training.runs.status import describe, in_words


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_blip2_world(tmp_path_factory.mktemp("world"), "opt")


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_blip2_world(tmp_path_factory.mktemp("t5"), "t5")


def test_the_command_needs_a_model_and_data_alone(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["blip2", "--model", str(world / "model"), "--set", f"data={world / 'pictures'}", "--set", "steps=3"]
    assert main(arguments) == 0
    said = capsys.readouterr()
    run = tmp_path / "blip2-caption"
    assert said.out.strip() == str(run)
    for line in ("batch: 4, for 12 samples", "lr: 1e-05, for qformer", "warmup: 1", "features: 5 x 32 numbers"):
        assert line in said.err
    assert json.loads((run / "finished.json").read_text())["prompts"]["caption"] == ""
    words = "\n".join(in_words(describe(run)))
    assert "BLIP-2, BLIP-2 on own captions" in words and f"--vision blip2:{run}" in words
    assert (run / "samples.jsonl").read_text().count("\n") == 3
    assert main(arguments) == 0 and "is finished already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"model": "/nowhere"}, "model", "/nowhere"),
        ({"dtype": "float16"}, "model", "cannot be trained on a CPU"),
        ({"begin": "/nowhere"}, "model", "begin=/nowhere is no finished run"),
        ({"features": "/nowhere"}, "settings", "holds no cached features"),
        ({"data": "/nowhere"}, "data", "does not exist"),
    ],
)
def test_what_cannot_work_is_known_before(
    world: Path, tmp_path: Path, changes: dict[str, Any], field: str, said: str
) -> None:
    [finding] = check(blip2_recipe(world, **changes), tmp_path / "run")
    assert finding.field == field and said in finding.words and "\n" not in finding.words
    assert not (tmp_path / "run").exists()


def test_flan_t5_has_no_float16_and_no_packing(t5: Path) -> None:
    [finding] = check(blip2_recipe(t5, dtype="float16"))
    assert "dtype=float16 does not work with Flan-T5" in finding.words
    [finding] = check(blip2_recipe(t5, packing=True, pack_tokens=64))
    assert "packing=true: an encoder sees its whole row" in finding.words


def test_a_model_larger_than_the_memory_is_refused(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.blip2.opening.free_memory", lambda _: 1000)
    [finding] = check(blip2_recipe(world))
    assert finding.field == "model" and "GB as float32" in finding.words and "--set dtype=bfloat16" in finding.words


def test_data_without_questions_are_refused(world: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("image,caption\na.png,a cat\n")
    [finding] = check(blip2_recipe(world, task="vqa", data=str(table)))
    assert "has no column 'question'; it has image, caption: set instruction_column" in finding.words
    [finding] = check(blip2_recipe(world, task="vqa", data=str(world / "pictures")))
    assert finding.field == "data" and "it has no .json beside it" in finding.words


def test_a_model_of_another_kind_is_refused(world: Path, tmp_path: Path) -> None:
    from tests.plugins.minigpt4.tiny import save

    save(tmp_path / "minigpt4")
    [finding] = check(blip2_recipe(world, model=str(tmp_path / "minigpt4")))
    assert "is a MiniGPT-4" in finding.words


def test_lora_layers_that_are_none_are_named(world: Path) -> None:
    from training.blip2.opening import open_blip2

    pytest.importorskip("peft")
    with pytest.raises(UsageError, match=r"lora_targets=wq: there are fc1, fc2, k_proj, .*q_proj, v_proj"):
        open_blip2(blip2_recipe(world, train="lora", lora_targets=["wq"]), "cpu", "float32")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": "vision"}, "train=vision: input should be 'qformer', 'projection' or 'lora'"),
        ({"question_prompt": "What?"}, "question_prompt=What?"),
        ({"projection": "model"}, "there is no 'projection'"),
        ({"lora_r": 4}, "did you mean lora_rank?"),
        ({"lora_parts": ["qformer", "qformer"]}, "names a part twice"),
    ],
)
def test_a_mistake_in_a_recipe_is_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        make_recipe({"stage": "blip2", "steps": 9, "warmup": 0, **changes}, "recipe mine.toml")
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_names_on_the_hub_stay_names_and_each_trainer_has_its_recipes(world: Path, tmp_path: Path) -> None:
    recipe = load_recipe("blip2-caption")
    assert isinstance(recipe, Blip2Recipe) and recipe.model == Path("Salesforce/blip2-opt-2.7b")
    assert load_recipe("blip2-vqa").data[0].questions
    assert [name for name, _, about in fields(Blip2Recipe) if len(about) < 10] == []
    assert "question_prompt" not in [name for name, _, _ in fields()]
    file = tmp_path / "saved.toml"
    file.write_text(blip2_recipe(world, task="vqa").to_toml())
    assert load_recipe(str(file)) == blip2_recipe(world, task="vqa")


def test_the_places_of_vqas_files_are_given_by_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    changes = ["data=vqa", "data.0.annotations=answers.json", "data.0.pictures=train2014"]
    [spec] = load_recipe("blip2-vqa", changes).data
    found = (spec.path, spec.annotations, spec.pictures)
    assert found == tuple(str(tmp_path / name) for name in ("vqa", "answers.json", "train2014")) and spec.questions


def test_captions_and_questions_are_mixed(world: Path, tmp_path: Path) -> None:
    from training.run import train

    data = [str(world / "pictures"), {"path": str(world / "questions.jsonl"), "questions": True}]
    run = train(blip2_recipe(world, data=data, samples=4, shuffle_buffer=8), tmp_path / "run")
    lines = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    keys = {str(line["key"]).partition(":")[0] for line in lines}
    assert "questions.jsonl" in keys and len(keys) > 1


def test_another_trainers_recipe_names_its_command(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["blip2", "--recipe", "own-stage1"]) == 2
    assert "is for stage 1: `inquisight train stage1`" in capsys.readouterr().err
    assert main(["stage1", "--recipe", "blip2-vqa", "--out", "x"]) == 2
    assert "is for BLIP-2: `inquisight train blip2`" in capsys.readouterr().err


def test_other_picture_settings_are_refused(world: Path, tmp_path: Path) -> None:
    from training.blip2.opening import check_model, picture_settings

    model = Path(shutil.copytree(world / "model", tmp_path / "model"))
    name = next(name for name in ("preprocessor_config.json", "processor_config.json") if (model / name).is_file())
    file = model / name
    settings = json.loads(file.read_text())
    (settings.get("image_processor") or settings)["do_normalize"] = False
    file.write_text(json.dumps(settings))
    with pytest.raises(InquisightError, match="are not those of BLIP-2"):
        picture_settings(check_model(blip2_recipe(world, model=str(model))))
