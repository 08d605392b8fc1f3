"""Words and wordings of pocket's questions and answers, from `questions.toml`, and their inflection."""

from __future__ import annotations

import random
import tomllib
from pathlib import Path
from typing import Any

from plugins.pocket.speech.words import MASS, PLURAL, UNIQUE

_FILE = Path(__file__).with_name("data") / "questions.toml"
_TEXT: dict[str, Any] = tomllib.loads(_FILE.read_text(encoding="utf-8"))
HOW_OFTEN: dict[str, dict[str, int]] = _TEXT["how_often"]
ASKING: dict[str, list[str]] = _TEXT["asking"]
SCENE: dict[str, list[str]] = _TEXT["scene"]
# questions about photographs use the same wordings, and a few more
PHOTOGRAPH: dict[str, list[str]] = {kind: [*own, *SCENE.get(kind, [])] for kind, own in _TEXT["photograph"].items()}
PHOTOGRAPH["ground"] += [*SCENE["ground_colour"], *SCENE["surroundings"]]
IRREGULAR: dict[str, str] = _TEXT["words"]["irregular"]
WIDER: dict[str, str] = _TEXT["words"]["wider"]
NOT_A_THING: tuple[str, ...] = tuple(_TEXT["words"]["not_a_thing"])
UNANSWERABLE: tuple[str, ...] = tuple(ASKING["unanswerable"])
COMPOSED: dict[str, list[str]] = _TEXT["unanswerable"]

NUMBERS = ("no", "one", "two", "three", "four", "five")
STRANGER = "unknown thing"
DO_NOT_KNOW = ("i do not know.", "i cannot tell.", "i am not sure.")
SIDES = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}


def article(words: str) -> str:
    """ "a" or "an", by pronunciation."""
    vowel = words[0] in "aeiou" and not words.startswith(("uni", "eu", "one "))
    return "an" if vowel or words.startswith("hour") else "a"


def phrase(name: str, colour: str = "") -> str:
    """A noun phrase: "a yellow duck", "some red cherries", "the moon"."""
    if name in UNIQUE:
        return UNIQUE[name]
    words = f"{colour} {name}".strip()
    return f"some {words}" if name in PLURAL or name in MASS else f"{article(words)} {words}"


def plural(name: str) -> str:
    """The plural of a name."""
    if name in PLURAL or name in MASS:
        return name
    if name in IRREGULAR:
        return IRREGULAR[name]
    last = name.split()[-1]
    if last in IRREGULAR:
        return f"{name[: -len(last)]}{IRREGULAR[last]}"
    if name.endswith(("s", "sh", "ch", "x")):
        return f"{name}es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"


def be(name: str) -> str:
    """ "is" or "are"."""
    return "are" if name in PLURAL else "is"


def where(column: str, row: str) -> str:
    """Words for a place in the picture."""
    if row == "centre":
        return {"left": "on the left", "middle": "in the middle", "right": "on the right"}[column]
    return f"at the {row} in the middle" if column == "middle" else f"at the {row} {column}"


def pick(rng: random.Random, *forms: str, **words: str) -> str:
    """One of several wordings, with its gaps filled."""
    return rng.choice(forms).format(**words)


def ask(rng: random.Random, question: str) -> str:
    """Sometimes vary a question with phrases that people and language models use."""
    draw = rng.random()
    if draw < 0.70 or question.endswith("."):
        return question
    bare = question.rstrip("?")
    if draw < 0.78:
        return bare
    if draw < 0.86:
        return question.replace("the picture", rng.choice(ASKING["instead_of_the_picture"]))
    if draw < 0.92:
        return f"{rng.choice(ASKING['before'])} {question}"
    placed = any(word in bare for word in ("picture", "image", "photo"))
    return question if placed else f"{bare} {rng.choice(ASKING['behind'])}?"


def unanswerable(rng: random.Random, name: str) -> str:
    """A question about `name` that no picture answers."""
    if rng.random() < 0.5:
        return pick(rng, *UNANSWERABLE, x=name)
    words = {part: rng.choice(choices) for part, choices in COMPOSED.items() if part != "forms"}
    return pick(rng, *COMPOSED["forms"], x=name, **words)


def detail_request(rng: random.Random) -> str:
    """The four instructions of stage 2, and a few more."""
    return rng.choice(ASKING["for_detail"])
