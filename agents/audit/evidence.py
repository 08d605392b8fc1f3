"""What witnesses say about a claim, as evidence that moves the vision model's score.

A witness that finds a thing speaks for it, and its boxes for or against numbers and places; that it finds none speaks
against nothing, since it knows few names. Writing is judged by a reader alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from agents.audit.checks import number_of
from core.findings import Findings
from core.nouns import singular
from core.records import Claim

# Log odds by which a witness moves a score.
FOUND: Final = 2.0  # the thing was made out
COUNTED: Final = 1.0  # as many as claimed; the same against another number
PLACED: Final = 1.5  # the only one of its name lies there; the same against another third
READ: Final = 3.0  # the words stand in the picture
UNREAD: Final = -2.0  # a reader looked, and the words do not
_ALIKE: Final = 0.8  # similarity of two texts that count as the same, since readers mistake letters
_PEOPLE: Final = frozenset("man woman boy girl child people adult lady guy human pedestrian player rider".split())
_SAME: Final = {
    **dict.fromkeys(_PEOPLE, "person"), "bike": "bicycle", "couch": "sofa", "television": "tv", "phone": "cell phone",
    "mobile phone": "cell phone", "airplane": "aeroplane", "plane": "aeroplane", "motorbike": "motorcycle",
    "table": "dining table", "plant": "potted plant", "glass": "wine glass", "computer": "laptop",
}  # fmt: skip
_LETTERS: Final = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Log odds for a claim (against it, if negative), and the names of the witnesses that they come from."""

    log_odds: float = 0.0
    witnesses: tuple[str, ...] = ()
    decides: bool = False  # the vision model need not be asked


def evidence_for(claim: Claim, findings: Sequence[Findings]) -> Evidence:
    """What the findings of one picture say about a claim."""
    if claim.kind == "text":
        return _text(claim, findings)
    name = _name(claim.about)
    for found in findings:
        things = [thing for thing in found.things if name and name in (_name(thing.name), _name(thing.finer or ""))]
        if not things:
            continue
        witness = (found.witness,)
        if claim.kind == "thing":
            return Evidence(FOUND, witness)
        if claim.kind == "number" and (count := number_of(claim.value)) is not None:
            return Evidence(COUNTED if count == len(things) else -COUNTED, witness)
        if claim.kind == "place" and len(things) == 1:
            sides = {"left", "right", "middle"} & set(claim.value.lower().split())
            if len(sides) == 1:
                there = things[0].box.third(found.width) in sides
                return Evidence(PLACED if there else -PLACED, witness)
    return Evidence()


def _text(claim: Claim, findings: Sequence[Findings]) -> Evidence:
    readers = [found for found in findings if "text" in found.looked_for]
    if not readers:
        return Evidence()
    names = tuple(found.witness for found in readers)
    wanted = _bare(claim.value or claim.text)
    lines = [_bare(line.text) for found in readers for line in found.lines]
    near = any(_stands_in(wanted, line) for line in [*lines, "".join(lines)])
    return Evidence(READ if near else UNREAD, names, decides=True)


def _stands_in(wanted: str, line: str) -> bool:
    """Whether a text is part of a line, one or two misread letters aside."""
    if not wanted or not line:
        return False
    if wanted in line:
        return True
    return len(wanted) >= 4 and SequenceMatcher(None, wanted, line[: 2 * len(wanted)], autojunk=False).ratio() >= _ALIKE


def _bare(text: str) -> str:
    return _LETTERS.sub("", text.casefold())


def _name(noun: str) -> str:
    before, space, last = noun.lower().rpartition(" ")
    word = f"{before}{space}{singular(last)}" if last else ""
    return _SAME.get(word, word)
