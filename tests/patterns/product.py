"""Every regular expression of the product, read from its source, so that a new one is found without being listed.

A pattern is the first argument of a call of `re`. It is worked out from literals and from names of its module and of
the modules that it imports from; nothing heavy is imported. What cannot be worked out is made while the program runs
and has to be named in `MADE` with examples of it.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("core", "plugins", "agents", "ui", "training", "evaluation", "benchmarks")
_IMPORTS: Final = re.compile(r"\b(?:import|from) (?:re|regex)\b")
_ONCE: Final = {"match", "fullmatch"}
_CALLS: Final = {"compile", "search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
_FLAGS_AT: Final = {"compile": 1, "sub": 4, "subn": 4, "split": 3}  # all others: 2


@dataclass(frozen=True, slots=True)
class Found:
    """A call of `re`: where it stands, and its pattern and flags where the source alone says what they are."""

    where: str  # "agents/text/cleaning.py:42"
    within: str  # "agents/text/cleaning.py::sentences"; the module's own name at its top
    pattern: str | bytes | None
    flags: int = 0
    once: bool = False  # only ever matched at one place, and never searched for


class _Names(dict[str, Any]):
    """What the names of a module stand for, each worked out when it is first asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__({"__builtins__": builtins, "re": re})
        self._path = path
        self._sources: dict[str, ast.expr | tuple[str, str]] = {}
        for statement in _tree(path).body:
            if isinstance(statement, ast.Assign):
                for target in statement.targets:
                    if isinstance(target, ast.Name):
                        self._sources[target.id] = statement.value
            elif isinstance(statement, ast.AnnAssign) and statement.value and isinstance(statement.target, ast.Name):
                self._sources[statement.target.id] = statement.value
            elif isinstance(statement, ast.ImportFrom) and statement.module:
                for alias in statement.names:
                    self._sources[alias.asname or alias.name] = (statement.module, alias.name)

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            return getattr(builtins, name)
        source = self._sources[name]
        if isinstance(source, tuple):
            module, attribute = source
            if module.partition(".")[0] not in PACKAGES:
                value = getattr(importlib.import_module(module), attribute)
            elif (path := ROOT / f"{module.replace('.', '/')}.py").exists():
                value = names_of(path)[attribute]
            else:
                value = names_of(ROOT / module.replace(".", "/") / f"{attribute}.py")  # a module
        else:
            value = self.worked_out(source)
        self[name] = value
        return value

    def worked_out(self, expression: ast.expr) -> Any:
        return eval(compile(ast.Expression(expression), str(self._path), "eval"), self)


@cache
def names_of(path: Path) -> _Names:
    return _Names(path)


@cache
def sources() -> dict[Path, str]:
    """Every file of the product, and what is in it."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {path: path.read_text("utf-8") for path in paths}


def found_in(path: Path) -> Iterator[Found]:
    """Every call of `re` in a file."""
    if not _IMPORTS.search(sources()[path]):
        return
    relative = path.relative_to(ROOT).as_posix()
    tree = _tree(path)
    yield from _calls(tree, relative, relative, names_of(path), _matched_only(path))


def _calls(node: ast.AST, relative: str, within: str, names: _Names, matched: set[ast.expr]) -> Iterator[Found]:
    for child in ast.iter_child_nodes(node):
        inside = within
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{within}{'.' if '::' in within else '::'}{child.name}"
        if isinstance(child, ast.Call) and (name := _called(child)):
            pattern, flags = _argument(child, "pattern", 0), _argument(child, "flags", _FLAGS_AT.get(name, 2))
            where = f"{relative}:{child.lineno}"
            try:
                value = names.worked_out(pattern) if pattern else None
                number = int(names.worked_out(flags)) if flags else 0
            except (KeyError, AttributeError, TypeError, NameError):
                value, number = None, 0
            if not isinstance(value, re.Pattern):  # that one is counted where it is compiled
                once = name in _ONCE or child in matched
                yield Found(where, within, value if isinstance(value, str | bytes) else None, number, once)
        yield from _calls(child, relative, inside, names, matched)


def _matched_only(path: Path) -> set[ast.expr]:
    """The compiled patterns of a module on which nothing but `match` and `fullmatch` is called, anywhere."""
    tree = _tree(path)
    kept = {
        target.id: statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Call)
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
        if isinstance(target, ast.Name)
    }
    fine = {node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in _ONCE}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node not in fine:
            kept.pop(node.id, None)
    parent = path.relative_to(ROOT).parent.as_posix().replace("/", ".")
    uses = (f"{parent}.{path.stem}", f"from {parent} import")
    others = [text for other, text in sources().items() if other != path and any(use in text for use in uses)]
    return {value for name, value in kept.items() if not any(_names(name, text) for text in others)}


def _names(name: str, text: str) -> bool:
    return name in text and re.search(rf"(?<!\w){name}\b", text) is not None


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _called(call: ast.Call) -> str:
    function = call.func
    ours = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "re"
    return function.attr if ours and function.attr in _CALLS else ""  # type: ignore[attr-defined]


def _argument(call: ast.Call, name: str, place: int) -> ast.expr | None:
    named = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    return named or (call.args[place] if len(call.args) > place else None)
