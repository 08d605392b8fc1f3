"""Commands declared as dataclasses: each field is an option, and the docstring below it is its help.

    @dataclass(frozen=True, slots=True)
    class ShowRequest:
        \"\"\"Show one transcript.\"\"\"

        id: Annotated[str, typer.Argument(metavar="ID")]
        \"\"\"Transcript ID or a unique prefix.\"\"\"
        json: bool = False
        \"\"\"Print the record as one JSON object.\"\"\"

    add_command(app, "show", ShowRequest, "agents.cli.show:run_show")

Flag, metavar and parser follow from name and type; `Annotated` with a typer.Option or typer.Argument overrides them.
Fields that a dataclass inherits come after its own.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import importlib
import inspect
import sys
import types
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from core.console.options import day, number, whole_number

_KINDS: dict[Any, tuple[str | None, Any]] = {  # type -> (metavar, parser)
    bool: (None, None),
    int: ("N", whole_number),
    float: ("X", number),
    Path: ("FILE", None),
    date: ("DAY", day),
    str: ("NAME", None),
}


def add_command(app: typer.Typer, name: str, request: type, target: str) -> None:
    """Add the command `name`, whose help is the docstring of the dataclass `request`.

    `target` is "module:function", imported when the command runs. It gets a `request` and returns the exit code.
    """
    classes = [one for one in reversed(request.__mro__) if dataclasses.is_dataclass(one)]
    help_of = {name: text for one in classes for name, text in _field_docs(one.__module__)[one.__name__].items()}
    hints = get_type_hints(request, include_extras=True)
    own = inspect.get_annotations(request)
    fields = sorted(dataclasses.fields(request), key=lambda field: field.name not in own)
    parameters = [_parameter(field, hints[field.name], help_of.get(field.name)) for field in fields]
    several = {name for name, hint in hints.items() if get_origin(_kind(hint)[0]) is tuple}

    def command(**values: Any) -> None:
        values = {key: tuple(value or ()) if key in several else value for key, value in values.items()}
        module, _, function = target.partition(":")
        raise typer.Exit(getattr(importlib.import_module(module), function)(request(**values)))

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app.command(name, help=inspect.getdoc(request))(command)


def _kind(hint: Any) -> tuple[Any, ...]:
    """The type of a hint, and what annotates it."""
    return get_args(hint) if get_origin(hint) is Annotated else (hint,)


def _parameter(field: dataclasses.Field[Any], hint: Any, text: str | None) -> inspect.Parameter:
    kind, *extra = _kind(hint)
    several, required = get_origin(kind) is tuple, field.default is dataclasses.MISSING
    if several:
        kind = list[get_args(kind)[0]] if required else list[get_args(kind)[0]] | None  # type: ignore[misc]
    single = get_args(kind)[0] if isinstance(kind, types.UnionType) else kind
    single = get_args(single)[0] if get_origin(single) is list else single
    metavar, parser = _KINDS[single]
    if extra:
        info = copy.copy(extra[0])
        info.help = info.help or text
    else:
        info = typer.Option(f"--{field.name.replace('_', '-')}", metavar=metavar, parser=parser, help=text)
    if several:
        info.show_default = False
    default = inspect.Parameter.empty if required else None if several else field.default
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


@cache
def _field_docs(module: str) -> dict[str, dict[str, str]]:
    """Class -> field -> the docstring below the field, of all classes of a module."""
    return {
        node.name: {
            first.target.id: inspect.cleandoc(second.value.value).replace("\n", " ")
            for first, second in zip(node.body, node.body[1:], strict=False)
            if isinstance(first, ast.AnnAssign)
            and isinstance(first.target, ast.Name)
            and isinstance(second, ast.Expr)
            and isinstance(second.value, ast.Constant)
            and isinstance(second.value.value, str)
        }
        for node in ast.parse(inspect.getsource(sys.modules[module])).body
        if isinstance(node, ast.ClassDef)
    }
