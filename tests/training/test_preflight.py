"""What keeps a training from working is known before anything is loaded or written, each thing with its field."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.errors import BackendError, UsageError
from training.data.sample_set import write_sample
from training.preflight import NotReadyError, check, require
from training.recipes import Recipe, load_recipe
from training.run import train


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "sample"
    write_sample(folder, 6)
    return folder


def wanted(sample: Path, **changes: Any) -> Recipe:
    return load_recipe("own-stage1", {"model": "pocket", "data": str(sample), **changes})


def found(recipe: Recipe, out: Path) -> list[tuple[str, str]]:
    return [(one.field, one.words) for one in check(recipe, out)]


def test_nothing_is_wrong_and_nothing_is_made(sample: Path, tmp_path: Path) -> None:
    assert check(wanted(sample), tmp_path / "a" / "run") == [] and check(wanted(sample)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"model": "/nowhere"}, "model", "/nowhere does not exist"),
        ({"qformer": False}, "model", "--set qformer=true"),
        ({"keep_features": False}, "model", "--set keep_features=true"),
        ({"data": "/nowhere"}, "data", "does not exist"),
        ({"projection": "/nowhere"}, "settings", "/nowhere"),
        ({"projection": "/nowhere/x.pth"}, "settings", "does not exist"),
        ({"features": "/nowhere"}, "settings", "inquisight train features"),
        ({"dtype": "float16"}, "model", "cannot be trained on a CPU"),
    ],
)
def test_each_thing_has_its_field_and_its_way_out(
    sample: Path, tmp_path: Path, changes: dict[str, Any], field: str, words: str
) -> None:
    [(where, said)] = found(wanted(sample, **changes), tmp_path / "run")
    assert where == field and words in said and len(said.splitlines()) == 1


def test_all_of_it_is_said_at_once(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("not a training")
    wrong = wanted(sample, model="/nowhere", data="/nowhere either")
    assert [field for field, _ in found(wrong, tmp_path / "full")] == ["model", "data", "out"]
    with pytest.raises(NotReadyError, match=r"\(and 2 more\)"):
        require(wrong, tmp_path / "full")


def test_data_are_opened_counted_and_one_sample_is_read(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    untold = tmp_path / "untold"
    untold.mkdir()
    Image.new("RGB", (9, 9)).save(untold / "1.png")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (broken / "1.txt").write_text("a cat")
    for folder in ("empty", "untold", "broken"):
        [(field, said)] = found(wanted(sample, data=str(tmp_path / folder)), tmp_path / "run")
        assert field == "data" and folder in said and len(said.splitlines()) == 1
    assert found(wanted(sample, epochs=2), tmp_path / "run") == []


def test_a_disk_without_room_and_a_place_without_rights_are_named(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    [(field, said)] = found(wanted(sample), tmp_path / "file" / "run")
    assert field == "out" and "is no folder" in said
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("training.preflight.shutil.disk_usage", lambda _: usage(9, 9, 0))
    [(field, said)] = found(wanted(sample), tmp_path / "run")
    assert field == "out" and "GB free" in said
    monkeypatch.undo()
    monkeypatch.setattr("training.checkpoints.os.access", lambda *_: False)
    [(field, said)] = found(wanted(sample), tmp_path / "run")
    assert field == "out" and "cannot be written to" in said


def test_a_model_larger_than_the_memory_is_refused(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugins.minigpt4.runtime.load_options.free_memory", lambda _: 1_000_000)
    [(field, said)] = found(wanted(sample), tmp_path / "run")
    assert field == "model" and "GB are free" in said


def test_a_missing_package_is_all_that_is_said(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "accelerate" else real(name, *more)
    )
    [(field, said)] = found(wanted(sample, model="/nowhere"), tmp_path / "run")
    assert field == "packages" and "pip install 'inquisight[train]'" in said


def test_the_command_makes_the_same_checks_before_it_loads_anything(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.run.open_task", lambda *_: pytest.fail("the model was loaded"))
    for changes, error in (({"model": "/nowhere"}, BackendError), ({"data": "/nowhere"}, Exception)):
        with pytest.raises(error) as caught:
            train(wanted(sample, **changes), tmp_path / "run")
        assert str(caught.value) == check(wanted(sample, **changes), tmp_path / "run")[0].words
    with pytest.raises(UsageError, match="holds other things"):
        train(wanted(sample), sample)
    assert not (tmp_path / "run").exists(), "nothing was written"


def test_it_waits_for_no_model_library() -> None:
    script = "import sys, training.preflight; assert not {'torch', 'transformers', 'accelerate'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
