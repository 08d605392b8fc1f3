"""Answers that cannot both be true, found by rules: a thing that is there and is not, two numbers, colours or places.

    for one in contradictions(caption.dialogue.turns):
        one.first, one.second           # numbers of the turns, from 1
        one.words                       # "answer 2 says there is a dog, answer 5 that there is none"

English only, and careful rather than complete: a rule that is not certain of what an answer is about says nothing. An
eye that contradicts itself has guessed at least once; which of the two is wrong, only somebody who sees can tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from agents.cleaning import certain_part, question_key, sentences
from core.records import Turn

Kind = Literal["there", "number", "colour", "place", "scene", "reply"]

_NUMBERS: Final = {
    **{word: number for number, word in enumerate("zero one two three four five six seven eight nine ten".split())},
    "eleven": 11,
    "twelve": 12,
}
_COLOURS: Final = frozenset(
    "black white grey gray red green blue yellow orange brown pink purple violet beige golden gold silver turquoise "
    "teal maroon tan cream".split()
)
_SAME: Final = {
    "gray": "grey",
    "golden": "gold",
    "violet": "purple",
    "turquoise": "teal",
    "tan": "beige",
    "cream": "beige",
}
# Of each pair only one can hold for one thing, or for the whole scene.
_PLACES: Final = (("left", "right"), ("foreground", "background"), ("top", "bottom"))
_SCENES: Final = (
    ({"indoors", "inside", "indoor"}, {"outdoors", "outside", "outdoor"}),
    ({"daytime", "day", "daylight"}, {"night", "nighttime"}),
)
_STOP: Final = (
    "in on at of with near behind under above over below to from by and or but that which who where while as for next "
    "beside between visible here there anywhere present is are was were has have does do can could looks look seems "
    "appears sits stands standing sitting lying lies wearing holding shown seen else other than if it they so very too"
)
_PHRASE: Final = rf"((?:(?!(?:{_STOP.replace(' ', '|')})\b)[a-z][a-z'-]*+\s*+){{1,4}}+)"
_COUNT: Final = rf"(\d{{1,3}}|{'|'.join(word for word in _NUMBERS if word not in ('none', 'a', 'an', 'no'))})"
_NOT_THERE: Final = re.compile(
    rf"\bthere(?:'s| is| are|'re)\s+(?:no|not any|not a|not an)\s+{_PHRASE}|"
    rf"\bthere (?:isn't|aren't|is not|are not)\s+(?:a |an |any )?{_PHRASE}|"
    rf"\b(?:do not|don't|can not|cannot|can't) see\s+(?:a |an |any )?{_PHRASE}|"
    rf"\bno {_PHRASE}\s*(?:is|are|can be)\b"
)
_THERE: Final = re.compile(
    rf"\b(?:there(?:'s| is| are|'re)|i see|we see|you see|shows|contains)\s+(?:a |an |one |some |several |{_COUNT} )"
    rf"{_PHRASE}"
)
_NUMBERED: Final = re.compile(rf"\bthere(?:'s| is| are|'re)\s+(?:exactly |about |only )?{_COUNT}\s+{_PHRASE}")
_ASKS_THERE: Final = re.compile(
    rf"^(?:is|are) there\s+(?:a |an |any |some |also a )?{_PHRASE}|"
    rf"^(?:do|can|could) you see\s+(?:a |an |any |some )?{_PHRASE}"
)
_ASKS_NUMBER: Final = re.compile(rf"^how many\s+{_PHRASE}")
_ASKS_COLOUR: Final = re.compile(
    rf"^what colou?rs? (?:is|are|does|do|has|have)\s+(?:the |this |that |its |their )?{_PHRASE}"
)
_ASKS_WHERE: Final = re.compile(rf"^where (?:is|are)\s+(?:the |this |that )?{_PHRASE}")
_IS_COLOURED: Final = re.compile(rf"\bthe {_PHRASE}\s*\b(?:is|are)\s+([a-z ,-]+)")
_YES, _NO = re.compile(r"^\W*(?:yes|yeah|yep|indeed)\b"), re.compile(r"^\W*(?:no|nope)\b")
# "no other people" says nothing of people, and "a lot of" nothing of lots.
_VAGUE: Final = frozenset(
    "other others another more additional further anything something nothing any thing lot kind pair group couple "
    "number piece bit part type sign way one".split()
)
_DENIES: Final = re.compile(r"\b(?:no|not|never|none|without|neither|nor|nothing)\b|n't\b")


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two turns, numbered from 1, that do not fit together, and why in words."""

    first: int
    second: int
    words: str


@dataclass(frozen=True, slots=True)
class _Claim:
    kind: Kind
    about: str  # "" for the whole scene
    value: frozenset[str]
    shown: str = ""  # `about` as it was said


def contradictions(turns: Sequence[Turn]) -> tuple[Contradiction, ...]:
    """Pairs of turns that contradict each other, in the order of the later one; one per pair."""
    found: dict[tuple[int, int], Contradiction] = {}
    before: list[tuple[int, Turn, list[_Claim]]] = []
    for number, turn in enumerate(turns, start=1):
        if turn.certainty != "sure":
            continue
        claims = list(_claims(turn))
        for earlier_number, earlier, earlier_claims in before:
            words = next(_conflicts(earlier_number, earlier_claims, number, claims), "") or _mentions(
                (earlier_number, earlier, earlier_claims), (number, turn, claims)
            )
            if words:
                found[earlier_number, number] = Contradiction(earlier_number, number, words)
        before.append((number, turn, claims))
    return tuple(found.values())


def _conflicts(first: int, ours: Sequence[_Claim], second: int, theirs: Sequence[_Claim]) -> Iterator[str]:
    for one in ours:
        for other in theirs:
            if one.kind != other.kind or one.about != other.about or one.value & other.value:
                continue
            if one.kind in ("place", "scene") and not _exclude(one, other):
                continue
            yield _words(one, first, other, second)


def _exclude(one: _Claim, other: _Claim) -> bool:
    if one.kind == "scene":
        return True
    return any({*one.value, *other.value} >= set(pair) for pair in _PLACES)


def _words(one: _Claim, first: int, other: _Claim, second: int) -> str:
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


def _list(claim: _Claim) -> str:
    return " and ".join(sorted(claim.value))


def _a(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}" if not noun.endswith("s") else noun


def _claims(turn: Turn) -> Iterator[_Claim]:
    question = turn.question.lower().replace("’", "'").strip()
    answer = certain_part(turn.answer).lower().replace("’", "'")
    reply = "yes" if _YES.match(answer) else "no" if _NO.match(answer) else ""
    if reply:
        yield _Claim("reply", " ".join(question_key(question)), frozenset([reply]))
        if asked := _noun(_ASKS_THERE.match(question)):
            yield _Claim("there", _one(asked), frozenset([reply]), asked)
    if counted := _noun(_ASKS_NUMBER.match(question)):
        numbers = [_number(word) for word in re.findall(rf"\b{_COUNT}\b", answer)]
        if len(numbers) == 1:
            yield _Claim("number", _one(counted), frozenset([str(numbers[0])]), counted)
    colours = frozenset(_SAME.get(word, word) for word in re.findall(r"[a-z]+", answer) if word in _COLOURS)
    if colours and (painted := _noun(_ASKS_COLOUR.match(question))) and not _DENIES.search(answer):
        yield _Claim("colour", _one(painted), colours, painted)
    if placed := _noun(_ASKS_WHERE.match(question)):
        yield from _places(placed, answer)
    for sentence in sentences(answer):
        yield from _said(sentence)


def _said(sentence: str) -> Iterator[_Claim]:
    """What one sentence claims by itself."""
    for match in _NOT_THERE.finditer(sentence):
        if absent := _noun(match):
            yield _Claim("there", _one(absent), frozenset(["no"]), absent)
    if _DENIES.search(sentence):
        return
    for match in _THERE.finditer(sentence):
        if present := _noun(match):
            yield _Claim("there", _one(present), frozenset(["yes"]), present)
    for match in _NUMBERED.finditer(sentence):
        if counted := _noun(match):
            yield _Claim("number", _one(counted), frozenset([str(_number(match[1]))]), counted)
    for match in _IS_COLOURED.finditer(sentence):
        colours = frozenset(_SAME.get(word, word) for word in re.findall(r"[a-z]+", match[2]) if word in _COLOURS)
        painted = _noun(match)
        if colours and painted:
            yield _Claim("colour", _one(painted), colours, painted)
    for one, other in _SCENES:
        words = set(re.findall(r"[a-z]+", sentence))
        if bool(words & one) != bool(words & other):
            named = sorted(words & one or words & other)[0]
            yield _Claim("scene", min(one), frozenset(one if words & one else other), named)


def _places(thing: str, answer: str) -> Iterator[_Claim]:
    words = set(re.findall(r"[a-z]+", answer))
    for pair in _PLACES:
        named = words & set(pair)
        if len(named) == 1:
            yield _Claim("place", _one(thing), frozenset(named), thing)


def _mentions(one: tuple[int, Turn, list[_Claim]], other: tuple[int, Turn, list[_Claim]]) -> str:
    """A thing that one answer denies and the other speaks of as being there."""
    for (number, _, claims), (speaking, turn, _) in ((one, other), (other, one)):
        for claim in claims:
            if claim.kind == "there" and "no" in claim.value and " " not in claim.about and _speaks_of(claim, turn):
                return f"answer {speaking} speaks of {_a(claim.shown)}, answer {number} says there is none"
    return ""


def _speaks_of(claim: _Claim, turn: Turn) -> bool:
    thing = re.compile(
        rf"\b(?:a|an|the|one|two|three|four|some|several)\s++(?:[a-z-]++\s++){{0,2}}?{re.escape(claim.about)}(?:s|es)?\b"
    )
    said = certain_part(turn.answer).lower()
    return any(thing.search(sentence) and not _DENIES.search(sentence) for sentence in sentences(said))


def _noun(match: re.Match[str] | None) -> str:
    """The noun phrase a pattern found, its last group that begins with a letter."""
    if match is None:
        return ""
    groups = [group for group in match.groups() if group and not re.fullmatch(_COUNT, group.strip())]
    words = (groups[0] if groups else "").split()
    return "" if _VAGUE.intersection(words) else " ".join(words).strip("' -")


def _one(noun: str) -> str:
    """What two nouns are compared by: the last word, in the singular, with what stands before it."""
    words = noun.split()
    last = words[-1]
    irregular = {
        "people": "person",
        "men": "man",
        "women": "woman",
        "children": "child",
        "mice": "mouse",
        "feet": "foot",
    }
    if last in irregular:
        last = irregular[last]
    elif last.endswith("ies") and len(last) > 4:
        last = f"{last[:-3]}y"
    elif re.search(r"(?:s|x|z|ch|sh)es$", last):
        last = last[:-2]
    elif len(last) > 3 and last.endswith("s") and not last.endswith("ss"):
        last = last[:-1]
    return " ".join([*words[:-1], last])


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS[word]
