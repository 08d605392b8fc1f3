"""The commands of docs/training.md, in the order of the page, with a model and data that take seconds."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from agents.cli import run
from tests.training.tiny_run import make_pictures

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text("utf-8")
COMMANDS = re.findall(r"^ *inquisight (\w.*)$", PAGE, re.MULTILINE)
# What makes a run of days one of a second; nothing of what the page shows is changed.
SMALL = {
    "steps": 2, "batch": 4, "warmup": 1, "streams": 2, "workers": 1, "pack_tokens": 256, "forward_tokens": 1024,
    "samples": 0, "explosion": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where somebody sits who has the parts that the page names."""
    from tests.plugins.minigpt4 import convert_sources as sources

    here = tmp_path_factory.mktemp("docs")
    sources.save_llm(sources.llm(), here / "vicuna-7b-v0")
    (here / "Salesforce").mkdir()
    sources.save_eye(sources.blip2(), here / "Salesforce" / "blip2-flan-t5-xxl")
    make_pictures(here / "my-pictures")
    shutil.copy(here / "my-pictures" / "000.png", here / "photo.jpg")
    return here


def test_the_page_shows_commands() -> None:
    shown = {" ".join(command.split()[:2]) for command in COMMANDS}
    assert shown >= {"train prepare", "train stage1", "train stage2", "train features", "caption photo.jpg"}


@pytest.mark.slow
def test_every_command_of_the_page_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("INQUISIGHT_HOME", str(folder / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for command in COMMANDS:
        words = shlex.split(command)
        if words[:2] in (["train", "stage1"], ["train", "stage2"], ["train", "features"]):
            small = dict(SMALL) if words[1] != "features" else {"workers": 1}
            if "data=my-pictures" not in words:
                small["data"] = "my-pictures"  # the page's recipes name the paper's own data
            words += [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
            if (folder / words[words.index("--out") + 1]).exists():
                shutil.rmtree(folder / words[words.index("--out") + 1])  # the page shows two ways to the same run
        if words[0] == "caption":
            words += ["--rounds", "2", "--questioner", "scripted"]
        code = run(words)
        said = capsys.readouterr()
        assert code == 0, f"inquisight {command}\n{said.err}"
    assert (folder / "mine" / "finished.json").is_file()
    assert (folder / "stage2-7b" / "projection.safetensors").is_file()
