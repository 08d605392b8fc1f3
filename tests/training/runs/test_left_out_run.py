"""A training run and the keeping of features say what their data hold and they do not read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.datasets.samples.spec import DataSpec
from tests.training.data.making import picture, write_tar
from tests.training.tiny_run import make_world, recipe
from training.features.encode import write_features
from training.run import train

PSD = Path(__file__).parents[2] / "fixtures" / "cases" / "pictures" / "f.psd"


def test_a_run_says_it_before_the_first_step_and_keeps_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = make_world(tmp_path)
    shutil.copy(PSD, world / "pictures")
    write_tar(
        world / "shards" / "0.tar",
        [("a.png", picture(1, 24)), ("a.txt", b"one"), ("b.png", picture(2, 24)), ("b.txt", b"two"), ("c.psd", b"")],
    )
    data = [{"path": str(world / "pictures")}, {"path": str(world / "shards")}]
    run = train(recipe(world, data=data, steps=4, streams=1, checkpoint_every=4), tmp_path / "run")
    said = capsys.readouterr().err
    assert "data: 1 left out: 1 Photoshop (" in said or "data: 2 left out: 2 Photoshop (" in said
    assert json.loads((run / "finished.json").read_text())["left_out"]["reasons"]["Photoshop"]["count"] == 2

    last = write_features(
        world / "model", [DataSpec.model_validate(one) for one in data], tmp_path / "features", dtype="float32"
    )
    assert (
        last.left_out.startswith("2 left out: 2 Photoshop (")
        and f"features: {last.left_out}\n" in capsys.readouterr().err
    )
    record = json.loads((tmp_path / "features" / "written-0of1.json").read_text())
    assert record["left_out"] == last.left_out
