"""Plant falsehoods into pocket's description of a composed scene: each is false by the scene's exact truth.

A description reads "The picture shows two things on a plain red background. On the left there is a green frog. ...".
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from plugins.pocket.colours import COLOURS
from plugins.pocket.speech.words import PLURAL
from training.pocket.scene_questions import SceneQuestions
from training.pocket.wording import NUMBERS, phrase, where

KINDS: Final = ("added", "exchanged", "colour", "number", "side")
CLAIMS: Final = {"added": "thing", "exchanged": "thing", "colour": "attribute", "number": "number", "side": "place"}
_ENTRY: Final = re.compile(
    r"(?P<where>(?:On|In|At) the [a-z ]+?) there (?P<be>is|are) (?P<article>an?|some) "
    rf"(?P<size>(?:small |large )?)(?P<colour>{'|'.join(COLOURS)}) (?P<name>[a-z -]+?)(?P<rest> with some [a-z]+)?\."
)
_COUNT: Final = re.compile(rf"The picture shows (?P<number>{'|'.join(NUMBERS[1:])}) things? ")
_MARK: Final = re.compile("\1(?P<kind>[a-z]++)\2(?P<text>[^\1\3]*+)\3")
_SWAPPED: Final = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}


@dataclass(frozen=True, slots=True)
class Planted:
    """A falsehood: its kind, and its span in the text."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FalseCaption:
    """A caption with falsehoods; the rest is as the vision model wrote it."""

    text: str
    planted: tuple[Planted, ...] = ()


def plant(text: str, truth: dict[str, Any], names: list[tuple[str, str]], count: int, seed: str) -> FalseCaption | None:
    """`text` with `count` falsehoods of different targets; None if it does not say enough."""
    rng = random.Random(f"{seed} {count}")
    scene = SceneQuestions(truth, names)
    kinds = list(KINDS)
    rng.shuffle(kinds)
    done: list[str] = []
    marked = text
    for kind in [*kinds, *(["added"] * count)]:
        if len(done) == count:
            break
        changed = _PLANTERS[kind](marked, scene, rng)
        if changed is not None:
            marked = changed
            done.append(kind)
    return _unmarked(marked) if len(done) == count else None


def _unmarked(marked: str) -> FalseCaption:
    planted: list[Planted] = []
    text, end = "", 0
    for match in _MARK.finditer(marked):
        text += marked[end : match.start()]
        planted.append(Planted(match["kind"], len(text), len(text) + len(match["text"])))
        text += match["text"]
        end = match.end()
    return FalseCaption(text + marked[end:], tuple(planted))


def _mark(kind: str, text: str) -> str:
    return f"\1{kind}\2{text}\3"


def _entries(text: str, scene: SceneQuestions) -> list[tuple[re.Match[str], dict[str, Any]]]:
    """Untouched sentences about one thing that is there once, with the thing."""
    singles = {thing["name"]: thing for thing in scene.single}
    return [(match, singles[match["name"]]) for match in _ENTRY.finditer(text) if match["name"] in singles]


def _added(text: str, scene: SceneQuestions, rng: random.Random) -> str | None:
    said = text.lower()
    for _ in range(20):
        name = scene.absent(rng)[0]
        if name not in said and not set(name.split()) & set(said.split()):
            break
    else:
        return None
    spot = where(rng.choice(("left", "middle", "right")), rng.choice(("top", "centre", "bottom")))
    verb = "are" if name in PLURAL else "is"
    sentence = f"{spot.capitalize()} there {verb} {phrase(name, rng.choice(COLOURS))}."
    return f"{text} {_mark('added', sentence)}"


def _exchanged(text: str, scene: SceneQuestions, rng: random.Random) -> str | None:
    def change(match: re.Match[str], thing: dict[str, Any]) -> str | None:
        plural = thing["name"] in PLURAL
        for _ in range(50):
            name = scene.absent(rng)[0]
            if (name in PLURAL) == plural and phrase(name).split()[0] == phrase(thing["name"]).split()[0]:
                return _with(match, name=_mark("exchanged", name))
        return None

    return _change(text, scene, rng, change)


def _colour(text: str, scene: SceneQuestions, rng: random.Random) -> str | None:
    def change(match: re.Match[str], thing: dict[str, Any]) -> str | None:
        others = [one for one in COLOURS if one not in (*thing["colours"], match["colour"])]
        return _with(match, colour=_mark("colour", rng.choice(others)))

    return _change(text, scene, rng, change)


def _side(text: str, scene: SceneQuestions, rng: random.Random) -> str | None:
    def change(match: re.Match[str], thing: dict[str, Any]) -> str | None:
        sides = [
            side for side in _SWAPPED if side in (thing["column"], thing["row"]) and side in match["where"].split()
        ]
        if not sides:
            return None
        side = rng.choice(sides)
        other = re.sub(rf"\b{side}\b", _SWAPPED[side], match["where"])
        return _with(match, where=_mark("side", other))

    return _change(text, scene, rng, change)


def _number(text: str, scene: SceneQuestions, rng: random.Random) -> str | None:
    match = _COUNT.match(text)
    if match is None or scene.background == "photo" and not scene.things:
        return None
    count = len(scene.things)
    wrong = rng.choice([number for number in (count - 1, count + 1) if 1 <= number <= 5])
    words = f"{NUMBERS[wrong]} thing{'s' * (wrong != 1)}"
    return f"The picture shows {_mark('number', words)} {text[match.end() :]}"


def _change(
    text: str,
    scene: SceneQuestions,
    rng: random.Random,
    change: Callable[[re.Match[str], dict[str, Any]], str | None],
) -> str | None:
    entries = _entries(text, scene)
    rng.shuffle(entries)
    for match, thing in entries:
        sentence = change(match, thing)
        if sentence is not None:
            return text[: match.start()] + sentence + text[match.end() :]
    return None


def _with(match: re.Match[str], **new: str) -> str:
    said = {**match.groupdict(default=""), **new}
    if "colour" in new and not said["size"]:
        vowel = new["colour"].partition("\2")[2][0] in "aeiou"
        said["article"] = ("an" if vowel else "a") if said["article"] != "some" else "some"
    thing = f"{said['size']}{said['colour']} {said['name']}{said['rest']}"
    return f"{said['where']} there {said['be']} {said['article']} {thing}."


_PLANTERS: Final[dict[str, Callable[[str, SceneQuestions, random.Random], str | None]]] = {
    "added": _added,
    "exchanged": _exchanged,
    "colour": _colour,
    "number": _number,
    "side": _side,
}


def overlaps(planted: Planted, start: int, end: int) -> bool:
    """Whether a span of the text shares a character with a falsehood."""
    return start < planted.end and planted.start < end


def spans(planted: Sequence[Planted]) -> list[tuple[int, int]]:
    """Where the falsehoods are."""
    return [(one.start, one.end) for one in planted]
