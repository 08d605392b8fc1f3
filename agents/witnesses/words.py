"""What witnesses found, as plain sentences for a language model or a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, get_args

from core.nouns import plural, with_article
from core.witness import Findings, TextLine, Third, counted

NO_THINGS: Final = "No thing can be made out with certainty."
NO_TEXT: Final = "No writing can be made out."
MOST_LINES: Final = 40  # lines of text that are quoted
_NUMBERS: Final = "no one two three four five six seven eight nine ten".split()
_PLACES: Final = {"left": "on the left", "middle": "in the middle", "right": "on the right"}


def things_in_words(found: Iterable[Findings]) -> str:
    """Names, counts and places, the most frequent first: "Two people: one on the left, one on the right. A dog ..."."""
    places: dict[str, list[Third]] = {}
    finer: dict[str, set[str | None]] = {}
    for findings in found:
        for thing in findings.things:
            places.setdefault(thing.name, []).append(thing.box.third(findings.width))
            finer.setdefault(thing.name, set()).add(thing.finer)
    names = counted(name for name, thirds in places.items() for _ in thirds)
    return " ".join(_sentence(_finest(name, finer[name]), places[name]) for name in names) or NO_THINGS


def _finest(name: str, finer: set[str | None]) -> str:
    """The more exact name, if all things of this name have the same one."""
    [only] = finer if len(finer) == 1 else [None]
    return only or name


def _sentence(name: str, thirds: Sequence[Third]) -> str:
    count = len(thirds)
    if count == 1:
        text = f"{with_article(name)} {_PLACES[thirds[0]]}"
    else:
        text = f"{number(count)} {plural_phrase(name)}"
        groups = {place: thirds.count(place) for place in get_args(Third) if place in thirds}
        if len(groups) == 1:
            text += f" {_PLACES[next(iter(groups))]}"
        else:
            text += ": " + ", ".join(f"{number(many)} {_PLACES[place]}" for place, many in groups.items())
    return text[0].upper() + text[1:] + "."


def number(count: int) -> str:
    """ "three", "about 14": beyond ten a detector's count is an estimate."""
    return _NUMBERS[count] if count < len(_NUMBERS) else f"about {count}"


def plural_phrase(phrase: str) -> str:
    """The plural of a noun with words before it: "traffic lights"."""
    before, space, noun = phrase.rpartition(" ")
    return f"{before}{space}{plural(noun)}"


def text_in_words(found: Iterable[Findings]) -> str:
    """The lines of text in reading order; uncertain ones are introduced by "perhaps"."""
    lines = [line for findings in found for line in findings.lines]
    certain = _quoted(line for line in lines if line.certain)
    perhaps = _quoted(line for line in lines if not line.certain and len(line.text) > 1)
    sentences = [f"It says {certain}."] if certain else []
    sentences += [f"Perhaps it {'also ' if certain else ''}says {perhaps}."] if perhaps else []
    return " ".join(sentences) or NO_TEXT


def _quoted(lines: Iterable[TextLine]) -> str:
    quoted = [f'"{line.text}"' for line in lines]
    more = len(quoted) - MOST_LINES
    return ", ".join(quoted[:MOST_LINES]) + (f" and {more} more lines" if more > 0 else "")
