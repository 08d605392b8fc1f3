"""`import inquisight` costs nothing, offers what it lists, and says so where another package hides ours."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import core
import inquisight as iq
from tests.processes import run_module
from tests.test_import_cost import HEAVY, run

ROOT = Path(__file__).parents[2]


def test_importing_it_loads_next_to_nothing(tmp_path: Path) -> None:
    modules, _ = run("import inquisight; dir(inquisight); inquisight.__version__", home=tmp_path)
    assert "inquisight" in modules
    assert modules.isdisjoint({*HEAVY, "PIL", "pydantic", "pluggy", "sqlalchemy", "agents", "plugins"})


@pytest.mark.parametrize(
    "name", ["hookimpl", "VisionBackend", "Caption", "open_picture", "caption", "caption_many", "Chat", "events"]
)
def test_no_name_loads_a_model_library(name: str, tmp_path: Path) -> None:
    modules, _ = run(f"from inquisight import {name}", home=tmp_path)
    assert modules.isdisjoint(HEAVY)


def test_every_name_is_there_for_type_checkers_and_when_it_runs() -> None:
    tree = ast.parse(Path(str(iq.__file__)).read_text("utf-8"))
    [typed] = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in typed.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: node.module for node in imports for alias in node.names}
    assert sorted(homes) == sorted({*iq.__all__, "testing"}) == sorted({*iq._MODULE_OF, "events", "testing"})
    for name, module in homes.items():
        if name in iq._MODULE_OF:
            assert iq._MODULE_OF[name] == module
            assert getattr(iq, name) is getattr(importlib.import_module(str(module)), name)
    assert {*iq.__all__, "__version__"} <= set(dir(iq))
    with pytest.raises(AttributeError, match="no attribute 'capton'"):
        _ = iq.capton  # type: ignore[attr-defined]


def test_plugin_authors_find_everything_that_core_has() -> None:
    assert set(core.__all__) <= set(iq.__all__)
    assert {name for name in core.__all__ if getattr(iq, name) is not getattr(core, name)} == {"Chat"}, (
        "a chat that one can hold, in place of its record"
    )
    assert iq.testing.VisionBackendTests and iq.testing.QuestionerTests and iq.testing.make_picture


def test_version() -> None:
    assert iq.__version__ == version("inquisight")


@pytest.mark.parametrize("arguments", [("--help",), ("caption", "--rounds", "0", "x.png"), ("--version",)])
def test_the_module_is_the_command(arguments: tuple[str, ...], tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT), "INQUISIGHT_HOME": str(tmp_path), "COLUMNS": "100"}
    found = [
        run_module(module, arguments, cwd=tmp_path, environment=environment) for module in ("inquisight", "agents.cli")
    ]
    results = [(done.returncode, done.stdout, done.stderr) for done in found]
    assert results[0] == results[1] and (results[0][1] or results[0][2])


@pytest.mark.parametrize("package", ["agents", "core", "ui"])
def test_another_package_of_our_name_is_named(package: str, tmp_path: Path) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("raise SystemExit('this code is not ours')")
    paths = [str(tmp_path), str(ROOT)]
    code = f"import sys; sys.path[:0] = {paths!r}; import inquisight; inquisight.Caption"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and f"package '{package}'" in last and str(tmp_path) in last, done.stderr
