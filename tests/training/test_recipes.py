"""Recipes: shipped ones hold the originals' figures, mistakes are one line with the right word, no heavy imports."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from training.recipes import StageRecipe, differences, fields, load_recipe, make_recipe, shipped

ROOT = Path(__file__).resolve().parents[2]
SMALL: dict[str, Any] = {"stage": 1, "steps": 10, "warmup": 0}


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_recipes_load_and_say_what_they_are(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.title and recipe.model is not None and recipe.data
    assert name.startswith(recipe.name) or not name.startswith("stage")


@pytest.mark.parametrize("size", ["7b", "13b"])
def test_the_papers_recipes_hold_the_originals_figures(size: str) -> None:
    one, two = load_recipe(f"stage1-{size}"), load_recipe(f"stage2-{size}")
    assert (one.steps, one.batch, one.warmup, one.max_target_tokens) == (20_000, 256, 5000, 32)
    assert (one.lr, one.lr_min, one.lr_warmup_start) == (1e-4, 8e-5, 1e-6)
    assert [spec.weight for spec in one.data] == [115, 14]
    assert (two.steps, two.batch, two.warmup, two.max_target_tokens) == (400, 12, 200, 160)
    assert (two.lr, two.lr_min, two.lr_warmup_start) == (3e-5, 1e-5, 1e-6)
    assert len(two.instructions) == 4
    for recipe in (one, two):
        assert (recipe.beta1, recipe.beta2, recipe.weight_decay, recipe.seed) == (0.9, 0.999, 0.05, 42)
        assert recipe.projection_layers == 1 and not recipe.train_qformer and not recipe.lora_rank


def test_the_fast_stage_1_is_30_percent_of_data_and_steps() -> None:
    fast, full = load_recipe("stage1-fast"), load_recipe("stage1-7b")
    assert fast.steps == 0.3 * (full.steps or 0) and {spec.share for spec in fast.data} == {0.3}


def test_every_field_is_explained() -> None:
    assert [name for name, _, about in fields() if len(about) < 10] == []
    assert ("data.N.weight", "1.0") in [(name, default) for name, default, _ in fields()]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": 1}, "there is no 'learning_rate'; did you mean lr?"),
        ({"init_lr": 1}, "did you mean lr?"),
        ({"max_txt_len": 1}, "did you mean max_target_tokens?"),
        ({"pack_token": 1}, "did you mean pack_tokens?"),
        ({"zzz": 1}, "train recipes --explain"),
        ({"data": [{"path": "x", "wieght": 2}]}, "did you mean weight?"),
        ({"lr": "fast"}, "lr=fast"),
        ({"batch": 0}, "batch=0"),
        ({"stage": 3}, "stage=3"),
        ({"warmup": 11}, "warmup=11 is longer than steps=10"),
        ({"epochs": 2}, "either steps or epochs"),
        ({"stage": 2}, "stage 2 needs instructions"),
        ({"lr": 1e-6}, "lr_min=1e-05 is above lr=1e-06"),
        ({"train_qformer": True, "features": "kept"}, "exclude each other"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        make_recipe({**SMALL, **changes}, "recipe mine.toml")
    text = str(raised.value)
    assert said in text and text.startswith("recipe mine.toml") and "\n" not in text


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean stage1-fast"):
        load_recipe("stage1-fats")


def test_a_recipe_file_and_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine.toml"
    file.write_text('stage = 1\nepochs = 2\nwarmup = 0\ndata = ["a", {path = "b", weight = 2}]\n')
    recipe = load_recipe(str(file), ["steps=7", "model=models/x", "data.0.weight=5", "lr=2e-4", "plain_captions=true"])
    assert (recipe.steps, recipe.epochs, recipe.lr, recipe.plain_captions) == (7, None, 2e-4, True)
    assert recipe.model == tmp_path / "models/x"
    assert [(spec.path, spec.weight) for spec in recipe.data] == [(str(tmp_path / "a"), 5), (str(tmp_path / "b"), 2)]
    with pytest.raises(UsageError, match=r"data.0.path to data.1.path; this recipe has 2"):
        load_recipe(str(file), ["data.7.weight=1"])
    with pytest.raises(UsageError, match="must be key=value"):
        load_recipe(str(file), ["steps"])
    file.write_text("stage = ")
    with pytest.raises(UsageError, match="is not TOML"):
        load_recipe(str(file))


@settings(deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), min_size=1, max_size=3),
    st.floats(1e-9, 1),
    st.integers(0, 2**32 - 1),
)
def test_a_written_recipe_is_read_back_the_same(title: str, instructions: list[str], lr: float, seed: int) -> None:
    given_ = {"stage": 2, "steps": 9, "warmup": 1, "title": title, "instructions": instructions, "lr": lr, "lr_min": 0}
    recipe = make_recipe({**given_, "seed": seed, "data": ["/x/{0..3}.tar"], "model": "/m"}, "x")
    assert StageRecipe.model_validate(tomllib.loads(recipe.to_toml())) == recipe


def test_what_makes_another_run_of_a_recipe() -> None:
    one = make_recipe(SMALL, "x")
    assert differences(one, make_recipe({**SMALL, "title": "new", "workers": 9, "keep": 5}, "x")) == []
    assert differences(one, make_recipe({**SMALL, "seed": 7}, "x")) == ["seed: 42 there, 7 here"]


def test_help_and_recipes_import_no_model_library() -> None:
    code = """
import sys
from training.commands import main
for arguments in (["--help"], ["stage1", "--help"], ["recipes"], ["recipes", "own-data"], ["recipes", "--explain"]):
    assert main(arguments) == 0
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"torch", "transformers", "accelerate", "langchain", "matplotlib"}, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "forward_tokens" in done.stdout and "stage1-fast" in done.stdout
