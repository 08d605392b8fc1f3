"""The wheel in an environment of its own, used without the checkout: `make test-dist` installs it and sets
$INQUISIGHT_TEST_INSTALLED to the environment's folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from core.net.listening import free_port

ROOT = Path(__file__).resolve().parents[2]
WHERE = os.environ.get("INQUISIGHT_TEST_INSTALLED", "")
pytestmark = pytest.mark.skipif(not WHERE, reason="make test-dist installs what this tests")
HOST = "127.0.0.1"
START_SECONDS = 120


class Installed:
    """The commands of the environment, run in a folder outside the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = Path(WHERE) / "bin"
        shutil.copy(ROOT / "examples" / "photos" / "cat.jpg", folder)
        self.environment = {
            "PATH": f"{self.programs}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "HOME": str(folder),
            "HF_HUB_OFFLINE": "1",
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        program = str(self.programs / command[0])
        return subprocess.run(
            [program, *command[1:]], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


def test_it_is_not_the_checkout(installed: Installed) -> None:
    done = installed.run("python", "-c", "import agents, core, inquisight as iq; print(agents, core, iq)")
    assert done.stdout.count("site-packages") == 3 and f"{ROOT}/agents" not in done.stdout, done.stderr


def test_caption(installed: Installed) -> None:
    done = installed.run("inquisight", "caption", "--seed", "1", "cat.jpg")
    assert done.returncode == 0, done.stderr
    assert "cat" in done.stdout and "after the interview" in done.stdout


def test_every_plugin_loads(installed: Installed) -> None:
    done = installed.run("inquisight", "plugins")
    assert done.returncode == 0 and "left out" not in done.stdout
    names = {line.split("\t")[1] for line in done.stdout.splitlines()}
    assert {"pocket", "blip2", "minigpt4", "transformers", "scripted", "detector", "stage1"} <= names


def test_the_doctor_finds_nothing_broken(installed: Installed) -> None:
    done = installed.run("inquisight", "doctor", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["problems"], report["plugins"]) == (0, [], [])
    assert next(one for one in report["vision"] if one["chosen"])["state"] == "ready"
    extras = {one["name"]: one for one in report["extras"]}
    assert not extras["ui"]["missing"] and extras["train"]["command"] == "pip install 'inquisight[train]'"


def test_what_is_not_installed_is_one_line(installed: Installed) -> None:
    done = installed.run("inquisight", "video", "cat.jpg")
    assert done.returncode != 0 and done.stderr.count("\n") == 1, done.stderr
    done = installed.run("inquisight", "serve")
    assert done.returncode != 0 and "pip install 'inquisight[serve]'" in done.stderr


def test_the_dashboard_starts(installed: Installed) -> None:
    port = free_port(HOST, 8700)
    with (installed.folder / "log").open("w+") as log:
        process = subprocess.Popen(
            [str(installed.programs / "inquisight"), "ui", "--no-browser", "--port", str(port)],
            cwd=installed.folder,
            env=installed.environment,
            stdout=log,
            stderr=log,
        )
        try:
            assert wait_for(f"http://{HOST}:{port}/_stcore/health", process) == b"ok", log.name
            assert b"<html" in wait_for(f"http://{HOST}:{port}/", process)
        finally:
            process.terminate()
            process.wait(30)


def wait_for(address: str, process: subprocess.Popen[bytes]) -> bytes:
    """What the server answers, once it does; b"" if it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            time.sleep(0.2)
    return b""
