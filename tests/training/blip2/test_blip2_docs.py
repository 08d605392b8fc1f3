"""The commands of docs/blip2.md, in the order of the page, with a model and data that take seconds."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from agents.cli.main import run
from tests.training.blip2.tiny_blip2_run import make_blip2_world

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "blip2.md").read_text("utf-8")
COMMANDS = re.findall(r"^inquisight (\w.*)$", PAGE, re.MULTILINE)
SMALL = {"steps": 2, "batch": 4, "warmup": 1, "workers": 1, "samples": 1}
SKIPPED = ("data",)  # pictures that are made below


@pytest.mark.slow
def test_every_command_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("peft")
    make_blip2_world(tmp_path, "opt")
    (tmp_path / "Salesforce").mkdir()
    shutil.copytree(tmp_path / "model", tmp_path / "small-blip2")
    (tmp_path / "model").rename(tmp_path / "Salesforce" / "blip2-opt-2.7b")
    shutil.copytree(tmp_path / "pictures", tmp_path / "my-pictures")
    shutil.copytree(tmp_path / "pictures", tmp_path / "my-sample")
    shutil.copy(tmp_path / "pictures" / "000.png", tmp_path / "photo.jpg")
    rows = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    with (tmp_path / "my-questions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "question", "answers"])
        writer.writerows([row["image"], row["question"], json.dumps(row["answers"])] for row in rows)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for command in COMMANDS:
        words = shlex.split(command.partition(" > ")[0])
        if words[0] in SKIPPED:
            continue
        if words[:2] == ["train", "blip2"]:
            words += [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
        if words[0] == "caption":
            words += ["--rounds", "1", "--questioner", "scripted", "--witness", "none"]
        code = run(words)
        said = capsys.readouterr()
        assert code == 0, f"inquisight {command}\n{said.err}"
    assert {"config.json", "README.md"} <= {path.name for path in Path("blip2-mine").iterdir()}
    assert (Path("my-adapter") / "adapter_model.safetensors").is_file()
