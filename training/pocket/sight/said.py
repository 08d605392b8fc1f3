"""Which things and which scene words a description names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from plugins.imagenet.classes import classes
from plugins.pocket.asked import Vocabulary
from training.pocket.foundation import known_names
from training.pocket.sight.scene_words import WORDS

_UNSURE = re.compile(
    r"perhaps an? [^.,]*|(?:may|might|could) be [^.,]*|\"[^\"]*\"|main colou?rs? (?:is|are) [^.]*|dressed in [^.]*"
)
_NOT = re.compile(r"\bno [a-z ]+")


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that a text names."""

    name: str


@cache
def vocabulary() -> Vocabulary:
    """All names that pocket's editions may say, and those of the detector."""
    groups = {group for _, group in classes()}
    return Vocabulary(WORDS, [*sorted(group for group in groups if group), *(name for name, _ in known_names())])


def certain(text: str) -> str:
    """The text without what it calls uncertain, quotes or denies."""
    return _NOT.sub("", _UNSURE.sub("", text.lower()))


def names_in(text: str) -> list[Said]:
    """The things that a text names for certain, each once; scene words are not things."""
    return [Said(one.word) for one in vocabulary().named(certain(text)) if one.kind in ("thing", "class", "kind")]


def scene_words_in(text: str) -> list[str]:
    """The scene words that a text names for certain."""
    return [next(iter(one.names)) for one in vocabulary().named(certain(text)) if one.kind == "scene"]
