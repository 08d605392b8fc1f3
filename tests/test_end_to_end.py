"""The real command, the real embedded models, a real photograph: what a newcomer sees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.records import Caption

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ROOT / "plugins" / "pocket" / "model").is_dir(), reason="the embedded model has not been built"
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    skimage_data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("photos")
    shutil.copy(Path(skimage_data.__file__).with_name("chelsea.png"), folder / "cat.png")
    return folder


def inquisight(folder: Path, *arguments: str, module: str = "agents.cli") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with defaults only and no network to fall back on."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("INQUISIGHT_")}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env=clean
        | {"PYTHONPATH": str(ROOT), "INQUISIGHT_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"},
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def captioned(folder: Path) -> Caption:
    done = inquisight(folder, "caption", "cat.png", "--json", "--seed", "1", "--save-beside")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "nothing of the libraries' chatter"
    return Caption.from_json(done.stdout)


def test_a_cat_is_called_a_cat(captioned: Caption) -> None:
    assert captioned.status == "complete"
    assert "cat" in captioned.opening.lower()
    assert "cat" in captioned.summary.lower()
    assert "dog" not in captioned.summary.lower()
    assert captioned.vision["name"] == "pocket" and captioned.questioner["name"] == "scripted"


def test_the_models_really_talked(folder: Path, captioned: Caption) -> None:
    shutil.copy(ROOT / "examples" / "photos" / "street.jpg", folder)
    done = inquisight(folder, "caption", "street.jpg", "--json", "--seed", "1")
    assert done.returncode == 0, done.stderr
    street = Caption.from_json(done.stdout)
    for turns in (captioned.dialogue.turns, street.dialogue.turns):
        assert len(turns) >= 4
        assert len({turn.question.lower() for turn in turns}) == len(turns), "no question twice"
    asked = [turn.question.lower() for turn in street.dialogue.turns[1:]]
    assert "people" in street.opening and any("people" in question for question in asked), (
        "it asks about what it was told"
    )
    assert captioned.seconds["encode"] > 0


def test_the_summary_rests_on_certain_answers(captioned: Caption) -> None:
    assert captioned.summary[:1].isupper() and captioned.summary[-1] in ".!"
    for word in ("not sure", "do not know", "don't know"):
        assert word not in captioned.summary.lower()


def test_the_description_lies_beside_the_picture(folder: Path, captioned: Caption) -> None:
    assert (folder / "cat.txt").read_text("utf-8") == captioned.summary + "\n"


def test_the_same_seed_gives_the_same_dialogue_through_the_other_command(folder: Path, captioned: Caption) -> None:
    done = inquisight(folder, "cat.png", "--seed", "1", module="agents.chatcaptioner")
    assert done.returncode == 0, done.stderr
    for turn in captioned.dialogue.turns:
        assert turn.question in done.stdout and turn.answer in done.stdout
    assert captioned.summary.split(". ")[0] in " ".join(done.stdout.split())
    assert "inquisight show " in done.stdout


def test_history_and_show_find_it_again(folder: Path, captioned: Caption) -> None:
    found = inquisight(folder, "history", "cat")
    assert captioned.id[:10] in found.stdout
    shown = inquisight(folder, "show", captioned.id[:10], "--json")
    assert Caption.from_json(shown.stdout) == captioned
