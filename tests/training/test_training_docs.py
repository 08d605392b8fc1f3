"""The commands of docs/train.md, in the order of the page, with a model and data that take seconds."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from agents.cli.main import run
from tests.training.tiny_run import make_pictures

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "train.md").read_text("utf-8")
FIRST, REST = PAGE.split("## Reproduce the paper")
FOUR, COMMANDS = (re.findall(r"^ *inquisight (\w.*)$", part, re.MULTILINE) for part in (FIRST, REST))
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


@pytest.mark.slow
def test_the_four_commands_train_a_model_that_names_what_it_could_not_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they stand on the page, with the sample and the small model that it names."""
    from core.images.picture import open_picture
    from core.registry import get_registry
    from core.vision import VisualQuestion

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    assert len(FOUR) == 4
    for command in FOUR:
        code = run(shlex.split(command))
        said = capsys.readouterr()
        assert code == 0, f"inquisight {command}\n{said.err}"
    assert "snowman" in said.out and "my-pictures/003.png" in said.out
    assert "a white snowman" in (tmp_path / "my-pictures" / "003.txt").read_text("utf-8")

    assert run(["data", "sample", "new", "--pictures", "10", "--seed", "9"]) == 0
    pictures = [open_picture(str(file)) for file in sorted(Path("new").glob("*.png"))]
    texts = [file.read_text("utf-8").strip() for file in sorted(Path("new").glob("*.txt"))]
    named = {}
    for spec in ("pocket", "trained:own-stage2"):
        vision = get_registry().create_vision(spec)
        questions = [VisualQuestion(image, "Describe this image in detail.") for image in vision.encode(pictures)]
        answers = vision.answer(questions)
        things = [text.rstrip(".").split(" there is ")[1].split(" ", 2)[2] for text in texts]
        named[spec] = sum(thing in answer for thing, answer in zip(things, answers, strict=True))
        places = [text.split(". ")[1].split(" there")[0] for text in texts]
        assert all(place in answer for place, answer in zip(places, answers, strict=True))
    assert named["trained:own-stage2"] >= 6 > named["pocket"]
