"""Read what witnesses answered: things with counts and places, and lines of text in quotation marks.

The sentences are those of `agents.witnesses.words`: 'Two dogs: one on the left, one in the middle. A car on the right.'
and 'It says "EXIT", "Gate 9" and 3 more lines. Perhaps it also says "m0re".'
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

from core import nouns
from core.tasks import TaskTurn
from plugins.scripted import lexicon
from plugins.scripted.knowledge import Knowledge, NamedThing, Phrase, same_kind, same_name
from plugins.scripted.topics import topic_of

Kind = Literal["things", "text"]

_PLACE: Final = "on the left|in the middle|on the right"
_THINGS = re.compile(
    r"\b(?P<number>an?|(?:about )?(?:two|three|four|five|six|seven|eight|nine|ten|\d{1,6})|some) "
    r"(?P<name>[^.:\"]{1,60}?)"
    rf"(?: (?P<place>{_PLACE})|: (?P<spread>(?:[\w ]{{1,20}}? (?:{_PLACE})(?:, )?){{1,3}}))?\.(?: |$)",
    re.IGNORECASE,
)
_GROUP = re.compile(rf"\b((?:about )?\w{{1,20}}) ({_PLACE})")
_TEXT = re.compile(r'\A(?:it|perhaps it) says "', re.IGNORECASE)
_PERHAPS: Final = '. Perhaps it also says "'
_LINE = re.compile(r'"([^"]*)"')
_MORE = re.compile(r'" and (\d+) more lines?\.?$')


def kind_of(turn: TaskTurn) -> Kind | None:
    """What witnesses say in this turn; None if the vision model answered."""
    if not turn.answered_by and topic_of(turn.question).kind != "things":
        return None
    return "text" if _TEXT.match(turn.answer) else "things"


def kinds_of(turns: Sequence[TaskTurn]) -> set[Kind]:
    """What witnesses have answered; things only if some were found."""
    return {kind for turn in turns if (kind := kind_of(turn)) == "text" or (kind and turn.sure)}


def read_evidence(knowledge: Knowledge, answer: str, turn: int) -> None:
    """Add what witnesses are certain of."""
    if _TEXT.match(answer):
        if answer.lower().startswith("it says"):
            certain = answer.partition(_PERHAPS)[0]
            more = _MORE.search(certain)
            knowledge.lines = [line for text in _LINE.findall(certain) if (line := _tidied(text))]
            knowledge.more_lines = int(more[1]) if more else 0
        return
    for found in _THINGS.finditer(answer):
        number = found["number"].lower()
        single = number in ("a", "an")
        name = found["name"].lower()
        head = name.split()[-1]
        phrase = Phrase(name, head, "" if single else number, bare=False, article="a" if single else "")
        _add(knowledge, phrase, found["place"] or "", _GROUP.findall(found["spread"] or ""), turn)


def _add(knowledge: Knowledge, phrase: Phrase, place: str, spread: list[tuple[str, str]], turn: int) -> None:
    """Add a thing, or its count and place to what the vision model has said of it."""
    known = [thing for thing in knowledge.things if not thing.denied and _covers(thing, phrase)]
    if not known:
        thing = NamedThing(phrase.name, phrase.head, turn, number=phrase.number, article=phrase.article, seen=True)
        knowledge.things.append(thing)
    else:
        count = _count(phrase.number)
        shown = sum(max(_count(thing.number), 2 if thing.plural else 1) for thing in known)
        thing = known[0]
        if len(known) > 1 or not (same_name(thing, phrase) or shown == count or (thing.plural and not thing.number)):
            if count > shown:
                knowledge.in_all.append(f"{phrase.number} {phrase.name}")
            return
        _refine(thing, phrase)
    if thing.within is not None or thing.actions or thing.parts:
        return
    if place or spread:
        thing.places = [known for known in thing.places if not known.endswith(("left", "right", "middle"))]
    if place and not thing.places:
        thing.places = [place]
    thing.spread = spread


def _tidied(line: str) -> str:
    """The line without a quotation mark whose partner was not read."""
    line = line.strip()
    return line.strip("' ") if line.count("'") == 1 else line


def _refine(thing: NamedThing, phrase: Phrase) -> None:
    """Give a thing of the vision model the witnesses' number, and their name if it is more exact."""
    group = " of " in thing.name  # "a flock of sheep"
    if phrase.number and not group and (not thing.number or thing.number in lexicon.VAGUE):
        thing.number = phrase.number
        if not nouns.is_plural(thing.head):
            thing.name = thing.name.removesuffix(thing.head) + nouns.plural(thing.head)
            thing.head = nouns.plural(thing.head)
    if nouns.singular(phrase.head) in lexicon.KINDS.get(nouns.singular(thing.head), ()):
        thing.name, thing.head = phrase.name, phrase.head
    thing.doubtful, thing.seen = False, True


def _covers(thing: NamedThing, phrase: Phrase) -> bool:
    return same_name(thing, phrase) or same_kind(thing.head, phrase.head) or thing.name.endswith(f" of {phrase.name}")


def _count(number: str) -> int:
    number = number.removeprefix("about ")
    if number.isdigit():
        return int(number)
    return lexicon.COUNTS.index(number) if number in lexicon.COUNTS else 1
