"""What several commands share: how a value is read, and options whose words are the same everywhere.

    def caption(vision: Vision = None, seed: Annotated[int | None, typer.Option("--seed", parser=whole_number)] = None):

The only module of `core` that imports typer; `import core` does not import it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import UsageError, printable


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


def text_option(flag: str, text: str, metavar: str = "FILE") -> Any:
    """Return an option that takes a path or a word."""
    return typer.Option(flag, metavar=metavar, help=text)


def count_option(flag: str, text: str, low: int = 1) -> Any:
    """Return an option that takes a whole number from `low` on."""

    def check(value: int | None) -> int | None:
        if value is not None and value < low:
            raise UsageError(f"{flag} is {value}: it must be {low} or more.")
        return value

    return typer.Option(flag, metavar="N", parser=whole_number, help=text, callback=check)


def number_option(flag: str, text: str, *, amount: bool = False) -> Any:
    """Return an option that takes a number; an `amount` must be 0 or more."""

    def check(value: float | None) -> float | None:
        if amount and value is not None and not (value >= 0 and math.isfinite(value)):
            raise UsageError(f"{flag} is {value}: it must be a number, 0 or more.")
        return value

    return typer.Option(flag, metavar="X", parser=number, help=text, callback=check)


def choice_option(flag: str, text: str, allowed: Sequence[str], metavar: str = "NAME") -> Any:
    """Return an option that takes one of `allowed`."""

    def check(value: str) -> str:
        if value not in allowed:
            known = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
            raise UsageError(f"{flag} is '{printable(value, 40)}': take {known}.")
        return value

    return typer.Option(flag, metavar=metavar, help=text, callback=check)


def show_help(context: typer.Context) -> None:
    """Print the help of a command group that was called without a command."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit()


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
Witness = Annotated[
    str | None,
    typer.Option(
        "--witness",
        metavar="NAME,...",
        help="Witnesses that examine the image; auto: all that work here; none [INQUISIGHT_WITNESS; auto].",
    ),
]
History = Annotated[
    int | None,
    typer.Option(
        "--history",
        metavar="N",
        parser=whole_number,
        help="Earlier answers shown to the vision model with each question; -1: all [1].",
    ),
]
MinRounds = Annotated[
    int | None,
    typer.Option(
        "--min-rounds",
        metavar="N",
        parser=whole_number,
        help="Questions before the questioner may end asking; 0: any time [half of --rounds].",
    ),
]
Fallback = Annotated[
    str | None,
    typer.Option(
        "--fallback", metavar="NAME", help="Who asks when the questioner has no usable question, or none [scripted]."
    ),
]
Asking = Annotated[
    str | None,
    typer.Option(
        "--asking", metavar="MODE", help="free, or guided: the rules propose five questions, to choose from [free]."
    ),
]
Audit = Annotated[
    str | None,
    typer.Option(
        "--audit", metavar="MODE", help="Check each claim of the description: mark, or drop the false ones [none]."
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold", metavar="X", parser=number, help="Least score of a claim that an audit supports, 0 to 1 [0.5]."
    ),
]
Claims = Annotated[
    str | None,
    typer.Option(
        "--claims", metavar="BY", help="Who finds the claims for --audit: the rules, or the questioner [rules]."
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
SaveXmp = Annotated[
    bool, typer.Option("--xmp", help="Also write an XMP sidecar beside each picture, as photo programs do.")
]
XmpNames = Annotated[
    str | None,
    typer.Option(
        "--xmp-name",
        metavar="NAME",
        help="Name of sidecars: photo.jpg.xmp (digiKam, darktable, Immich) or photo.xmp (Lightroom) [photo.jpg.xmp].",
    ),
]
WriteMetadata = Annotated[
    bool,
    typer.Option("--write-metadata", help="Also write into the picture files, with exiftool; it keeps a backup."),
]
ExistingCaptions = Annotated[
    str | None,
    typer.Option(
        "--existing",
        metavar="MODE",
        help="Pictures that have a caption there: skip, overwrite or append [an error].",
    ),
]
OverwriteBeside = Annotated[bool, typer.Option("--overwrite", help="Short for --existing overwrite.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over instead of resuming a stopped or failed interview.")]
