"""Texts on which a pattern takes long, if it can, and how its steps grow on them.

The texts are made from the pattern's own parts: for every part that may repeat, and for every beginning of the pattern,
something that it matches is said over and over, after what has to stand before it and before something that cannot end
the match. Two parts are interleaved as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any, Final

from tests.patterns.machine import Machine, TooManySteps, part

CHARACTERS: Final = 64  # of the shorter text; the longer one has twice as many
PER_CHARACTER: Final = 1000  # steps; a row of alternatives is tried at each character, and short runs again
GROWTH: Final = 1.5  # of the steps per character when the text doubles: 1 is linear, 2.4 grows with the square
SUSPICIOUS: Final = 1.25  # from here on a longer text decides
_REPEATS: Final = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_CANDIDATES: Final = "aA ,.:1_-\n\t'\"<>[](){}!?#*`=/\\@~|^+%é中。…’"
_TAILS: Final = ("", "\0", "!a\n\0")
_SAMPLES: Final = 3  # of one part
_AROUND: Final = 6  # of what is only looked ahead or back for
_PAIRS: Final = 40


@dataclass(frozen=True, slots=True)
class Attack:
    """A text: `pump` over and over, between two others."""

    before: str
    pump: str
    after: str

    def text(self, times: int) -> str:
        return self.before + self.pump * times + self.after


class Parts:
    """Short texts that parts of a pattern match; what stands around a part is not looked at."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        tree = _parser.parse(pattern, flags)
        self.flags = int(tree.state.flags)
        self.pumps: dict[str, dict[str, None]] = {}  # what is said over and over, and what may stand before it
        self.longest = 0  # of the counts of bounded repeats
        self._groups: dict[int, str] = {}
        self._samples(tree, "")

    def _samples(self, items: Sequence[Any], before: str) -> list[str]:
        """Texts for `items` one after the other: every alternative once, beside the first choice of all others."""
        so_far = [""]
        entry = literal = ""  # what stands before the first thing that repeats; the literal characters in a row
        for op, argument in items:
            if str(op) in _REPEATS and not entry:
                entry = before + so_far[0]
            if str(op) == "LITERAL":
                literal += chr(argument)
            else:
                self._literal(literal, entry)
                literal = ""
            one = self._one(str(op), op, argument, before + so_far[0])
            joined = dict.fromkeys([so_far[0] + new for new in one] + [old + one[0] for old in so_far])
            so_far = list(joined)[: max(_SAMPLES, len(one))]
            for text in so_far[:_SAMPLES]:
                self._note(text, "")
        self._literal(literal, entry)
        return so_far

    def _literal(self, text: str, before: str) -> None:
        """A word of the pattern, alone and as a word of a text, behind what may stand before any number of them."""
        if len(text.strip()) > 1 and before:
            self._note(text, before)
            self._note(f"{text} ", before)

    def _note(self, pump: str, before: str) -> None:
        if pump:
            self.pumps.setdefault(pump, {})[before] = None

    def _one(self, name: str, op: Any, argument: Any, before: str) -> list[str]:
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            return self._characters(name, op, argument)
        if name == "BRANCH":
            return list(dict.fromkeys(text for choice in argument[1] for text in self._samples(choice, before)[:2]))
        if name in _REPEATS:
            low, high, inner = argument
            bodies = self._samples(inner, before)
            if high == _constants.MAXREPEAT or high > 3:
                for body in bodies:
                    self._note(body, before)
                    self._note(body, "")
            if high != _constants.MAXREPEAT:
                self.longest = max(self.longest, int(high))
            return list(dict.fromkeys([*(body * max(int(low), 1) for body in bodies), bodies[0] * int(low)]))
        if name == "SUBPATTERN":
            texts = self._samples(argument[3], before)
            if argument[0] is not None:
                self._groups[argument[0]] = texts[0]
            return texts
        if name == "ATOMIC_GROUP":
            return self._samples(argument, before)
        if name in ("ASSERT", "ASSERT_NOT"):
            texts = self._samples(argument[1], before)
            for text in texts[:: max(1, len(texts) // _AROUND)]:
                self._note(text, before)
            return [""]
        if name == "GROUPREF":
            return [self._groups.get(argument, "")]
        if name == "GROUPREF_EXISTS":
            return [text for choice in argument[1:] if choice for text in self._samples(choice, before)]
        return [""]

    def _characters(self, name: str, op: Any, argument: Any) -> list[str]:
        """One character of each sort that fits: letters and digits, blanks, signs."""
        if name == "LITERAL":
            return [chr(argument)]
        named = [chr(value[0] if str(kind) == "RANGE" else value) for kind, value in _members(name, argument)]
        test = part(op, argument, self.flags)
        sorts: dict[tuple[bool, bool], str] = {}
        for one in (*_CANDIDATES, *named):
            if test.match(one):
                sorts.setdefault((one.isalnum(), one.isspace()), one)
        return list(sorts.values()) or ["\uffff"]


def _members(name: str, argument: Any) -> list[tuple[Any, Any]]:
    return [member for member in argument if str(member[0]) in ("LITERAL", "RANGE")] if name == "IN" else []


def attacks(parts: Parts) -> Iterator[Attack]:
    for pump, befores in parts.pumps.items():
        for before in befores:
            yield Attack(before, pump, "")
            yield Attack(before, pump, _TAILS[1] if len(pump) > 1 else _TAILS[2])
    pairs = list(itertools.permutations(sorted(parts.pumps, key=len), 2))
    for one, other in pairs[:: max(1, len(pairs) // _PAIRS)]:
        yield Attack("", one + other, "")


def slow(pattern: str, flags: int = 0, *, once: bool = False) -> str:
    """On which text the steps grow faster than its length, or are too many, and how; "" where they never do.

    `once`: the pattern is only matched at one place; else it is searched for through the whole text.
    """
    parts = Parts(pattern, flags)
    machine = Machine(pattern, flags)
    for attack in attacks(parts):
        times = max(8, max(CHARACTERS, 3 * parts.longest) // len(attack.pump))
        growth, rate = _grown(machine, attack, times, once)
        if SUSPICIOUS < growth < float("inf"):
            growth, rate = _grown(machine, attack, 8 * times, once)
        if growth > GROWTH or rate > PER_CHARACTER:
            return f"{attack.text(3)!r}: steps per character grow {growth:.1f} times to {rate:.0f} when it doubles"
    return ""


def _grown(machine: Machine, attack: Attack, times: int, once: bool) -> tuple[float, float]:
    """How steps per character grow with twice the length, and to what."""

    def steps(count: int) -> int:
        text = attack.text(count)
        limit = 2 * PER_CHARACTER * len(text)
        return (machine.match(text, limit) if once else machine.search_all(text, limit)).steps

    some = times // 4
    try:
        few, half, all_ = steps(some), steps(times), steps(2 * times)
    except TooManySteps:
        return float("inf"), float("inf")
    rate = (all_ - half) / times / len(attack.pump)
    return rate / max(1.0, (half - few) / (times - some) / len(attack.pump)), rate
