"""Read the tables `[style.NAME]` of a prompts file: what a language model is asked for in each style.

A table replaces the request of a built-in style, or adds a style:

    [style.catalogue]
    request = "{notes} ..."         # the request; {notes} are the questions and answers
    form = "text"                   # or "tags": a list
    max_chars = 200                 # optional
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Form = Literal["text", "tags"]
BUILT_IN: Final = ("description", "alt", "short", "tags", "prompt")
LEAST: Final = 20  # characters that a limit leaves
MOST: Final = 10_000
_FIELDS: Final = frozenset({"notes", "purpose", "max_chars", "language"})
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,30}")


@dataclass(frozen=True, slots=True)
class StylePrompt:
    """The request of a style, and the form of its text."""

    name: str
    request: str
    form: Form = "text"
    max_chars: int | None = None

    def filled(self, **values: str) -> str:
        """The request with its placeholders replaced by `values`, which are not parsed."""
        return self.request.format(**{**dict.fromkeys(_FIELDS, ""), **values})


def read_styles(table: object) -> dict[str, StylePrompt]:
    """The styles of the table `style` of a prompts file. Raises ValueError, one line."""
    if not isinstance(table, Mapping):
        raise ValueError("'style' must hold tables, such as [style.alt]")
    return {name: _read(str(name), body) for name, body in table.items()}


def _read(name: str, body: Any) -> StylePrompt:
    where = f"style.{name}"
    if not _NAME.fullmatch(name):
        raise ValueError(f"{where!r}: write the name of a style in small letters, digits, - and _")
    if name == "description":
        raise ValueError(f"{where!r} is written by the prompts of the table 'summary'; change these")
    if not isinstance(body, Mapping):
        raise ValueError(f"{where!r} must be a table with a request")
    if unknown := sorted(body.keys() - {"request", "form", "max_chars"}):
        raise ValueError(f"unknown key '{where}.{unknown[0]}'; there is request, form and max_chars")
    request, form, most = body.get("request"), body.get("form", "text"), body.get("max_chars")
    if not isinstance(request, str) or not request.strip():
        raise ValueError(f"'{where}.request' must be a text that is not empty")
    if form not in ("text", "tags"):
        raise ValueError(f"'{where}.form' must be 'text' or 'tags', not {form!r}")
    if name in BUILT_IN and (form == "tags") != (name == "tags"):
        raise ValueError(f"'{where}.form' cannot be {form!r}; add a style of another name")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or not LEAST <= most <= MOST):
        raise ValueError(f"'{where}.max_chars' must be a number from {LEAST} to {MOST}, not {most!r}")
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(request) if field is not None}
        request.format(**dict.fromkeys(_FIELDS, ""))
    except (ValueError, LookupError) as error:
        if isinstance(error, ValueError):
            raise ValueError(f"'{where}.request' has a stray brace ({error}); write {{{{ and }}}}") from None
        allowed = ", ".join(f"{{{field}}}" for field in sorted(_FIELDS))
        raise ValueError(f"'{where}.request' uses {error}, which is not known there (allowed: {allowed})") from None
    if "notes" not in fields:
        raise ValueError(f"'{where}.request' must contain {{notes}}")
    return StylePrompt(name, request.strip("\n"), form, most)
