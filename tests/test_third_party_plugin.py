"""A real plugin, installed by pip into a fresh environment, works by name."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "inquisight-echo"


class Environment:
    """A virtual environment that borrows this one's libraries and has the plugin on top."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        borrow_pip = importlib.util.find_spec("pip") is not None  # saves the seconds that bootstrapping pip takes
        venv.create(folder / "venv", with_pip=not borrow_pip, symlinks=os.name != "nt")
        self.python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        site = self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
        host = sysconfig.get_path("purelib")
        Path(site, "borrowed.pth").write_text(f"import site; site.addsitedir({host!r})\n{ROOT}\n")
        self.pip = (
            [sys.executable, "-m", "pip", "--python", str(self.python)]
            if borrow_pip
            else [str(self.python), "-m", "pip"]
        )

    def install(self, *projects: Path) -> None:
        """`pip install` without the network: no dependencies, and the setuptools that is here."""
        sources = [self.source(project) for project in projects]
        for project, source in zip(projects, sources, strict=True):
            shutil.copytree(project, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
        done = subprocess.run(
            [*self.pip, "install", *options, *map(str, sources)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def source(self, project: Path) -> Path:
        """The copy that is built: a build leaves folders behind, which do not belong into the checkout."""
        return self.folder / "sources" / project.name

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run this environment's Python outside the checkout."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("INQUISIGHT_", "PYTHON"))}
        return subprocess.run(
            [str(self.python), *arguments],
            cwd=self.folder,
            env={**kept, "INQUISIGHT_HOME": str(self.folder / "home"), "PYTHONUTF8": "1", **variables},
            capture_output=True,
            text=True,
            check=False,
            encoding="utf-8",
        )

    def inquisight(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """What the console command `inquisight` does."""
        return self.run("-c", "from inquisight.__main__ import main; main()", *arguments, **variables)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    made = Environment(tmp_path_factory.mktemp("fresh"))
    made.install(EXAMPLE)
    Image.new("RGB", (48, 32), (40, 70, 210)).save(made.folder / "sea.png")
    return made


@pytest.fixture
def command(environment: Environment) -> Environment:
    pytest.importorskip("agents.cli", reason="the command line is not there yet")
    return environment


def test_the_registry_finds_the_plugin(environment: Environment) -> None:
    code = """
from core import get_registry, open_picture, VisualQuestion
registry = get_registry()
entry = registry.vision_backends["echo"]
print(entry.plugin, entry.distribution)
backend = registry.create_vision("echo")
[image] = backend.encode([open_picture("sea.png")])
print(backend.answer([VisualQuestion(image, "Describe it.")])[0])
"""
    done = environment.run("-c", code)
    assert done.stdout.splitlines() == [
        "echo inquisight-echo",
        "a wide picture of 48 by 32 pixels, dark, on average blue.",
    ], done.stderr


def test_the_plugin_passes_the_tests_it_inherits(environment: Environment) -> None:
    done = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(environment.source(EXAMPLE) / "tests"))
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


def test_plugins_lists_it(command: Environment) -> None:
    done = command.inquisight("plugins", COLUMNS="200")
    assert done.returncode == 0, done.stderr
    assert "echo" in done.stdout and "inquisight-echo" in done.stdout and "measured facts" in done.stdout


def test_caption_uses_it_by_name(command: Environment) -> None:
    done = command.inquisight("caption", "--vision", "echo", "--questioner", "echo", "--json", "sea.png")
    assert done.returncode == 0, done.stderr
    caption = json.loads(done.stdout)
    caption = caption[0] if isinstance(caption, list) else caption
    assert "48 by 32 pixels" in caption["summary"] and "blue" in caption["summary"]
    assert caption["vision"]["name"] == "echo" and caption["status"] == "complete"
    questions = [turn["question"] for turn in caption["dialogue"]["turns"]]
    assert "What shape does the picture have?" in questions and len(questions) == len(set(questions))


def test_its_command_is_there(command: Environment) -> None:
    done = command.inquisight("measure", "sea.png")
    assert done.stdout.strip() == "a wide picture of 48 by 32 pixels, dark, on average blue.", done.stderr


def test_wrong_names_and_arguments_end_in_one_line(command: Environment) -> None:
    for vision, words in {"ecko": "did you mean 'echo'?", "echo:quiet": "echo:loud"}.items():
        done = command.inquisight("caption", "--vision", vision, "sea.png")
        assert done.returncode != 0 and words in done.stderr and "Traceback" not in done.stderr


def test_it_can_be_left_out(command: Environment) -> None:
    done = command.inquisight("plugins", COLUMNS="200", INQUISIGHT_LOAD_PLUGINS="")
    assert done.returncode == 0 and "inquisight-echo" not in done.stdout
