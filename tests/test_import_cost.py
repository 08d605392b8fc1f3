"""Help and lists import no model library and little else; `benchmarks/start_up.py` measures the time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "transformers", "langchain", "langchain_core", "streamlit", "numpy", "sklearn", "skimage")
DATABASE = ("sqlalchemy",)
# What `--help` draws with, besides the standard library and our own packages.
HELP_NEEDS = {"pluggy", "typer", "click", "rich", "shellingham", "markdown_it", "mdurl", "pygments", "annotated_doc"}


def run(code: str, *arguments: str, home: Path) -> tuple[set[str], str]:
    """Top-level modules loaded at the end, and what was printed, of a fresh Python."""
    report = f"""
import atexit, json, sys
atexit.register(lambda: print("\\nMODULES" + json.dumps(sorted({{m.partition(".")[0] for m in sys.modules}}))))
{code}
"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INQUISIGHT_")}
    done = subprocess.run(
        [sys.executable, "-c", report, *arguments],
        cwd=ROOT,
        env={**kept, "INQUISIGHT_HOME": str(home), "INQUISIGHT_LOAD_PLUGINS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed, _, modules = done.stdout.partition("\nMODULES")
    return set(json.loads(modules)), printed


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
    modules, _ = run(code, home=tmp_path)
    assert modules.isdisjoint({*HEAVY, *DATABASE})


def test_importing_core_alone_imports_next_to_nothing(tmp_path: Path) -> None:
    modules, _ = run("import core", home=tmp_path)
    assert modules.isdisjoint({"PIL", "pydantic", "pluggy", "pydantic_settings"})


@pytest.mark.parametrize("arguments", [("--help",), ("plugins",), ("caption", "--help"), ("history", "--help")])
def test_the_command_line_is_light(arguments: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("agents.cli", reason="the command line is not there yet")
    modules, printed = run("from inquisight.__main__ import main; main()", *arguments, home=tmp_path)
    assert printed.strip()
    assert modules.isdisjoint(HEAVY)


def test_the_doctor_loads_no_model_library(tmp_path: Path) -> None:
    modules, printed = run("from inquisight.__main__ import main; main()", "doctor", home=tmp_path)
    assert "Problems" in printed
    assert modules.isdisjoint({*HEAVY, *DATABASE} - {"numpy"})  # it counts the parameters of weights


def test_help_loads_only_what_it_draws_with(tmp_path: Path) -> None:
    bare, _ = run("", home=tmp_path)
    modules, printed = run("from inquisight.__main__ import main; main()", "--help", home=tmp_path)
    ours = {"inquisight", "core", "agents", "plugins", "ui", "serving", "training", "evaluation"}
    foreign = modules - bare - ours - set(sys.stdlib_module_names)
    assert "caption" in printed
    assert {name for name in foreign if not name.startswith("_")} <= HELP_NEEDS


def test_a_witness_that_starts_early_needs_no_model_library(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    code = """
from core.registry import get_registry
for name, entry in get_registry().witnesses.items():
    if entry.capabilities.get("starts_early"):
        get_registry().create_witness(name)
        print(name)
"""
    modules, printed = run(code, home=tmp_path)
    assert printed.split() == ["reader"]
    assert modules.isdisjoint(set(HEAVY) - {"numpy"})
