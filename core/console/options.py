"""What several commands share: how a value is read, and options whose words are the same everywhere.

    def caption(vision: Vision = None, seed: Annotated[int | None, typer.Option("--seed", parser=whole_number)] = None):

The only module of `core` that imports typer; `import core` does not import it.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer


def whole_number(text: str) -> int:
    """An integer option; typer's own message does not name the value."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number") from None


def number(text: str) -> float:
    """As `whole_number`, with decimals."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number") from None


def day(text: str) -> date:
    """A day of the calendar, 2026-03-31."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day; write it as 2026-03-31") from None


Vision = Annotated[
    str | None, typer.Option("--vision", metavar="NAME", help="Vision model [INQUISIGHT_VISION; pocket].")
]
Questioner = Annotated[
    str | None,
    typer.Option(
        "--questioner",
        metavar="NAME",
        help="Model that asks the questions: a name, or provider:model [INQUISIGHT_QUESTIONER; scripted].",
    ),
]
Context = Annotated[
    int | None,
    typer.Option(
        "--context",
        metavar="N",
        parser=whole_number,
        help="Earlier answers given as context; -1: all [1].",
    ),
]
Prompts = Annotated[
    Path | None,
    typer.Option("--prompts", metavar="FILE", help="Prompts file; start from `inquisight prompts`."),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", metavar="N", parser=whole_number, help="Random seed; the same models then give the same dialogue."
    ),
]
OverwriteBeside = Annotated[bool, typer.Option("--overwrite", help="Allow --save-beside to replace existing files.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over instead of resuming a stopped or failed interview.")]
