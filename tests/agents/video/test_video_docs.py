"""What docs/video.md promises: its commands run, its example executes, its table of options is complete."""

from __future__ import annotations

import re

import pytest
from PIL import Image

pytest.importorskip("av", reason="videos are an optional part")

from agents.video.sampling import SAMPLINGS
from agents.video.timeline import FORMATS
from tests.agents.plugin_on_disk import ROOT, Shell
from tests.agents.video.clips import film
from tests.documents import blocks, commands

PAGE = (ROOT / "docs" / "video.md").read_text("utf-8")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A clip of six seconds, and `inquisight` on the path, with an eye that is quick."""
    shell = Shell(tmp_path_factory.mktemp("docs"))
    shell.environment["INQUISIGHT_QUESTIONER"] = "scripted"
    colours = ((220, 20, 20), (20, 20, 220), (20, 220, 20))
    film(shell.folder / "clip.mp4", [Image.new("RGB", (64, 48), colour) for colour in colours for _ in range(20)])
    shell.program()
    return shell


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks(PAGE, "console"))
def test_commands_run(reader: Shell, block: str) -> None:
    done = reader.script(*commands(block))
    assert done.returncode == 0, done.stderr
    assert "block" in done.stdout and "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_example_runs(reader: Shell) -> None:
    [code] = blocks(PAGE, "python")
    done = reader.python(code.replace('"pocket"', '"blocks"'))
    assert done.returncode == 0, done.stderr
    assert "Started" in done.stdout and "SummaryWritten" in done.stdout
    assert re.search(r"^0\.0 \d", done.stdout, re.MULTILINE), "the cues"


def test_options_and_formats_are_told(reader: Shell) -> None:
    for word in (*SAMPLINGS[1:], *FORMATS):
        assert word in PAGE
    shown = set(re.findall(r"--[a-z-]+", reader.run("video", "--help").stdout))
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) - {"--vision"} <= shown, "no option that is not there"
