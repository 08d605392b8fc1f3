"""The options of commands that write styles, and what the owner knows; the docstring below a field is its help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agents.styles.options import StyleOptions, style_names
from agents.styles.vocabulary import read_vocabulary
from core.console.options import whole_number


@dataclass(frozen=True, slots=True)
class StyleRequest:
    """Options of styles."""

    style: Annotated[tuple[str, ...], typer.Option("--style", metavar="NAME,...")] = ()
    """Texts to write: description, alt, short, tags, prompt, or own ones of the prompts file; the first is
    the output [description]."""
    purpose: Annotated[str | None, typer.Option("--purpose", metavar="TEXT")] = None
    """What the alt text is for, such as "product page for a mug"; decorative: an empty one."""
    vocabulary: Path | None = None
    """Tags to choose from, one a line."""
    prefix: Annotated[str | None, typer.Option("--prefix", metavar="TEXT")] = None
    """Text before a training caption (prompt)."""
    suffix: Annotated[str | None, typer.Option("--suffix", metavar="TEXT")] = None
    """Text after a training caption."""
    trigger: Annotated[str | None, typer.Option("--trigger", metavar="WORD")] = None
    """Word that a training caption teaches; it comes first."""
    max_chars: Annotated[int | None, typer.Option("--max-chars", metavar="N", parser=whole_number)] = None
    """Most characters of each text; whole sentences, clauses and words are kept [alt: 125, short: 100,
    prompt: 300]."""


@dataclass(frozen=True, slots=True)
class OwnerRequest(StyleRequest):
    """Options of `caption`, `batch` and `video`."""

    context: Annotated[str | None, typer.Option("--context", metavar="TEXT")] = None
    """What you know of the files: who, what, where. Used as true and marked as told; a file
    NAME.context.txt beside one adds to it."""
    context_keywords: bool = False
    """Also take the keywords that other programs gave a file (XMP, IPTC) as known."""


def style_options(request: StyleRequest) -> StyleOptions:
    """The styles of a request. Raises UsageError."""
    styles = style_names(request.style)
    return StyleOptions(
        styles or (("description",) if request.max_chars else ()),
        request.purpose or "",
        read_vocabulary(request.vocabulary) if request.vocabulary else None,
        request.prefix or "",
        request.suffix or "",
        request.trigger or "",
        request.max_chars,
    )
