"""A description of a composed scene, compared with the things that the detection head lists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.nouns import with_article
from plugins.pocket.sight import COLUMNS, NUMBERS
from plugins.pocket.speech.words import MASS, PLURAL, UNIQUE

STRANGER: Final = "unknown thing"
SCENE: Final = re.compile(r"the picture shows (?:one|two|three|four) things? on ")
_ROWS: Final = ("at the top", "", "at the bottom")


@dataclass(frozen=True, slots=True)
class Listed:
    """One thing of the list."""

    name: str
    place: int  # 3 * row + column
    colour: str

    @property
    def where(self) -> str:
        """ "at the top left", "in the middle"."""
        row, column = _ROWS[self.place // 3], COLUMNS[self.place % 3]
        if row and column != "middle":
            return f"{row} {column}"
        return f"{row} {'in' if column == 'middle' else 'on'} the {column}".strip()

    @property
    def sentence(self) -> str:
        """ "on the left there is a red duck."."""
        words = f"{self.colour} {self.name}".strip()
        some = self.name in PLURAL or self.name in MASS
        thing = UNIQUE.get(self.name) or (f"some {words}" if some else with_article(words))
        return f"{self.where} there {'are' if self.name in PLURAL else 'is'} {thing}."


def completed(text: str, listed: Sequence[Listed]) -> str:
    """A description, in lower case, in which each thing of the list is told of once, at its place, and nothing else.

    The language model repeats one thing of a list in the place of another now and then; what it says rightly stays.
    """
    start = SCENE.match(text)
    if not start or not listed:
        return text
    opening, *told = text.strip().split(". ")
    told = [f"{one.removesuffix('.')}." for one in told]
    number = f"{NUMBERS[len(listed)]} thing{'s' * (len(listed) > 1)}"
    sentences = [f"the picture shows {number} on {opening.removesuffix('.')[start.end() :]}."]
    for thing in sorted(listed, key=lambda one: (one.place % 3, one.place // 3)):
        same = [one for one in told if one.startswith(f"{thing.where} there ") and f" {thing.name}" in one]
        sentences.append(same[0] if same else thing.sentence)
        if same:
            told.remove(same[0])
    return " ".join(sentences)
