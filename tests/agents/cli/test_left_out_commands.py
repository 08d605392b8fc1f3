"""`inquisight caption` and `inquisight video` with folders: what is not read is counted, and the exit code stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from core.records import Caption
from tests.agents.plugin_on_disk import Shell

CASES = Path(__file__).parents[2] / "fixtures" / "cases" / "pictures"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    (shell.folder / "p").mkdir()
    for name in ("noext", "f.psd"):
        shutil.copy(CASES / name, shell.folder / "p")
    (shell.folder / "p" / "notes.txt").write_text("words")
    return shell


def test_captions_of_a_folder(shell: Shell) -> None:
    done = shell.run("caption", "p", "--rounds", "1", "--quiet")
    assert done.returncode == 0 and done.stdout.strip()
    assert done.stderr == "inquisight: 1 left out: 1 Photoshop (p/f.psd)\n"

    done = shell.run("caption", "p", "--rounds", "1", "--json")
    caption, last = done.stdout.splitlines()
    assert Caption.from_json(caption).picture.source == "p/noext"
    assert json.loads(last) == {"left_out": {"count": 1, "reasons": {"Photoshop": {"count": 1, "first": "p/f.psd"}}}}

    (shell.folder / "p" / "f.psd").unlink()
    done = shell.run("caption", "p", "--rounds", "1", "--json")
    assert done.stderr == "" and len(done.stdout.splitlines()) == 1


def test_a_folder_without_pictures_beside_a_good_one(shell: Shell) -> None:
    (shell.folder / "phone").mkdir()
    shutil.copy(CASES / "f.psd", shell.folder / "phone")
    done = shell.run("caption", "phone", "p/noext", "--rounds", "1", "--quiet")
    assert done.returncode == 2 and done.stdout.strip()
    assert (
        "the folder 'phone' holds no pictures that can be read (1 left out: 1 Photoshop (phone/f.psd))" in done.stderr
    )


def test_a_folder_of_videos(shell: Shell) -> None:
    pytest.importorskip("av", reason="videos are an optional part")
    from tests.agents.video.clips import film

    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")] * 5
    film(shell.folder / "p" / "deep.mp4", frames)
    (shell.folder / "p" / "deep.mp4").rename(shell.folder / "p" / "clip")  # its content says what it is
    frames[0].save(shell.folder / "p" / "moving.gif", save_all=True, append_images=frames[1:4], duration=500)
    (shell.folder / "p" / "types.ts").write_text("export const a = 1;\n" * 40)
    shell.environment["INQUISIGHT_QUESTIONER"] = "scripted"
    done = shell.run("video", "p", "--frames", "2", "--rounds", "2", "--json")
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    assert [Caption.from_json(line).picture.source for line in (first, second)] == ["p/clip", "p/moving.gif"]
    reasons = json.loads(last)["left_out"]["reasons"]
    assert {name: one["count"] for name, one in reasons.items()} == {"Photoshop": 1, "picture": 1}
    assert "inquisight: 2 left out: " in done.stderr

    (shell.folder / "none").mkdir()
    done = shell.run("video", "none")
    assert done.returncode == 2 and "the folder 'none' holds no videos; looked for MP4" in done.stderr
