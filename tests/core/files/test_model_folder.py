"""What a folder holds that is named as a model: one line with the way out, for everything that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import BackendError
from core.files.model_folder import inspect, is_pointer, weight_files, without_remote_code
from tests.core.files import model_folders as folders


@pytest.mark.parametrize("name", folders.FOLDERS)
def test_what_is_no_model_is_named_with_the_way_out(name: str, tmp_path: Path) -> None:
    folder = folders.build(name, tmp_path)
    with pytest.raises(BackendError) as refused:
        weight_files(folder, "blip2:", hub=True)
    line = str(refused.value)
    assert line.startswith(f"blip2:{folder} ") and line.endswith(".") and "\n" not in line and len(line) < 700
    assert [words for words in folders.FOLDERS[name][2] if words not in line] == [], line
    assert ";" in line, "what to do stands behind what was found"


def test_a_whole_model_gives_its_files(tmp_path: Path) -> None:
    model = folders.whole(tmp_path / "one")
    assert weight_files(model) == (model / "model.safetensors",)
    model = folders.put(tmp_path / "pickle", config__json={}, pytorch_model__bin="x")
    assert weight_files(model) == (model / "pytorch_model.bin",)
    model = folders.put(tmp_path / "both", config__json={}, pytorch_model__bin="x", model__safetensors="x")
    assert weight_files(model) == (model / "model.safetensors",), "as transformers chooses"
    model = folders.put(tmp_path / "shards", config__json={}, a__safetensors="x", b__safetensors="x")
    folders.index(model, "b.safetensors", "a.safetensors", "b.safetensors")
    assert weight_files(model) == (model / "a.safetensors", model / "b.safetensors")
    model = folders.whole(tmp_path / "index of one")
    folders.index(model, "model.safetensors")
    assert weight_files(model) == (model / "model.safetensors",), "an index that names the whole file is not stale"


def test_a_snapshot_in_the_cache_is_a_model(tmp_path: Path) -> None:
    snapshot = folders.cache(tmp_path / "models--a--b") / "snapshots" / "abc123"
    (snapshot.parents[1] / "blobs" / "old.incomplete").write_text("x")
    assert weight_files(snapshot) == (snapshot / "model.safetensors",), "an old download beside it does not matter"


def test_of_several_snapshots_main_is_named(tmp_path: Path) -> None:
    cache = folders.cache(tmp_path / "models--a--b")
    folders.whole(cache / "snapshots" / "zzz")
    assert "snapshots/abc123" in inspect(cache, "blip2:", hub=True).way_out
    (cache / "refs" / "main").unlink()
    assert "snapshots/zzz" in inspect(cache, "blip2:").way_out


@pytest.mark.parametrize("part", ["snapshots", "blobs", "refs"])
def test_a_part_of_the_cache_is_known_too(part: str, tmp_path: Path) -> None:
    cache = folders.cache(tmp_path / "models--a--b--c")
    found = inspect(cache / part, "blip2:", hub=True)
    assert "of a/b--c" in found.words and "use blip2:a/b--c" in found.way_out


def test_only_specs_that_take_hub_names_offer_one(tmp_path: Path) -> None:
    cache = folders.cache(tmp_path / "models--a--b")
    assert "use " not in inspect(cache, "minigpt4:").way_out and "snapshots/abc123" in inspect(cache).way_out


def test_shards_that_nobody_wants_need_not_be_there(tmp_path: Path) -> None:
    folders.put(tmp_path, config__json={}, a__safetensors="x")
    folders.index(tmp_path, "a.safetensors", "gone.safetensors")
    assert weight_files(tmp_path, select=lambda name: name == "vision_model.0") == (tmp_path / "a.safetensors",)
    with pytest.raises(BackendError, match=r"gone\.safetensors is missing"):
        weight_files(tmp_path)
    with pytest.raises(BackendError, match="without any of the weights that are read here"):
        weight_files(tmp_path, select=lambda name: name.startswith("qformer."))


def test_pointers_are_known_by_their_first_line(tmp_path: Path) -> None:
    folders.put(tmp_path, pointer=folders.POINTER, other="version 1")
    assert is_pointer(tmp_path / "pointer") and not is_pointer(tmp_path / "other") and not is_pointer(tmp_path)


def test_what_makes_transformers_run_code_is_taken_out_at_any_depth() -> None:
    config = {
        "auto_map": {"a": "b.C"},
        "text_config": {"trust_remote_code": True, "vocab_size": 3},
        "list": [{"auto_map": 1}],
    }
    assert without_remote_code(config) == {"text_config": {"vocab_size": 3}, "list": [{}]}
