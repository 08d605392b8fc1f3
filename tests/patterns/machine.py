"""Count the steps that Python's `re` takes for a search, so that tests need no clock.

    Machine(r"\\s+$").search_all(" " * 100 + "x").steps      # grows with the square of the blanks

A backtracking matcher over the syntax trees of `re` itself, in the same order of alternatives, with the same results
(`test_machine.py` compares both). One step: one character tested, one alternative begun, one position gone back to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
from typing import Any, Final

_ONE: Final = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})
_REPEATS: Final = {"MAX_REPEAT": "greedy", "MIN_REPEAT": "lazy", "POSSESSIVE_REPEAT": "possessive"}


class One(dict[str, bool]):
    """Which characters a literal or a class matches, asked of `re` itself once for each."""

    def __init__(self, test: re.Pattern[str]) -> None:
        super().__init__()
        self._test = test

    def __missing__(self, character: str) -> bool:
        self[character] = answer = self._test.match(character) is not None
        return answer


class TooManySteps(Exception):  # noqa: N818 - a limit that was reached is no error of the search
    """The search was given up at its limit."""


@dataclass(slots=True)
class Counted:
    """What a search found, and what it took."""

    steps: int = 0
    spans: list[tuple[tuple[int, int], ...]] = field(default_factory=list)  # of each match, all its groups


def part(op: Any, argument: Any, flags: int) -> re.Pattern[str]:
    """The pattern that is this one node of a syntax tree."""
    state = _parser.State()
    state.flags = flags
    return _compiler.compile(_parser.SubPattern(state, [(op, argument)]), flags)  # type: ignore[no-any-return]


class Machine:
    """A pattern that can be searched for while steps are counted."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self.tree = _parser.parse(pattern, flags)
        self.groups = self.tree.state.groups
        self._registers = 2 * self.groups
        self.program: list[tuple[Any, ...]] = []
        self._emit_all(self.tree, self.program, (0, 0))
        self.program.append(("done",))
        self._first: set[int] | None = set()  # places of the tests of which one fits wherever a match begins
        self._begin(0, set())
        self._begins: dict[str, bool] = {}

    # ---- the program ------------------------------------------------------------------------------------------------

    def _emit_all(self, items: Sequence[Any], code: list[tuple[Any, ...]], flags: tuple[int, int]) -> None:
        for op, argument in items:
            self._emit(str(op), op, argument, code, flags)

    def _emit(self, name: str, op: Any, argument: Any, code: list[tuple[Any, ...]], flags: tuple[int, int]) -> None:
        if name in _ONE:
            code.append(("one", One(self._leaf(op, argument, flags))))
        elif name == "AT":
            code.append(("at", self._leaf(op, argument, flags)))
        elif name == "BRANCH":
            self._branch(argument[1], code, flags)
        elif name in _REPEATS:
            self._repeat(_REPEATS[name], *argument, code, flags)
        elif name == "SUBPATTERN":
            group, add, remove, inner = argument
            added = ((flags[0] | add) & ~remove, (flags[1] | remove) & ~add)
            if group is not None:
                code.append(("save", 2 * group))
            self._emit_all(inner, code, added)
            if group is not None:
                code.append(("save", 2 * group + 1))
        elif name in ("ASSERT", "ASSERT_NOT"):
            direction, inner = argument
            width = inner.getwidth()[0] if direction < 0 else 0
            code.append(("around", self._alone(inner, flags), name == "ASSERT", width))
        elif name == "ATOMIC_GROUP":
            code.append(("atomic", self._alone(argument, flags)))
        elif name == "GROUPREF":
            code.append(("again", argument, self._flags(flags) & re.IGNORECASE))
        elif name == "GROUPREF_EXISTS":
            group, yes, no = argument
            at = len(code)
            code.append(())
            self._emit_all(yes, code, flags)
            end = len(code)
            code.append(())
            self._emit_all(no or (), code, flags)
            code[at], code[end] = ("if", group, end + 1), ("jump", len(code))
        else:
            raise NotImplementedError(name)

    def _flags(self, flags: tuple[int, int]) -> int:
        return (int(self.tree.state.flags) | flags[0]) & ~flags[1]

    def _leaf(self, op: Any, argument: Any, flags: tuple[int, int]) -> re.Pattern[str]:
        """A part of the pattern that tests one character or place, as a pattern."""
        return part(op, argument, self._flags(flags))

    def _alone(self, items: Sequence[Any], flags: tuple[int, int]) -> list[tuple[Any, ...]]:
        code: list[tuple[Any, ...]] = []
        self._emit_all(items, code, flags)
        return [*code, ("done",)]

    def _branch(self, choices: Sequence[Any], code: list[tuple[Any, ...]], flags: tuple[int, int]) -> None:
        ends = []
        for number, choice in enumerate(choices):
            at = len(code)
            code.append(())
            self._emit_all(choice, code, flags)
            if number < len(choices) - 1:
                ends.append(len(code))
                code.append(())
                code[at] = ("split", at + 1, len(code))
            else:
                code[at] = ("jump", at + 1)
        for end in ends:
            code[end] = ("jump", len(code))

    def _repeat(
        self, how: str, low: int, high: int, inner: Any, code: list[tuple[Any, ...]], flags: tuple[int, int]
    ) -> None:
        endless = high == _constants.MAXREPEAT
        if len(inner) == 1 and str(inner[0][0]) in _ONE:
            code.append(("run", One(self._leaf(*inner[0], flags)), low, None if endless else high, how))
            return
        if how == "possessive":
            alone: list[tuple[Any, ...]] = []
            self._repeat("greedy", low, high, inner, alone, flags)
            code.append(("atomic", [*alone, ("done",)]))
            return
        for _ in range(low):
            self._emit_all(inner, code, flags)
        exits = []
        register = self._registers
        self._registers += 1
        start = len(code)
        for _ in range(1 if endless else high - low):
            exits.append(len(code))
            code.extend([(), ("mark", register)])
            self._emit_all(inner, code, flags)
            code.append(("moved", register, start if endless else len(code) + 1))
        for at in exits:
            code[at] = ("split", at + 1, len(code)) if how == "greedy" else ("split", len(code), at + 1)

    def _begin(self, here: int, known: set[int]) -> None:
        """Collect the tests of first characters from a place of the program on."""
        while self._first is not None and here not in known:
            known.add(here)
            step = self.program[here]
            if step[0] == "one" or (step[0] == "run" and step[2] > 0):
                self._first.add(here)
                return
            if step[0] not in ("split", "jump", "save", "mark", "at", "around", "moved"):
                self._first = None
            elif step[0] == "split":
                self._begin(step[2], known)
            here = step[1] if step[0] in ("split", "jump") else here + 1

    # ---- the search -------------------------------------------------------------------------------------------------

    def match(self, text: str, limit: int | None = None) -> Counted:
        """What begins at the start, as `match` finds it. Raises TooManySteps beyond `limit`."""
        counted = Counted()
        if found := self._match(text, 0, counted, limit, True):
            counted.spans.append(found)
        return counted

    def search_all(self, text: str, limit: int | None = None) -> Counted:
        """Every match, as `finditer` finds them. Raises TooManySteps beyond `limit`."""
        counted = Counted()
        start, moved = 0, True
        while start <= len(text):
            if self._first is not None and not self._may_begin(text[start : start + 1]):
                counted.steps += len(self._first)
                start, moved = start + 1, True
                continue
            found = self._match(text, start, counted, limit, moved)
            if found is None:
                start, moved = start + 1, True
                continue
            counted.spans.append(found)
            end = found[0][1]
            start, moved = end, end != found[0][0]  # after an empty match the next one may not be empty here
        return counted

    def _may_begin(self, character: str) -> bool:
        if (answer := self._begins.get(character)) is None:
            answer = any(character and self.program[place][1][character] for place in self._first or ())
            self._begins[character] = answer
        return answer

    def _match(
        self, text: str, start: int, counted: Counted, limit: int | None, may_be_empty: bool
    ) -> tuple[tuple[int, int], ...] | None:
        registers = [-1] * self._registers
        end = self._run(self.program, text, start, registers, counted, limit, None if may_be_empty else start)
        if end is None:
            return None
        registers[0], registers[1] = start, end
        spans = ((registers[2 * group], registers[2 * group + 1]) for group in range(self.groups))
        return tuple(span if min(span) >= 0 else (-1, -1) for span in spans)

    def _run(
        self,
        code: list[tuple[Any, ...]],
        text: str,
        at: int,
        registers: list[int],
        counted: Counted,
        limit: int | None,
        not_at: int | None = None,
    ) -> int | None:
        """Where a match from `at` ends. What is left to try: place in the code, in the text, registers to put back."""
        waiting: list[tuple[Any, ...]] = []
        here, steps, length = 0, counted.steps, len(text)
        try:
            while True:
                steps += 1
                if limit is not None and steps > limit:
                    raise TooManySteps
                step = code[here]
                name = step[0]
                fine = True
                here += 1
                if name == "one":
                    if fine := at < length and step[1][text[at]]:
                        at += 1
                elif name == "split":
                    waiting.append((step[2], at, None, 0))
                    here = step[1]
                elif name == "jump":
                    here = step[1]
                elif name == "run":
                    test, low, high, how = step[1:]
                    most = length - at if high is None else min(high, length - at)
                    end, stop = at, at + min(low, most) if how == "lazy" else at + most
                    while end < stop and test[text[end]]:
                        end += 1
                    steps += end - at
                    if fine := end - at >= low:
                        if how == "greedy" and end > at + low:
                            waiting.append((here, end, "less", at + low))
                        elif how == "lazy" and end < at + most:
                            waiting.append((here, end, "more", (test, at + most)))
                        at = end
                elif name == "at":
                    fine = step[1].match(text, at) is not None
                elif name in ("save", "mark"):
                    waiting.append((0, 0, "put", (step[1], registers[step[1]])))
                    registers[step[1]] = at
                elif name == "moved":
                    if registers[step[1]] != at:
                        here = step[2]
                elif name in ("around", "atomic"):
                    back = step[3] if name == "around" else 0
                    kept = registers.copy()
                    counted.steps = steps
                    end_ = self._run(step[1], text, at - back, registers, counted, limit) if at >= back else None
                    steps = counted.steps
                    changed = registers.copy()
                    fine = (end_ is not None) == (name == "atomic" or step[2])
                    if changed != kept:
                        if fine and (name == "atomic" or step[2]):
                            waiting.append((0, 0, "all", kept))
                        else:
                            registers[:] = kept
                    if name == "atomic" and end_ is not None:
                        at = end_
                elif name == "again":
                    first, last = registers[2 * step[1]], registers[2 * step[1] + 1]
                    fine = first >= 0 and last >= 0
                    if fine:
                        said, same = text[first:last], text[at : at + last - first]
                        steps += len(said)
                        fine = said.lower() == same.lower() if step[2] else said == same
                        at += len(said)
                elif name == "if":
                    if registers[2 * step[1] + 1] < 0:
                        here = step[2]
                elif at == not_at:
                    fine = False
                else:
                    return at
                while not fine:
                    if not waiting:
                        return None
                    here, at, what, more = waiting.pop()
                    steps += 1
                    fine = True
                    if what == "less":
                        at -= 1
                        if at > more:
                            waiting.append((here, at, what, more))
                    elif what == "more":
                        test, stop = more
                        if fine := at < length and test[text[at]]:
                            at += 1
                            if at < stop:
                                waiting.append((here, at, what, more))
                    elif what == "put":
                        registers[more[0]] = more[1]
                        fine = False
                    elif what == "all":
                        registers[:] = more
                        fine = False
        finally:
            counted.steps = max(counted.steps, steps)
