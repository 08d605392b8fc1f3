"""Find what the answers have named and no question has asked about yet.

    left = Named().unasked([Turn(question="Describe this picture in detail.", answer="A cat sits on a chair.")])
    left.things                         # {"cat": ("colour", "number", ...), "chair": (...)}
    left.words()                        # "the cat (colour, action), the chair (colour, material)"

English, by rules: a thing is the last word of a noun phrase with a determiner. It counts as asked about when a later
question names it, or refers to it with a pronoun.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from agents.text.cleaning import certain_part
from core import nouns
from core.records import Turn
from core.text import sentences

MOST: Final = 5  # things that are named to the questioner

_DETERMINER: Final = frozenset(
    "a an the some several many two three four five six seven eight nine ten another his her its their both one".split()
)
_END: Final = frozenset(
    (
        "in on at of with near behind under above over below to from by and or but that which who where while as for "
        "next beside between visible here there is are was were has have do does can could looks look seems appears "
        "sits stands sit stand lies lie hangs hang holds hold wears wear rides ride plays play eats eat walks walk "
        "runs run shows show covers cover carries carry uses use faces face reads says parked seated lying standing "
        "sitting wearing holding riding eating playing walking running looking made it they he she if than so very "
        "too not no into onto around along across against through inside outside also then when it's"
    ).split()
)
_NO_THING: Final = frozenset(
    (
        "picture image photo photograph scene background foreground left right middle centre center top bottom side "
        "corner front back edge view thing object item kind type sort lot part colour color shape size way distance "
        "frame half area detail surrounding setting variety bit surface position day night time number pair group row "
        "couple camera viewer end rest one other something writing text word first second third black white grey gray "
        "red orange yellow green blue purple pink brown"
    ).split()
)
_COLOURS: Final = frozenset(
    "black white grey gray red orange yellow green blue purple pink brown beige tan golden gold silver colour color "
    "coloured colored colourful colorful".split()
)
_PLACES: Final = frozenset(
    "left right middle centre center top bottom foreground background corner behind under beside near above next "
    "where".split()
)
_LIVING: Final = frozenset(
    "person man woman boy girl child baby player rider people kid lady guy animal bird cat dog kitten puppy horse cow "
    "sheep goat pig elephant bear lion tiger monkey rabbit fox deer duck goose swan chicken penguin owl eagle parrot "
    "fish butterfly giraffe zebra".split()
)
_MATERIALS: Final = frozenset("wood wooden metal plastic glass stone brick leather paper made material".split())
_PRONOUNS: Final = frozenset("it they he she them him her its their his".split())
_ASPECTS: Final[Mapping[str, frozenset[str]]] = {
    "colour": _COLOURS,
    "number": frozenset("many number count".split()),
    "place": _PLACES,
    "material": _MATERIALS,
    "action": frozenset("doing does do wearing holding sitting standing happening riding playing eating".split()),
}
_SURROUNDINGS: Final = re.compile(
    r"\b(?:backgrounds?|surround(?:s|ings?|ed)?|indoors?|outdoors?|inside|outside|setting|scenery|landscape|around it|"
    r"where was)\b"
)
_TEXT: Final = re.compile(
    r"\b(?:text|writing|written|words?|letters?|lettering|signs?|read|says|inscriptions?|captions?|logos?|numbers on)\b"
)
_WORD: Final = re.compile(r"[a-z]+(?:['-][a-z]+)*")


@dataclass(frozen=True, slots=True)
class Unasked:
    """What was named and not asked about: things with what is not known of them, and parts of the scene."""

    things: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scene: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.things or self.scene)

    def words(self) -> str:
        """As a list for the questioner; at most `MOST` things."""
        parts = [
            f"the {thing}" + (f" ({', '.join(aspects)})" if aspects else "")
            for thing, aspects in list(self.things.items())[:MOST]
        ]
        return ", ".join([*parts, *self.scene])


class Named:
    """What the answers name, updated turn by turn, so long interviews stay fast."""

    def __init__(self) -> None:
        self._turns: tuple[Turn, ...] = ()
        self._forget()

    def _forget(self) -> None:
        self._things: dict[str, str] = {}  # in the singular: as written
        self._known: dict[str, set[str]] = {}  # of each thing: aspects
        self._asked: set[str] = set()
        self._before: list[str] = []  # things of the answer before, for pronouns
        self._scene = {"the surroundings": _SURROUNDINGS, "whether there is any writing": _TEXT}
        self._left: Unasked | None = None

    def unasked(self, turns: Sequence[Turn]) -> Unasked:
        """What the certain answers name and no question after them asks about."""
        turns, old = tuple(turns), self._turns
        if turns[: len(old)] != old:
            self._forget()
            old = ()
        for turn in turns[len(old) :]:
            self._add(turn)
        self._turns = turns
        if self._left is None:
            things = {
                shown: _wanted(thing, shown, self._known[thing])
                for thing, shown in self._things.items()
                if thing not in self._asked
            }
            self._left = Unasked(things, tuple(self._scene))
        return self._left

    def _add(self, turn: Turn) -> None:
        self._left = None
        question = turn.question.lower()
        words = {nouns.singular(word) for word in _WORD.findall(question)}
        about = list(words & self._things.keys())
        if not about and _PRONOUNS & words:
            about = self._before
        self._asked.update(about)
        for thing in about:
            self._known[thing] |= {aspect for aspect, signs in _ASPECTS.items() if signs & words}
        answer = certain_part(turn.answer).lower() if turn.certainty == "sure" else ""
        self._before = about
        for sentence in sentences(answer):
            found = things_in(sentence)
            told = set(_WORD.findall(sentence))
            for thing, shown in found.items():
                self._things.setdefault(thing, shown)
                self._known.setdefault(thing, set()).update(
                    aspect for aspect, signs in _ASPECTS.items() if aspect != "number" and signs & told
                )
            self._before = [*found] or self._before
        for part, signs in list(self._scene.items()):
            if signs.search(question) or signs.search(answer):
                del self._scene[part]


def _wanted(thing: str, shown: str, known: set[str]) -> tuple[str, ...]:
    """What may be asked about it."""
    wanted = ["colour", "place", "action" if thing in _LIVING else "material"]
    if thing != shown:  # a plural
        wanted.insert(1, "number")
    return tuple(aspect for aspect in wanted if aspect not in known)


def things_in(sentence: str) -> dict[str, str]:
    """The things that a sentence in lower case names as present: in the singular, and as written."""
    found: dict[str, str] = {}
    words = _WORD.findall(sentence)
    if {"no", "not", "nothing", "none"} & set(words):
        return found
    place = 0
    while place < len(words):
        if words[place] not in _DETERMINER and place > 0:
            place += 1
            continue
        start = place + (words[place] in _DETERMINER)
        end = start
        while end < len(words) and end - start < 6 and words[end] not in _END and words[end] not in _DETERMINER:
            end += 1
        head = words[end - 1] if end > start else ""
        single = nouns.singular(head)
        if head and single not in _NO_THING and not head.endswith(("ing", "ly")) and len(head) > 2 and start:
            found.setdefault(single, head)
        place = max(end, place + 1)
    return found
