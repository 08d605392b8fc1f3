"""What witnesses found, as plain sentences for a language model or a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import Final, get_args

from agents.text.cleaning import clean_quoted
from core.findings import Findings, Kind, TextLine, Third, counted
from core.nouns import capitalised, plural, with_article

NO_THINGS: Final = "No thing can be made out with certainty."
NO_TEXT: Final = "No writing can be made out."
MOST_LINES: Final = 40  # lines of text that are quoted
MOST_CHARACTERS: Final = 1500  # of the quoted lines
LETTERS: Final = 3  # and digits of an uncertain line for which the question is asked
_PERHAPS: Final = "Perhaps it "
EXACT: Final = 5
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
        text = f"{estimate(count)} {plural_phrase(name)}"
        groups = {place: thirds.count(place) for place in get_args(Third) if place in thirds}
        if len(groups) == 1:
            text += f" {_PLACES[next(iter(groups))]}"
        else:
            text += ": " + ", ".join(f"{estimate(many)} {_PLACES[place]}" for place, many in groups.items())
    return f"{text[0].upper()}{capitalised(text[1:])}."


def number(count: int) -> str:
    """ "three", "about 14"."""
    return _NUMBERS[count] if count < len(_NUMBERS) else f"about {count}"


def estimate(count: int) -> str:
    """ "three", "about seven", "about 14": beyond five a detector's count is an estimate."""
    text = number(count)
    return text if count <= EXACT or text.startswith("about ") else f"about {text}"


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
    sentences += [f"{_PERHAPS}{'also ' if certain else ''}says {perhaps}."] if perhaps else []
    return " ".join(sentences) or NO_TEXT


def certain_words(answer: str) -> str:
    """What `things_in_words` or `text_in_words` say, without what is only "perhaps"."""
    if answer in (NO_THINGS, NO_TEXT) or answer.startswith(f'{_PERHAPS}says "'):
        return ""
    certain, perhaps, _ = answer.partition(f'. {_PERHAPS}also says "')
    return f"{certain}." if perhaps else certain


@dataclass(frozen=True, slots=True)
class Statement:
    """What witnesses say about one kind: the answer in words, their names, whether any of it is certain.

    The answer is one line without control characters, in which role marks of the picture's text have no effect.
    """

    kind: Kind
    answer: str
    names: str
    sure: bool


def statements(found: Sequence[Findings]) -> list[Statement]:
    """One about things, if any witness looked for them, and one about text, if there is likely some."""
    seen = [one.witness for one in found if one.things] or [
        one.witness for one in found if "things" in one.looked_for and not one.lines
    ]
    read = [one.witness for one in found if one.lines]
    answers: list[tuple[Kind, str, list[str]]] = [("things", things_in_words(found), seen)]
    if any(line.certain or _worth_asking(line) for one in found for line in one.lines):
        answers.append(("text", text_in_words(found), read))
    return [
        Statement(kind, clean_quoted(answer), ", ".join(dict.fromkeys(names)), bool(certain_words(answer)))
        for kind, answer, names in answers
        if names
    ]


def _worth_asking(line: TextLine) -> bool:
    """Whether an uncertain line is likely to be writing: readers take leaves and fur for one or two letters."""
    return sum(map(str.isalnum, line.text)) >= LETTERS


def _quoted(lines: Iterable[TextLine]) -> str:
    """The lines in quotation marks, those inside them as apostrophes; what is too much is counted."""
    quoted = ['"' + line.text.replace('"', "'") + '"' for line in lines]
    room = takewhile(lambda total: total <= MOST_CHARACTERS, accumulate(map(len, quoted)))
    shown = quoted[: min(MOST_LINES, max(1, sum(1 for _ in room)))]
    more = len(quoted) - len(shown)
    return ", ".join(shown) + (f" and {more} more line{'s' * (more > 1)}" if more > 0 else "")
