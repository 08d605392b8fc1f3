"""Looking things up is quick: help and lists import no model library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "transformers", "langchain", "langchain_core", "streamlit", "numpy", "sklearn", "skimage")
DATABASE = ("sqlalchemy",)
HELP_SECONDS = 0.5


def run(code: str, *arguments: str, home: Path) -> tuple[set[str], float, str]:
    """(top-level modules loaded at the end, seconds, what was printed) of a fresh Python."""
    report = f"""
import atexit, json, sys
atexit.register(lambda: print("\\nMODULES" + json.dumps(sorted({{m.partition(".")[0] for m in sys.modules}}))))
{code}
"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INQUISIGHT_")}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", report, *arguments],
        cwd=ROOT,
        env={**kept, "INQUISIGHT_HOME": str(home), "INQUISIGHT_LOAD_PLUGINS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    assert done.returncode == 0, done.stderr
    printed, _, modules = done.stdout.partition("\nMODULES")
    return set(json.loads(modules)), seconds, printed


@pytest.mark.parametrize(
    "code",
    [
        "import core",
        "from core import hookimpl, VisionBackend, EncodedImage, VisualQuestion, GenerationOptions, BackendError",
        "from core import open_picture, Picture, Turn, Dialogue, Caption",
        "from core import get_registry; get_registry()",
        "from core import get_settings; get_settings()",
    ],
)
def test_core_is_light(code: str, tmp_path: Path) -> None:
    modules, _, _ = run(code, home=tmp_path)
    assert modules.isdisjoint({*HEAVY, *DATABASE})


def test_importing_core_alone_imports_next_to_nothing(tmp_path: Path) -> None:
    modules, _, _ = run("import core", home=tmp_path)
    assert modules.isdisjoint({"PIL", "pydantic", "pluggy", "pydantic_settings"})


@pytest.mark.parametrize("arguments", [("--help",), ("plugins",), ("caption", "--help"), ("history", "--help")])
def test_the_command_line_is_light(arguments: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("agents.cli", reason="the command line is not there yet")
    modules, _, printed = run("from core.launch import main; main()", *arguments, home=tmp_path)
    assert printed.strip()
    assert modules.isdisjoint(HEAVY)


def test_help_comes_at_once(tmp_path: Path) -> None:
    pytest.importorskip("agents.cli", reason="the command line is not there yet")
    # The best of several: another program on the same cores is not our cost.
    seconds = min(run("from core.launch import main; main()", "--help", home=tmp_path)[1] for _ in range(5))
    assert seconds < HELP_SECONDS
