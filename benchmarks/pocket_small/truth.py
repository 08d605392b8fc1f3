"""Compare a description with the known truth: inventions, omissions, mistakes.

A thing counts as named where the pocket table counts it (`training.pocket.evaluate`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from agents.text import text_metrics
from plugins.pocket.colours import COLOURS
from training.pocket.evaluate import LOOKS, SIZES, mentions
from training.pocket.wording import NUMBERS, STRANGER, where

# "at the top left there is a small red apple with some green"
_CLAIM: Final = re.compile(r"\bthere (?:is|are) (?:(?:a|an|some|the) )?(?P<thing>[^.]+)")
_NUMBER: Final = re.compile(rf"\bshows ({'|'.join(NUMBERS)}) things?\b")
_GROUND: Final = re.compile(r"\bon an? ([a-z, ]{0,80}?) ?background\b|\bphotograph in ([a-z, ]+)")
_NONE: Final = frozenset(("nothing", "no", "a", "an", "some", "the"))  # a thing that breaks off is none, too
KINDS: Final = ("invented", "left out", "wrong", "repetition", "broken end", "symbols")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One description held against its picture."""

    wanted: int  # known things in the picture
    named: int  # of them, those that are named
    invented: int  # named things that are not there
    claims: int  # named things that are there, with a place and a colour
    wrong: int  # of them, those whose place or colour is another
    background: bool  # a wrong number of things or a wrong colour of the background

    def kinds(self, text: str) -> list[str]:
        """The kinds of error, as a reviewer of `inquisight curate verify` would label them."""
        found = {
            "invented": self.invented > 0,
            "left out": self.named < self.wanted,
            "wrong": self.wrong > 0 or self.background,
            "repetition": is_repeating(text),
            "broken end": text_metrics.is_broken_off(text),
            "symbols": bool(text_metrics.foreign_symbols(text)),
        }
        return [kind for kind in KINDS if found[kind]]


def judge(text: str, facts: dict[str, Any]) -> Verdict:
    """Hold a description against what is true of its picture (`training.pocket.features.truth`)."""
    text = text.lower()
    wanted = [thing["name"] for thing in facts["things"] if thing["name"]]
    left, invented = list(wanted), 0
    for name in _names(text):
        if name in left:
            left.remove(name)
        elif name != STRANGER:
            invented += 1
    claims = wrong = 0
    waiting = list(facts["things"])
    for name, colour, spot in _claims(text):
        same = [thing for thing in waiting if (thing["name"] or STRANGER) == name]
        if not same or not colour or not spot:
            continue
        claims += 1
        right = [thing for thing in same if _fits(thing, colour, spot)]
        wrong += not right
        waiting.remove((right or same)[0])
    number = _NUMBER.search(text)
    miscounted = number is not None and NUMBERS.index(number[1]) != len(facts["things"])
    ground = {word for found in _GROUND.finditer(text) for word in re.findall(r"\w+", found[1] or found[2])}
    elsewhere = bool((ground & set(COLOURS)) - set(facts["background_colours"]))
    return Verdict(len(wanted), len(wanted) - len(left), invented, claims, wrong, miscounted or elsewhere)


def _names(text: str) -> list[str]:
    """Everything that a description puts into the picture, without sizes and colours."""
    found = [_name(thing.split()) for thing in (*mentions(text), *LOOKS.findall(text))]
    return [name for name in found if name]


def _name(words: list[str]) -> str:
    """The name among the words of a thing; an orange orange is an orange. Empty where it is none."""
    own = [word for word in words if word not in SIZES and word not in COLOURS] or words[-1:]
    return "" if not own or own[0] in _NONE else " ".join(own)


def _claims(text: str) -> list[tuple[str, str, str]]:
    """(name, colour, place in words) of everything that a description puts somewhere; empty where it does not say."""
    found = []
    end = 0  # of the claim before
    for claim in _CLAIM.finditer(text):
        before, end = text[end : claim.start()].rstrip(), claim.end()
        words = claim["thing"].split(" with some ")[0].split()
        if name := _name(words):
            colour = next((word for word in words if word in COLOURS), "")
            found.append((name, colour, re.split(r"[^a-z ]", before)[-1].strip()))
    return found


def _fits(thing: dict[str, Any], colour: str, spot: str) -> bool:
    return colour in thing["colours"] and spot == where(thing["column"], thing["row"])


def is_repeating(text: str) -> bool:
    """Whether a description repeats itself, by the signs of the curation; of 1,000 true ones four seem to."""
    return "repeating" in text_metrics.failures(text)
