"""What docs/video.md promises: its commands run, its example executes, its table of options is complete."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys

import pytest
from PIL import Image

pytest.importorskip("av", reason="videos are an optional part")

from agents.video.sampling import SAMPLINGS
from agents.video.timeline import FORMATS
from tests.agents.plugin_on_disk import ROOT, Shell
from tests.agents.video.clips import film

PAGE = (ROOT / "docs" / "video.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A clip of six seconds, and `inquisight` on the path, with an eye that is quick."""
    if shutil.which("bash") is None:
        pytest.skip("the page is written for a shell")
    shell = Shell(tmp_path_factory.mktemp("docs"))
    shell.environment["INQUISIGHT_QUESTIONER"] = "scripted"
    colours = ((220, 20, 20), (20, 20, 220), (20, 220, 20))
    film(shell.folder / "clip.mp4", [Image.new("RGB", (64, 48), colour) for colour in colours for _ in range(20)])
    programs = shell.folder / "bin"
    programs.mkdir()
    (programs / "inquisight").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m agents.cli "$@"\n')
    (programs / "inquisight").chmod(0o755)
    shell.environment["PATH"] = f"{programs}:{shell.environment['PATH']}"
    return shell


def run(reader: Shell, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=reader.folder,
        env=reader.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("block", blocks("console"))
def test_commands_run(reader: Shell, block: str) -> None:
    done = run(reader, "\n".join(re.findall(r"^\$ (.+)$", block, re.MULTILINE)))
    assert done.returncode == 0, done.stderr
    assert "block" in done.stdout and "Traceback" not in done.stderr


def test_the_example_runs(reader: Shell) -> None:
    [code] = blocks("python")
    (reader.folder / "example.py").write_text(code.replace('"pocket"', '"blocks"'), "utf-8")
    done = run(reader, f"{shlex.quote(sys.executable)} example.py")
    assert done.returncode == 0, done.stderr
    assert "Started" in done.stdout and "SummaryWritten" in done.stdout
    assert re.search(r"^0\.0 \d", done.stdout, re.MULTILINE), "the cues"


def test_options_and_formats_are_told(reader: Shell) -> None:
    for word in (*SAMPLINGS[1:], *FORMATS):
        assert word in PAGE
    shown = set(re.findall(r"--[a-z-]+", reader.run("video", "--help").stdout))
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) - {"--vision"} <= shown, "no option that is not there"
