"""A dashboard that shows the gallery of one folder, which a test may kill and start again at the same address."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[4]
LONG = 120_000  # milliseconds


class Dashboard:
    """`inquisight ui FOLDER` with a home of its own, and the vision model that waits for the test."""

    def __init__(self, folder: Path, home: Path, allowed: Path, *options: str) -> None:
        self.folder, self.home, self.allowed, self.options = folder, home, allowed, options
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Its address, the same as the last time."""
        paths = [str(self.allowed.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agents.cli", "ui", *map(str, [self.folder] if self.folder.name else []), "--port",
             str(self.port), "--no-browser", *self.options],
            cwd=ROOT,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("INQUISIGHT_")},
                "INQUISIGHT_HOME": str(self.home),
                "INQUISIGHT_ROUNDS": "2",
                "INQUISIGHT_VISION": "patient",
                "INQUISIGHT_WITNESS": "none",
                "INQUISIGHT_LOAD_PLUGINS": "patient",
                "PYTHONPATH": os.pathsep.join(paths),
                "PATIENT_FILE": str(self.allowed),
                "HF_HUB_OFFLINE": "1",
            },
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said.startswith("Inquisight is at "), "the dashboard did not start"
        where = said.removeprefix("Inquisight is at ").partition(" ")[0]
        self.port = int(where.rpartition(":")[2])
        return where

    def kill(self, *, runs: bool) -> None:
        """`kill -9` of the server, with `runs` also of the processes that caption pictures."""
        assert self.process is not None
        for one in psutil.Process(self.process.pid).children(recursive=True):
            if "batch" not in _command(one):
                os.kill(one.pid, signal.SIGKILL)
        self.process.kill()
        self.process.communicate()
        if runs:
            for one in self.batches():
                os.kill(one.pid, signal.SIGKILL)
                one.wait(20)

    def batches(self) -> list[psutil.Process]:
        """The processes that caption pictures of this dashboard."""
        return [
            one
            for one in psutil.process_iter()
            if str(self.home) in " ".join(_command(one)) and "batch" in _command(one)
        ]

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.communicate()
        for one in self.batches():
            one.kill()


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def make_pictures(folder: Path, count: int = 40) -> Path:
    """Different pictures, every fourth one with a caption."""
    folder.mkdir()
    for number in range(count):
        image = Image.new("RGB", (320, 240) if number % 3 else (240, 320), (number * 37 % 256, 90, number * 11 % 256))
        ImageDraw.Draw(image).text((20, 20), str(number), fill="white", font_size=90)
        image.save(folder / f"p{number:03}.jpg")
        if number % 4 == 0:
            (folder / f"p{number:03}.txt").write_text(f"A cat beside the number {number}.\n")
    return folder


@pytest.fixture
def dashboard(wanted: None, allowed: Path, tmp_path: Path) -> Iterator[Callable[..., Dashboard]]:
    """Makes dashboards, which end with the test."""
    made: list[Dashboard] = []
    if not (allowed.parent / "patient_eye.py").exists():
        from tests.ui.browser.conftest import install

        install(allowed.parent)

    def make(folder: Path, *options: str) -> Dashboard:
        made.append(Dashboard(folder, tmp_path / "home", allowed, *options))
        return made[-1]

    yield make
    allowed.unlink(missing_ok=True)
    for one in made:
        one.stop()


@pytest.fixture
def visitor(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens the gallery in a browser of its own."""
    contexts = []

    def visit(where: str, path: str = "", *, password: str = "", **how: Any) -> Any:
        context = browser.new_context(**how)
        contexts.append(context)
        context.set_default_timeout(LONG)
        page = context.new_page()
        page.goto(f"{where}/{path}")
        if password:
            page.get_by_role("textbox", name="Password").fill(password)
            page.get_by_role("button", name="Log in").click()
            page.get_by_role("navigation").first.wait_for()
            page.goto(f"{where}/{path}")
        page.get_by_role("grid", name="Pictures").wait_for(state="attached")  # without pictures it has no height
        return page

    yield visit
    for context in contexts:
        context.close()
