"""The questions that check a claim: each stands alone, with its possible answers, and never quotes the caption.

    for check in checks_of(claim, claims):
        check.question, check.choices       # "What colour is the car?", ("red", "the car is red", "blue", ...)

A claim is asked in two wordings; left and right, above and below once as their opposite, so that a model that says yes
to everything gains nothing. Things, relations and actions are asked by yes or no; colours, numbers and places by all
possible answers, short and as a sentence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from agents.claims.phrases import is_noun_only
from core.nouns import is_mass, is_plural, plural, singular, with_article
from core.records import Claim

YES, NO = "yes", "no"
COLOURS: Final = ("black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
_SAME_COLOUR: Final = {
    "gray": "grey", "gold": "yellow", "golden": "yellow", "violet": "purple", "silver": "grey", "beige": "brown",
    "tan": "brown", "turquoise": "blue", "cream": "white", "blond": "yellow", "blonde": "yellow", "maroon": "red",
    "teal": "green", "navy": "blue",
}  # fmt: skip
NUMBERS: Final = "zero one two three four five six seven eight nine ten eleven twelve".split()
MOST: Final = 6  # numbers up to this one are always among the choices
_OPPOSITE: Final = {
    "left": "right", "right": "left", "top": "bottom", "bottom": "top", "above": "below", "below": "above",
    "over": "under", "under": "over", "behind": "in front of", "in front of": "behind", "inside": "outside",
    "outside": "inside",
}  # fmt: skip
_COLUMNS: Final = {"left": "left", "right": "right", "middle": "middle", "center": "middle", "centre": "middle"}
_ROWS: Final = {"top": "top", "upper": "top", "bottom": "bottom", "lower": "bottom"}
# Where something may be, in words, with its column and its row.
_GRID: Final = (
    ("on the left", "left", "centre"),
    ("on the right", "right", "centre"),
    ("in the middle", "middle", "centre"),
    ("at the top left", "left", "top"),
    ("at the top right", "right", "top"),
    ("at the top in the middle", "middle", "top"),
    ("at the bottom left", "left", "bottom"),
    ("at the bottom right", "right", "bottom"),
    ("at the bottom in the middle", "middle", "bottom"),
)
_WORD: Final = re.compile(r"\w++(?:['-]\w++)*+")
_SIDES: Final = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}
_WHOLE: Final = frozenset("picture image photo photograph scene".split())
_SIZES: Final = {
    "small": "small",
    "little": "small",
    "tiny": "small",
    "large": "large",
    "big": "large",
    "huge": "large",
}
_SCENES: Final = (("indoors", "outdoors"), ("day", "night"))


@dataclass(frozen=True, slots=True)
class Check:
    """One question with the answers that a vision model is to score; `labels` says what each answer means."""

    question: str
    choices: tuple[str, ...]
    labels: tuple[str, ...]
    holds: str  # the label that makes the claim true
    weight: float = 1.0
    beside: frozenset[str] = frozenset()  # labels that may hold as well: of two ducks one is left and one is right

    def log_odds(self, scores: Sequence[float]) -> float:
        """Log odds of the claim against its best alternative; 0 if the model cannot tell. `scores`: of `choices`."""
        odds = {
            label: _either([score for score, one in zip(scores, self.labels, strict=True) if one == label])
            for label in self.labels
        }
        mine = odds.pop(self.holds)
        best = max((value for label, value in odds.items() if label not in self.beside), default=-math.inf)
        if mine == best:
            return 0.0
        return max(-_SURE, min(_SURE, mine - best))


_SURE: Final = 9.0  # log odds of .9999: no single answer is surer


def _either(scores: Sequence[float]) -> float:
    top = max(scores)
    return top if top == -math.inf else top + math.log(sum(math.exp(score - top) for score in scores))


def checks_of(claim: Claim, claims: Sequence[Claim]) -> tuple[Check, ...]:
    """The questions about one of `claims`; none for a claim about text, which only a reader can check."""
    name = _Name.of(claim, claims)
    beside = [one.value for one in claims if one is not claim and (one.kind, one.about) == (claim.kind, claim.about)]
    match claim.kind:
        case "thing":
            return _thing(name)
        case "attribute":
            return _attribute(name, claim.value, beside, _first_colour(claim, claims))
        case "number":
            return _number(name, claim.value)
        case "place":
            return _place(name, claim.value, beside)
        case "text":
            return (_yes(f'Does it say "{claim.value or claim.text}"?'),)
        case _:
            said = f"{name.the} {name.be} "
            bare = claim.text.removeprefix(said) if claim.text.startswith(said) else claim.value or claim.text
            return _predicate(name, bare)


@dataclass(frozen=True, slots=True)
class _Name:
    """What a claim is about, as the caption names it: "car", "cherries"."""

    noun: str
    several: bool = False

    @classmethod
    def of(cls, claim: Claim, claims: Sequence[Claim]) -> _Name:
        """The noun in the plural if the caption has it so and counts no more than one group of them."""
        above = claim
        for _ in claims:  # never endless, whatever the parents are
            if above.parent is None or above.parent >= len(claims) or above.kind == "thing":
                break
            above = claims[above.parent]
        said = (above if above.kind == "thing" and above.about == claim.about else claim).text.lower()
        many = plural(claim.about) if claim.about else ""
        if many and re.search(rf"\b{re.escape(many)}\b", said):
            return cls(many, is_plural(many))
        return cls(claim.about, is_plural(claim.about))

    @property
    def one(self) -> str:
        """With an article, as an answer to "what is there?": "a car", "cherries", "grass"."""
        return self.noun if self.several or is_mass(self.noun.split()[-1]) else with_article(self.noun)

    def kind(self, modifier: str) -> str:
        """With a noun before it: "a cement truck"."""
        said = f"{modifier} {self.noun}"
        return said if self.several or is_mass(self.noun.split()[-1]) else with_article(said)

    @property
    def the(self) -> str:
        return f"the {self.noun}"

    @property
    def be(self) -> str:
        return "are" if self.several else "is"


def _yes(question: str, *, holds: str = YES, weight: float = 1.0) -> Check:
    return Check(question, (YES, NO), (YES, NO), holds, weight)


def _thing(name: _Name) -> tuple[Check, ...]:
    return (
        _yes(f"{name.be.capitalize()} there {name.one} in the picture?"),
        _yes(f"Do you see {name.one}?"),
    )


def _first_colour(claim: Claim, claims: Sequence[Claim]) -> str:
    """The colour that the caption gives the same thing before this one: "black" for the white of "black and white"."""
    for one in takewhile(lambda one: one is not claim, claims):
        if (one.kind, one.about, one.parent) == (claim.kind, claim.about, claim.parent) and (
            found := _colours(one.value)
        ):
            return found[0]
    return ""


def _attribute(name: _Name, value: str, beside: Sequence[str], first: str) -> tuple[Check, ...]:
    whole = not name.noun or name.noun in _WHOLE
    colours = _colours(value)
    if len(colours) == 1:
        also = frozenset(one for other in beside for one in _colours(other))
        if first and first != colours[0]:
            return (_second_colour(name, colours[0], first, also, whole),)
        return _colour(name, value, colours[0], also, whole)
    if whole:
        return _scene(value)
    if value in _SIZES:
        words = (*_SIZES, *(f"{name.the} {name.be} {size}" for size in _SIZES))
        sizes = tuple(_SIZES.values())
        return (Check(f"How big {name.be} {name.the}?", words, (*sizes, *sizes), _SIZES[value]),)
    if is_noun_only(value):  # "a cement truck"
        kind = name.kind(value)
        return (_yes(f"{name.be.capitalize()} there {kind} in the picture?"), _yes(f"Do you see {kind}?"))
    return (
        _yes(f"{name.be.capitalize()} {name.the} {value}?"),
        _yes(f"Would you say that {name.the} {name.be} {value}?"),
    )


def _colours(value: str) -> list[str]:
    words = _WORD.findall(value.lower())
    return [colour for word in words if (colour := _SAME_COLOUR.get(word, word)) in COLOURS]


def _asked_colour(name: _Name, whole: bool) -> tuple[str, str]:
    """The question about colours, and how its answers begin."""
    if whole:
        return "What are the main colours?", "the main colours are"
    return f"What colour {name.be} {name.the}?", f"{name.the} {name.be}"


def _second_colour(name: _Name, colour: str, first: str, beside: frozenset[str], whole: bool) -> Check:
    """Whether a thing of that first colour has this one as well, among all second colours and none.

    Asked for the colour alone, a model gives the first one, and denies that the thing "is" the second.
    """
    question, begins = _asked_colour(name, whole)
    others = [one for one in COLOURS if one != first]
    pairs = [f"{first} and {{}}", f"{{}} and {first}"]
    forms = [*pairs, *(f"{begins} {pair}" for pair in pairs)] + (
        [] if whole else [f"{begins} mostly {first}, with some {{}}"]
    )
    choices = (*(form.format(one) for form in forms for one in others), first, f"{begins} {first}")
    return Check(question, choices, (*others * len(forms), first, first), colour, 2.0, beside - {colour, first})


def _colour(name: _Name, value: str, colour: str, beside: frozenset[str], whole: bool) -> tuple[Check, ...]:
    question, begins = _asked_colour(name, whole)
    sentences = tuple(f"{begins} {one}" for one in COLOURS)
    chosen = Check(question, (*COLOURS, *sentences), (*COLOURS, *COLOURS), colour, 2.0, beside - {colour})
    return (chosen,) if whole else (chosen, _yes(f"{name.be.capitalize()} {name.the} {value}?", weight=0.5))


def _scene(value: str) -> tuple[Check, ...]:
    """The picture as a whole: "outdoors", "sunny"."""
    for pair in _SCENES:
        if value in pair:
            other = pair[1 - pair.index(value)]
            how = ("It is ", "") if pair[0] == "indoors" else ("It is ", "Is it ")
            question = f"Is it {pair[0]} or {pair[1]}?"
            choices = (*pair, *(f"{how[0].lower()}{one}" for one in pair))
            return (Check(question, choices, (*pair, *pair), value), _yes(f"Is it {other}?", holds=NO))
    return (_yes(f"Is it {value}?"), _yes(f"Would you say that it is {value}?"))


def number_of(value: str) -> int | None:
    """The number that a word or digits mean."""
    word = value.strip().lower()
    if word.isdecimal():
        return int(word)
    return NUMBERS.index(word) if word in NUMBERS else None


def _number(name: _Name, value: str) -> tuple[Check, ...]:
    count = number_of(value)
    many = name.noun if name.several else plural(name.noun)
    if count is None:
        return (_yes(f"Are there {value} {many} in the picture?"),)
    before, space, last = name.noun.rpartition(" ")
    one = f"{before}{space}{singular(last)}"
    counts = sorted({*range(MOST + 1), count})
    words = [NUMBERS[number] if number < len(NUMBERS) else str(number) for number in counts]
    sentences = [
        f"there {'is' if number == 1 else 'are'} {'no' if number == 0 else word} {one if number == 1 else many}"
        for number, word in zip(counts, words, strict=True)
    ]
    labels = tuple(map(str, counts))
    return (
        Check(f"How many {many} are there?", (*words, *sentences), (*labels, *labels), str(count), 2.0),
        Check(f"How many {many} are in the picture?", (*words, *sentences), (*labels, *labels), str(count), 2.0),
    )


def _spot(value: str) -> tuple[str, str]:
    """Column and row of a place in words, each "" if it is not said."""
    words = _WORD.findall(value.lower())
    column = next((_COLUMNS[word] for word in words if word in _COLUMNS), "")
    return column, next((_ROWS[word] for word in words if word in _ROWS), "")


def _place(name: _Name, value: str, beside: Sequence[str]) -> tuple[Check, ...]:
    column, row = _spot(value)
    if not column and not row:
        return _predicate(name, value)
    sentences = tuple(f"{name.the} {name.be} {spot}" for spot, _, _ in _GRID)
    labels = tuple(_label(across, down, column, row) for _, across, down in _GRID)
    shorts = () if column and row else ("left", "right", "middle") if column else ("top", "bottom")
    holds = _label(column, row, column, row)
    also = frozenset(_label(*_spot(other), column, row) for other in beside) - {holds}
    mirrored = tuple(
        _yes(f"{name.be.capitalize()} {name.the} {_SIDES[_OPPOSITE[side]]}?", holds=NO, weight=0.5)
        for side in (column, row)
        if side in _SIDES and not also
    )
    where = Check(f"Where {name.be} {name.the}?", (*sentences, *shorts), (*labels, *shorts), holds, 2.0, also)
    return (where, *mirrored)


def _label(across: str, down: str, column: str, row: str) -> str:
    """What a place means for a claim about a column, a row, or both."""
    return f"{across} {down}" if column and row else across if column else down


def _predicate(name: _Name, value: str) -> tuple[Check, ...]:
    """A relation or an action, and its opposite where it has one."""
    if not name.noun:
        return (_yes(f"Is it true that {value}?"),)
    plain = _yes(f"{name.be.capitalize()} {name.the} {value}?")
    for word, other in _OPPOSITE.items():
        turned, times = re.subn(rf"\b{re.escape(word)}\b", other, value, count=1)
        if times:
            return (plain, _yes(f"{name.be.capitalize()} {name.the} {turned}?", holds=NO))
    return (plain, _yes(f"Would you say that {name.the} {name.be} {value}?"))
