"""What an answer becomes before it is shown: a description is compared with the symbols, repetitions disappear.

The language model writes lower case. It pairs, repeats or leaves out things of a long list now and then.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from core.nouns import capitalised, with_article
from plugins.pocket.colours import COLOURS
from plugins.pocket.sight import ASKED, NUMBERS, PERHAPS, UNKNOWN
from plugins.pocket.speech.words import join

SHOWS: Final = "the picture shows "
UNSURE: Final = "i am not sure what this is"
_COLOUR = "|".join(COLOURS)
_IN_ORDER: Final = ", from left to right"
_ONE_COLOUR: Final = re.compile(rf"\b({_COLOUR})(?:, \1){{0,4}} and \1\b(?:{_IN_ORDER})?")
_ARTICLE: Final = re.compile(r"\ban? ([a-z]+)")
_END: Final = re.compile(r"(?<=[.!?]) +")
_THINGS: Final = re.compile(rf"(?:{SHOWS}|there is |there are )")
_NEXT: Final = re.compile(r"(?:, | and )(?=(?:an?|some|about|more|" + "|".join(NUMBERS[1:]) + r") )")
_ESTIMATED: Final = re.compile(rf"(?<!about )\b({'|'.join(NUMBERS[6:11])}) (?!of\b)(?=[a-z])")
_COUNTED: Final = re.compile(rf"\A(there are |i (?:see|count) |)(?:{'|'.join(NUMBERS[1:])})(?= [a-z]|\.?$)")
_DENIES: Final = re.compile(r"(?:no, )?(?:(i see) no|there (?:is|are) no)\b")
_ITEM: Final = re.compile(r"(?:, | and )(?=(?:an?|some) )")
_WORN: Final = re.compile(
    rf"\b(they are dressed in|the clothes are) ((?:(?:{_COLOUR})(?:, | and )){{1,7}}(?:{_COLOUR}))(?:{_IN_ORDER})?"
)
_ONE_PERSON: Final = re.compile(r"\b(a person (?:in|on|at) [a-z ]{1,40})\. the person is dressed in ")
_PLACED: Final = re.compile(
    r"\b(an? (?P<name>[a-z]+(?: [a-z]+){0,2})) (?:in the middle|on the (?:left|right)"
    r"|at the (?:top|bottom)(?: in the middle| left| right)?)"
)


def faithful(text: str, symbols: str, *, caption: bool = False) -> str:
    """A description that the model wrote, or the one that the symbols give, where it says anything else.

    Both in lower case. Things may come in any order; what is no description stays as it is.
    """
    said, true = claims(text), claims(symbols)
    if caption or text.startswith(SHOWS):
        text = text if said == true else symbols
    elif text.startswith(UNSURE) or "the main colour" in text:
        text = text if said <= true else symbols
    return _ONE_PERSON.sub(r"\1, dressed in ", text)


def claims(text: str) -> Counter[str]:
    """The things with their places, and all other sentences."""
    found: Counter[str] = Counter()
    for sentence in _END.split(text.strip()):
        plain = sentence.removesuffix(".")
        start = _THINGS.match(plain)
        found.update(_NEXT.split(plain[start.end() :]) if start else [plain])
    return found


def tidied(text: str) -> str:
    """What the model writes of a photograph, in lower case, without repetitions.

    More than five things are an estimate: a detector loses some of a crowd.
    """
    return _ESTIMATED.sub(r"about \1 ", " ".join(dict.fromkeys(map(_sentence, _END.split(text.strip())))))


def true_to(text: str, facts: Sequence[str], count: str = "") -> str:
    """An answer that does not deny what the facts leave open, with the number in words that was asked for, if any."""
    asked = [fact.rpartition(" ")[2] for fact in facts if fact.startswith(ASKED)]
    denied = _DENIES.match(text)
    # where a thing is only possible, "there are no people" is the answer to how many can be made out
    if denied and asked and all(status == UNKNOWN or (status == PERHAPS and denied[1]) for status in asked):
        return "i am not sure."
    return _COUNTED.sub(rf"\g<1>{count}", text) if count else text


def sentences(text: str) -> str:
    """The model's lower-case text with capitals, the right articles, and a colour that all have said once."""
    text = _ONE_COLOUR.sub(r"\1", text.strip())
    text = _ARTICLE.sub(lambda match: with_article(match[1]), text)
    text = capitalised(re.sub(r"\bi\b", "I", text))
    return re.sub(r"(^|[.!?]\s+)([a-z])", lambda match: match[1] + match[2].upper(), text)


def finished(text: str) -> str:
    """The sentences of an unfinished text that are complete."""
    ends = [match.start() for match in _END.finditer(text)]
    return text[: ends[-1]] if ends else ""


def _sentence(sentence: str) -> str:
    """One sentence without repetitions, and without a place for what is all around."""
    sentence = _WORN.sub(_worn, sentence)
    items = _ITEM.split(sentence.removesuffix("."))
    if len(items) > 1:
        kept = [item for at, item in enumerate(items) if not any(one.endswith(item) for one in items[:at])]
        if len(kept) < len(items):
            sentence = join(kept) + "." * sentence.endswith(".")
    return _PLACED.sub(lambda match: match[1] if match["name"] in _settings() else match[0], sentence)


def _worn(match: re.Match[str]) -> str:
    """Colours of clothes without repetition: "three of them are dressed in blue and one in black"."""
    colours = re.split(r", | and ", match[2])
    counts = Counter(colours)
    if len(counts) == len(colours):
        return match[0]
    if len(counts) == 1 or match[1] == "the clothes are":
        return f"{match[1]} {join(list(counts))}"
    first, *others = counts.items()
    verb = "is" if first[1] == 1 else "are"
    return join(
        [f"{NUMBERS[first[1]]} of them {verb} dressed in {first[0]}", *(f"{NUMBERS[n]} in {one}" for one, n in others)]
    )


@cache
def _settings() -> frozenset[str]:
    """Names for what surrounds everything else: the place that a classifier's map gives it says nothing."""
    words = tomllib.loads(files("plugins.pocket").joinpath("words.toml").read_text("utf-8"))
    return frozenset(words["settings"]["words"])
