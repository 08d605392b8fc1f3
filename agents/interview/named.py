"""Find what the answers have named and no question has asked about yet.

    left = Named().unasked([Turn(question="Describe this picture in detail.", answer="A cat sits on a chair.")])
    left.things                         # {"cat": ("colour", "number", ...), "chair": (...)}
    left.words()                        # "the cat (colour, action), the chair (colour, material)"

English, by the rules of `agents.claims`. A thing counts as asked about when a later question names it, or refers to it
with a pronoun.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from agents.claims.extract import extract_claims
from agents.claims.known import Known, base_forms, read_turn
from agents.text.cleaning import certain_part
from core import nouns
from core.records import Turn

MOST: Final = 5  # things that are named to the questioner

_NO_THING: Final = frozenset(
    (
        "picture image photo photograph scene background foreground left right middle centre center top bottom side "
        "corner front back edge view thing object item kind type sort lot part colour color shape size way distance "
        "frame half area detail surrounding setting variety bit surface position number pair group row camera viewer "
        "writing text word black white grey gray red orange yellow green blue purple pink brown"
    ).split()
)
_COLOURS: Final = frozenset(
    "black white grey gray red orange yellow green blue purple pink brown beige tan golden gold silver".split()
)
_LIVING: Final = frozenset(
    "person man woman boy girl child baby player rider people kid lady guy animal bird cat dog kitten puppy horse cow "
    "sheep goat pig elephant bear lion tiger monkey rabbit fox deer duck goose swan chicken penguin owl eagle parrot "
    "fish butterfly giraffe zebra".split()
)
_PRONOUNS: Final = frozenset("it they he she them him her its their his".split())
_ASKED_BY: Final[Mapping[str, frozenset[str]]] = {  # aspect: words of a question about it
    "colour": frozenset("colour color".split()),
    "number": frozenset("many number count".split()),
    "place": frozenset("where left right middle background foreground behind under near above position".split()),
    "material": frozenset("made material".split()),
    "action": frozenset("doing wearing holding happening".split()),
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

    def words(self, without: Collection[str] = ()) -> str:
        """As a list for the questioner, `without` some aspects; at most `MOST` things."""
        parts: list[str] = []
        for thing, aspects in list(self.things.items())[:MOST]:
            wanted = [aspect for aspect in aspects if aspect not in without]
            parts.append(f"the {thing}" + (f" ({', '.join(wanted)})" if wanted else ""))
        return ", ".join([*parts, *self.scene])


class Named:
    """What the answers name, updated turn by turn, so long interviews stay fast."""

    def __init__(self) -> None:
        self._turns: tuple[Turn, ...] = ()
        self._forget()

    def _forget(self) -> None:
        self._things: dict[str, None] = {}  # in the singular, in order
        self._known: dict[str, set[str]] = {}  # of each thing: aspects
        self._asked: set[str] = set()
        self._before: list[str] = []  # things of the answer before, for pronouns
        self._scene = {"the surroundings": _SURROUNDINGS, "whether there is any writing": _TEXT}
        self._left: Unasked | None = None
        self._said = Known()

    def unasked(self, turns: Sequence[Turn]) -> Unasked:
        """What the certain answers name and no question after them asks about."""
        self._follow(turns)
        if self._left is None:
            things = {thing: _wanted(thing, self._known[thing]) for thing in self._things if thing not in self._asked}
            self._left = Unasked(things, tuple(self._scene))
        return self._left

    def said(self, turns: Sequence[Turn]) -> Known:
        """What the certain answers say; the words of the uncertain ones are `hedged`."""
        self._follow(turns)
        return self._said

    def names_things(self, turns: Sequence[Turn]) -> bool:
        """Whether the certain answers name a thing at all."""
        self._follow(turns)
        return bool(self._things)

    def _follow(self, turns: Sequence[Turn]) -> None:
        """Read the turns that are new."""
        turns, old = tuple(turns), self._turns
        if turns[: len(old)] != old:
            self._forget()
            old = ()
        for turn in turns[len(old) :]:
            self._add(turn)
        self._turns = turns

    def _add(self, turn: Turn) -> None:
        self._left = None
        read_turn(self._said, turn)
        if turn.certainty != "sure":
            self._said.hedged.update(form for one in _WORD.findall(turn.answer.lower()) for form in base_forms(one))
        question = turn.question.lower()
        words = {nouns.singular(word) for word in _WORD.findall(question)}
        about = sorted(words & self._things.keys())
        if not about and _PRONOUNS & words:
            about = self._before
        self._asked.update(about)
        for thing in about:
            self._known[thing] |= {aspect for aspect, signs in _ASKED_BY.items() if signs & words}
        answer = certain_part(turn.answer) if turn.certainty == "sure" else ""
        found = _told(answer)
        for thing, aspects in found.items():
            self._things.setdefault(thing)
            self._known.setdefault(thing, set()).update(aspects)
        self._before = [*found] or about
        answer = answer.lower()
        for part, signs in list(self._scene.items()):
            if signs.search(question) or signs.search(answer):
                del self._scene[part]


def _wanted(thing: str, known: set[str]) -> tuple[str, ...]:
    """What may be asked about it."""
    wanted = ("colour", "number", "place", "action" if thing in _LIVING else "material")
    return tuple(aspect for aspect in wanted if aspect not in known)


def _told(answer: str) -> dict[str, set[str]]:
    """The things that an answer names, in the singular, and the aspects that it tells of each."""
    found: dict[str, set[str]] = {}
    for claim in extract_claims(answer):
        thing = claim.about.split()[-1] if claim.about else ""
        if claim.kind == "thing" and thing and thing not in _NO_THING:
            alone = not nouns.is_plural(answer[claim.start : claim.end].lower().split()[-1])
            found.setdefault(thing, {"number"} if alone else set())
        elif thing in found:
            colour = claim.kind == "attribute" and not _COLOURS.isdisjoint(claim.value.split())
            found[thing].add("colour" if colour else _ASPECTS.get(claim.kind, ""))
    return found


_ASPECTS: Final[Mapping[str, str]] = {"number": "number", "place": "place", "relation": "place", "action": "action"}
