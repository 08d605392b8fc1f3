"""Find answers that cannot both be true, by rules: a thing that is there and is not, two numbers, colours or places.

    for one in contradictions(caption.dialogue.turns):
        one.first, one.second           # numbers of the turns, from 1
        one.words                       # "answer 2 says there is a dog, answer 5 that there is none"

English only, careful rather than complete (`agents.text.claims`): what is said of a part does not contradict what is
said of the whole picture, nor one frame of a video another. A vision model that contradicts itself has guessed at least
once; only a person who sees the picture knows which answer is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeVar

from agents.text.claims import PLACES, Claim, Claims, claims
from core.records import Turn

_T = TypeVar("_T")
MOST: Final = 12  # earlier answers that one is found to contradict, and that are kept for one topic and one value


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two turns, numbered from 1, that contradict each other, with the reason."""

    first: int
    second: int
    words: str


def contradictions(turns: Sequence[Turn]) -> tuple[Contradiction, ...]:
    """Pairs of turns that contradict each other, in the order of the later one; one per pair.

    The work grows with the number of turns, not of pairs: of many earlier turns that claim the same, the first `MOST`
    are compared, and a turn contradicts at most `MOST` earlier ones. A dialogue that was read before is not read again.
    """
    return _contradictions(tuple((turn.question, turn.answer) if _claims(turn) else None for turn in turns))


def _claims(turn: Turn) -> bool:
    """Whether an answer says something of the picture; a sign in it that says "no dogs" does not."""
    quotes = bool(turn.answered_by) and turn.answer.startswith('It says "')
    return turn.certainty == "sure" and not quotes


@lru_cache(maxsize=256)
def _contradictions(turns: tuple[tuple[str, str] | None, ...]) -> tuple[Contradiction, ...]:
    earlier = _Earlier()
    found: list[Contradiction] = []
    for number, turn in enumerate(turns, start=1):
        if turn is not None:
            read = claims(*turn)
            found += earlier.against(number, read)
            earlier.add(number, read)
    return tuple(found)


@dataclass(slots=True)
class _Earlier:
    """The claims of the turns so far, by topic; each with the number of its turn and its place in it."""

    topics: dict[tuple[str, str, str], dict[Claim, list[tuple[int, int]]]] = field(default_factory=dict)
    denied: dict[tuple[str, str], list[tuple[int, Claim]]] = field(default_factory=dict)
    spoken: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def add(self, number: int, read: Claims) -> None:
        for place, claim in enumerate(read.found):
            same = self.topics.setdefault((read.moment, claim.kind, claim.about), {})
            if claim in same or len(same) < MOST:
                _keep(same.setdefault(claim, []), (number, place))
            if claim.denied:
                _keep(self.denied.setdefault((read.moment, claim.denied), []), (number, claim))
        for word in read.spoken:
            _keep(self.spoken.setdefault((read.moment, word), []), number)

    def against(self, number: int, read: Claims) -> Iterator[Contradiction]:
        """Earlier turns that `read` contradicts, in their order, each with the first reason there is."""
        reasons: dict[int, tuple[int, int, str]] = {}  # earlier turn: place of its claim, of ours, words
        for place, claim in enumerate(read.found):
            for other, where in self.topics.get((read.moment, claim.kind, claim.about), {}).items():
                if _excludes(other, claim):
                    for turn, its_place in where:
                        reason = (its_place, place, _words(other, turn, claim, number))
                        reasons[turn] = min(reasons.get(turn, reason), reason)
        for turn, words in self._mentions(number, read):
            reasons.setdefault(turn, (0, 0, words))
        return (Contradiction(turn, number, reasons[turn][2]) for turn in sorted(reasons)[:MOST])

    def _mentions(self, number: int, read: Claims) -> Iterator[tuple[int, str]]:
        """A thing that one answer denies and the other mentions as present."""
        for word in sorted(read.spoken):
            for turn, claim in self.denied.get((read.moment, word), ()):
                yield turn, f"answer {number} speaks of {_a(claim.shown)}, answer {turn} says there is none"
        for claim in read.found:
            for turn in self.spoken.get((read.moment, claim.denied), ()):
                yield turn, f"answer {turn} speaks of {_a(claim.shown)}, answer {number} says there is none"


def _keep(kept: list[_T], new: _T) -> None:
    if len(kept) < MOST:
        kept.append(new)


def _excludes(one: Claim, other: Claim) -> bool:
    """Whether two claims about one topic cannot both hold."""
    if one.value & other.value:
        return False
    match one.kind:
        case "there":  # what is nowhere in a part is not in a part of that part
            no, yes = (one, other) if "no" in one.value else (other, one)
            return no.scope <= yes.scope
        case "number":  # a part can hold fewer, and not more
            if one.scope == other.scope:
                return True
            part, whole = (one, other) if other.scope < one.scope else (other, one)
            return whole.scope < part.scope and int(*part.value) > int(*whole.value)
        case "colour":
            return one.scope == other.scope and one.mainly == other.mainly
        case "place":
            return one.scope == other.scope and any({*one.value, *other.value} >= set(pair) for pair in PLACES)
        case _:
            return True


def _words(one: Claim, first: int, other: Claim, second: int) -> str:
    says = {value: number for claim, number in ((one, first), (other, second)) for value in claim.value}
    match one.kind:
        case "there":
            yes, no = (first, second) if "yes" in one.value else (second, first)
            return f"answer {yes} says there is {_a(one.shown)}, answer {no} that there is none"
        case "reply":
            return f"answer {says['yes']} says yes and answer {says['no']} no to the same question"
        case "number":
            return f"answer {first} counts {_list(one)}, answer {second} {_list(other)}: {one.shown}"
        case "scene":
            return f"answer {first} says {one.shown}, answer {second} {other.shown}"
        case _:
            return f"answer {first} says {one.shown}: {_list(one)}, answer {second} {_list(other)}"


def _list(claim: Claim) -> str:
    return " and ".join(sorted(claim.value))


def _a(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}" if not noun.endswith("s") else noun
