"""`inquisight examine`: things and text of pictures, as text, JSON Lines and a picture with boxes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from agents.witnesses.sheet import LONG, colour_of, draw_findings
from core.witness import Box, Findings, TextLine, Thing
from tests.agents.plugin_on_disk import ROOT, Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    shutil.copy(ROOT / "examples" / "photos" / "cat.jpg", tmp_path)
    return made


def test_rows_json_and_sheet(shell: Shell) -> None:
    done = shell.run("examine", "cat.jpg", "--witness", "detector", "--sheet", "found.png", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [thing["name"] for thing in found["things"]] == ["cat"] and found["lines"] == []
    assert (found["source"], found["width"], found["height"]) == ("cat.jpg", 451, 300)
    assert list(found["witnesses"]) == ["detector"]
    with Image.open(shell.folder / "found.png") as sheet, Image.open(shell.folder / "cat.jpg") as picture:
        assert sheet.size == picture.size and sheet.tobytes() != picture.convert("RGB").tobytes()
    shell.picture()
    done = shell.run("examine", ".", "--witness", "detector")
    assert done.stdout.splitlines()[0] == "cat.jpg (451 x 300)" and "(egyptian cat), middle" in done.stdout
    assert done.stdout.endswith("red.png (40 x 30)\n  nothing was found\n")


def test_a_picture_that_cannot_be_opened_is_one_line(shell: Shell) -> None:
    (shell.folder / "torn.jpg").write_bytes((shell.folder / "cat.jpg").read_bytes()[:400])
    done = shell.run("examine", "torn.jpg", "cat.jpg", "--witness", "detector")
    assert done.returncode == 2 and "cat.jpg (451 x 300)" in done.stdout
    assert done.stderr.count("\n") == 1 and "torn.jpg" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name at least one picture or folder"),
        (("cat.jpg", "--witness", "detectr"), "there is no witness 'detectr': did you mean 'detector'?"),
        (("cat.jpg", "--witness", "none"), "no witness takes part"),
        (("cat.jpg", "--overwrite"), "--overwrite only means something together with --sheet"),
        (("cat.jpg", "--sheet", "cat.jpg"), "must end in .png"),
        (("cat.jpg", "cat.jpg", "--sheet", "a.png"), "--sheet is for one picture"),
        (("cat.jpg", "--sheet", "there.png"), "exists already; add --overwrite to replace it"),
    ],
)
def test_a_wrong_request_is_one_line(shell: Shell, arguments: tuple[str, ...], message: str) -> None:
    (shell.folder / "there.png").touch()
    done = shell.run("examine", *arguments)
    assert done.returncode in (2, 3) and message in done.stderr and done.stderr.count("\n") == 1


def test_boxes_are_drawn_where_they_are_also_on_a_smaller_copy() -> None:
    image = Image.new("RGB", (2 * LONG, LONG), "white")
    box = Box(left=400, top=600, right=1000, bottom=1000)
    found = Findings(
        witness="a",
        revision="1",
        width=image.width,
        height=image.height,
        things=(Thing(name="dog", score=0.9, box=box),),
        lines=(TextLine(text="EXIT " * 30, score=0.4, box=Box(left=2400, top=2, right=2550, bottom=40)),),
    )
    sheet = draw_findings(image, [found])
    assert sheet.size == (LONG, LONG // 2)
    assert sheet.getpixel((202, 400)) == colour_of("dog") or sheet.getpixel((201, 400)) == colour_of("dog")
    assert sheet.getpixel((350, 400)) == (255, 255, 255), "inside the box the picture stays"
