"""The options of `inquisight audit`; the docstring below a field is its help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from core.console.options import Questioner, Seed, Vision, Witness, choice_option, number

BY: Final = ("rules", "questioner")


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """Check every claim of a caption against its image."""

    source: Annotated[str, typer.Argument(metavar="IMAGE|DATA")]
    """An image, or a data set of images with captions: folder, table, shards."""
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]")] = None
    """A text file with the image's caption."""
    text: str | None = None
    """The image's caption."""
    vision: Vision = None
    witness: Witness = None
    threshold: Annotated[float | None, typer.Option("--threshold", metavar="0..1", parser=number)] = None
    """Score above which a claim is supported [0.5]."""
    claims: Annotated[str, choice_option("--claims", "Who finds the claims: rules, or questioner [rules].", BY)] = BY[0]
    questioner: Questioner = None
    seed: Seed = None
    drop: bool = False
    """Print the caption without its unsupported claims."""
    json: bool = False
    """JSON Lines on standard output: one object per caption."""
