"""Hold free English text against the truth of a composed scene or a labelled photograph.

Failures are the paper's: broken off, repeating, foreign symbols, off the subject. A description that reaches the limit
of tokens counts as broken off in the paper; here it has its own column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from agents.text import text_metrics
from core.text import sentences
from plugins.pocket.colours import COLOURS
from training.photographs.labels import Labels
from training.pocket.foundation import known_names
from training.pocket.sight.said import names_in
from training.pocket.wording import plural

FAILURES: Final = ("limit reached", "broken off", "repeating", "foreign symbols", "off the subject")
FORM: Final = FAILURES[:4]  # what is wrong without knowing the picture
_ACROSS: Final = {"left": "left", "right": "right"}
_DOWN: Final = {"top": "top", "upper": "top", "bottom": "bottom", "lower": "bottom"}
_PLACE: Final = re.compile(rf"\b({'|'.join((*_ACROSS, *_DOWN))})\b")


@dataclass(frozen=True, slots=True)
class Judged:
    """One description held against its picture."""

    failures: tuple[str, ...]
    wanted: int  # known things in the picture, each name once
    named: int  # of them, those that the text names
    invented: int  # names of things that are not there
    placed: int  # named things with a place
    misplaced: int  # of them, those whose place is another
    words: int


def form_failures(text: str, *, reached_limit: bool) -> tuple[str, ...]:
    """The failures that the text alone shows."""
    found = text_metrics.failures(text)
    named = {
        "limit reached": reached_limit,
        "broken off": not reached_limit and ("broken off" in found or "empty" in found),
        "repeating": "repeating" in found,
        "foreign symbols": "foreign symbols" in found or "other language" in found,
    }
    return tuple(name for name, failed in named.items() if failed)


def judge_scene(text: str, facts: dict[str, Any], *, reached_limit: bool) -> Judged:
    """Hold a description against what is true of its scene (`training.pocket.features.truth`)."""
    wanted = {thing["name"] for thing in facts["things"] if thing["name"]} - set(COLOURS)
    said = scene_names(text)
    named, words = wanted & said, set(text_metrics.words_of(text))
    colours = {colour for thing in facts["things"] for colour in thing["colours"]} | set(facts["background_colours"])
    on_subject = bool(named) or (not wanted and bool(words & colours))
    placed, misplaced = _places(text, facts)
    return _judged(text, reached_limit, on_subject, (len(wanted), len(named), len(said - wanted), placed, misplaced))


def judge_photograph(text: str, labels: Labels, *, reached_limit: bool) -> Judged:
    """Hold a description against the labels of its photograph. A name also matches by its last word."""
    wanted = {thing.name for thing in labels.things}
    heads = {name.split()[-1] for name in (*wanted, *labels.maybe)}
    said = {one.name for one in names_in(text)}
    named = {name for name in wanted if any(name == one or name.split()[-1] == one.split()[-1] for one in said)}
    invented = {one for one in said if one not in labels.maybe and one.split()[-1] not in heads}
    on_subject = bool(named) or not wanted
    return _judged(text, reached_limit, on_subject, (len(wanted), len(named), len(invented), 0, 0))


def _judged(text: str, reached_limit: bool, on_subject: bool, counts: tuple[int, int, int, int, int]) -> Judged:
    failures = form_failures(text, reached_limit=reached_limit)
    if not on_subject:
        failures = (*failures, "off the subject")
    return Judged(failures, *counts, len(text_metrics.words_of(text)))


def scene_names(text: str) -> set[str]:
    """The names of known things in a text, each once; colours such as "orange" are none."""
    return {_names()[found[0]] for found in _pattern().finditer(text.lower())} - set(COLOURS)


@cache
def _names() -> dict[str, str]:
    """Every name and its plural, to the name."""
    return {form: name for name, _ in known_names() for form in (plural(name), name)}


@cache
def _pattern() -> re.Pattern[str]:
    longest = sorted(_names(), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest))})\b")


def _places(text: str, facts: dict[str, Any]) -> tuple[int, int]:
    """How many things have a place, and how many a wrong one. Only sentences that name a single thing are read."""
    named = [thing for thing in facts["things"] if thing["name"]]
    alone = {thing["name"]: thing for thing in named if sum(one["name"] == thing["name"] for one in named) == 1}
    placed = misplaced = 0
    seen: set[str] = set()
    for sentence in sentences(text):
        said = scene_names(sentence) & set(alone)
        words = set(_PLACE.findall(sentence.lower()))
        if len(said) != 1 or not words or said <= seen:
            continue
        seen |= said
        thing = alone[next(iter(said))]
        wrong = any(_ACROSS[word] != thing["column"] for word in words & set(_ACROSS))
        wrong |= any(_DOWN[word] != thing["row"] for word in words & set(_DOWN))
        placed += 1
        misplaced += wrong
    return placed, misplaced


def figures(judged: Iterable[Judged]) -> dict[str, Any]:
    """Counts and means over all pictures; shares are given as [part, whole]."""
    all_ = list(judged)

    def part(name: str) -> int:
        return sum(name in one.failures for one in all_)

    return {
        "pictures": len(all_),
        "failed": [sum(bool(one.failures) for one in all_), len(all_)],
        "failed in form": [sum(any(name in FORM for name in one.failures) for one in all_), len(all_)],
        **{name: [part(name), len(all_)] for name in FAILURES},
        "recall": [sum(one.named for one in all_), sum(one.wanted for one in all_)],
        "invented per picture": round(sum(one.invented for one in all_) / max(len(all_), 1), 3),
        "wrong place": [sum(one.misplaced for one in all_), sum(one.placed for one in all_)],
        "words": round(sum(one.words for one in all_) / max(len(all_), 1), 1),
    }
