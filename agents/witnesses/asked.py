"""Witnesses that take names are asked for the thing that a question of an interview asks for.

found = look_for_asked("Is there a bicycle?", "I am not sure.", picture, ["detector:transformers:owlv2"])
found.answer      # "Yes: a bicycle on the left."
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from core.entries import one_line
from core.errors import printable
from core.findings import Findings
from core.scoring import named_choice

if TYPE_CHECKING:
    from agents.witnesses.examination import Find
    from core.images.picture import Picture

MOST: Final = 4  # things of one question
LONGEST: Final = 3  # words of a name
_SAME: Final = 0.6  # overlap of two boxes of one thing
_ASKS: Final = re.compile(
    r"(?:is|are) there |(?:do|can|could) you (?:also )?(?:see|spot|make out) |does (?:the|this) \w+ (?:show|contain) ",
    re.IGNORECASE,
)
_ARTICLE: Final = re.compile(r"(?:a|an|any|some|one|another|other|also)\b\s*", re.IGNORECASE)
_END: Final = re.compile(
    r"\b(?:in|on|at|near|behind|beside|next|under|above|with|anywhere|visible|here|there|too|as well)\b|[?.!,;:]",
    re.IGNORECASE,
)


_VAGUE: Final = re.compile(r"\b(?:any|some|no)?(?:thing|one|body)s?\b|\b(?:else|more|objects?)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer of witnesses in place of the vision model's, if they found the thing; what they found; failures."""

    answer: str = ""
    names: str = ""
    findings: tuple[Findings, ...] = ()
    problems: tuple[str, ...] = ()


def asked_things(question: str) -> list[str]:
    """The things whose presence a question asks for: ["red car", "bicycle"]; none for any other question."""
    begun = _ASKS.match(question.strip())
    if begun is None:
        return []
    rest = _END.split(question.strip()[begun.end() :], maxsplit=1)[0]
    names: list[str] = []
    for part in re.split(r"\bor\b|\band\b", rest):
        name, count = part.strip(), 1
        while count:
            name, count = _ARTICLE.subn("", name, count=1) if _ARTICLE.match(name) else (name, 0)
        if len(name.split()) > LONGEST or not re.fullmatch(r"[\w' -]*", name):
            return []
        if name and not _VAGUE.search(name):
            names.append(name.lower())
    return names[:MOST]


def look_for_asked(
    question: str, answer: str, picture: Picture, witnesses: Sequence[str], find: Find | None = None
) -> Asked:
    """Ask the witnesses that take names for the things of a question. Never raises an Exception.

    They answer where the vision model's own answer is not a plain yes, and they are sure of a thing.
    """
    things = asked_things(question)
    if not things:
        return Asked()
    from agents.witnesses.words import things_in_words
    from core.registry import get_registry

    findings: list[Findings] = []
    problems: list[str] = []
    for name in witnesses:
        try:
            witness = (find or get_registry().create_witness)(name)
            if witness.takes_names:
                [found] = witness.look_for([picture], things)
                findings.append(found.kept())
        except Exception as error:  # noqa: BLE001 - becomes a line in the record
            problems.append(f"the witness '{printable(name)}' failed: {one_line(error)}")
    seen = tuple(one for one in findings if one.things)
    if not seen or named_choice(answer, ("yes", "no"), question) == 0:
        return Asked(findings=seen, problems=tuple(problems))
    words = things_in_words(seen)
    names = ", ".join(one.witness for one in seen)
    return Asked(f"Yes: {words[0].lower()}{words[1:]}", names, seen, tuple(problems))


def joined(findings: Sequence[Findings], more: Sequence[Findings]) -> tuple[Findings, ...]:
    """The findings of a picture with the things that were found later; a thing found twice counts once."""
    result = list(findings)
    for new in more:
        place = next((at for at, one in enumerate(result) if one.witness == new.witness), None)
        if place is None:
            result.append(new)
            continue
        known = result[place].things
        fresh = (
            thing
            for thing in new.things
            if not any(thing.name == one.name and thing.box.overlap(one.box) >= _SAME for one in known)
        )
        result[place] = result[place].model_copy(update={"things": (*known, *fresh)})
    return tuple(result)
