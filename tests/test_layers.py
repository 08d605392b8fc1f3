"""Layers that imports do not show: modules named in strings. import-linter checks the imports (`make lint`)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = {"core": 0, "plugins": 1, "agents": 2, "training": 3, "evaluation": 3, "ui": 4, "serving": 4, "inquisight": 5}
NAMED = re.compile(rf"(?:{'|'.join(LAYERS)})(?:\.\w+)+(?::\w+)?")
REGISTRATIONS = ("register", "BUILTINS")  # plugins name their targets, and the registry the built-in plugins


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def named_modules(file: Path) -> list[tuple[int, str]]:
    """(line, string) of each string in `file` that names a module of ours, registrations left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    registered = {
        id(inner)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Call) and getattr(node.func, "id", "") in REGISTRATIONS)
        or (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in REGISTRATIONS)
        for inner in ast.walk(node)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in registered
        if NAMED.fullmatch(node.value) and is_module(node.value.partition(":")[0])
    ]


@pytest.mark.parametrize("package", list(LAYERS))
def test_no_string_names_a_module_of_a_layer_above(package: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line} names '{name}'"
        for file in sorted((ROOT / package).rglob("*.py"))
        for line, name in named_modules(file)
        if LAYERS[name.partition(".")[0]] > LAYERS[package]
    ]
    assert not found


def test_a_string_is_found_and_a_registration_is_not(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        'import importlib\nimportlib.import_module("agents.cli")\nregister("a", "plugins.trained:open_trained")\n'
        '"agents.nothing.there"\n',
        encoding="utf-8",
    )
    assert named_modules(file) == [(2, "agents.cli")]
