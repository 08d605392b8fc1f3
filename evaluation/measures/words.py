"""Compare texts letter by letter: edit distance, and what counts as a letter."""

from __future__ import annotations

import re
from typing import Final

_QUOTED: Final = re.compile(r"[\"“«]([^\"“”«»]{1,2000})[\"”»]")
_SPACE: Final = re.compile(r"\s++")


def as_written(text: str) -> str:
    """The text with single spaces."""
    return _SPACE.sub(" ", text).strip()


def letters(text: str) -> str:
    """Letters and digits alone, in one case."""
    return "".join(character for character in text.casefold() if character.isalnum())


def quoted(text: str) -> str:
    """What an answer quotes; the whole answer if it quotes nothing."""
    return " ".join(_QUOTED.findall(text)) or text


def distance(one: str, other: str) -> int:
    """Levenshtein's distance: the fewest characters to insert, delete or replace."""
    if len(one) < len(other):
        one, other = other, one
    before = list(range(len(other) + 1))
    for row, character in enumerate(one, start=1):
        here = [row]
        for column, another in enumerate(other, start=1):
            here.append(min(before[column] + 1, here[-1] + 1, before[column - 1] + (character != another)))
        before = here
    return before[-1]
