"""docs/architecture.md, "Floors": a package imports only from floors below its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY = {
    "core": set(),
    "plugins": {"core"},
    "agents": {"core"},
    "training": {"core", "plugins"},
    "ui": {"core", "agents"},
}
PACKAGES = {*MAY, "inquisight", "tests", "benchmarks", "docs"}


def imported(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
    """Line and top-level package of every import that runs, at the top of a file or in a function."""
    for statement in body:
        for node in _running(statement):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.lineno, node.module.partition(".")[0]


def _running(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        children: list[ast.stmt] = node.orelse
    else:
        yield node
        children = list(ast.iter_child_nodes(node))  # type: ignore[arg-type]
    for child in children:
        yield from _running(child)


@pytest.mark.slow
@pytest.mark.parametrize("package", MAY)
def test_a_package_imports_only_from_floors_below(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for line, name in imported(ast.parse(path.read_text("utf-8")).body)
        if name in PACKAGES - MAY[package] - {package}
    ]
    assert not wrong


def test_types_alone_are_no_import() -> None:
    source = "if TYPE_CHECKING:\n    import ui\nelse:\n    import agents\ndef f():\n    from training.data import x\n"
    assert [name for _, name in imported(ast.parse(source).body)] == ["agents", "training"]
