"""Look up English words in WordNet 3.0: parts of speech, base forms, synonyms and kinds.

    uses("riding")                  # {"v": 17}: how often each part of speech is used
    base("riding", "v")             # "ride"
    is_kind_of("poodle", "dog")     # True; also for synonyms: is_kind_of("sofa", "couch")
    similarity(a, b)                # of Wu and Palmer, for two of senses("dog")

The tables are read once, when they are first needed. Words of two parts are written with a space: "fire hydrant".
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, Literal, NamedTuple

Part = Literal["n", "v", "a", "r"]

_MOST_SENSES: Final = 3  # of a word, beside those that texts use
_ENDINGS: Final = {
    "n": (
        ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y"),
        ("s", ""),
    ),
    "v": (
        ("ies", "y"), ("ied", "y"), ("es", "e"), ("es", ""), ("s", ""), ("ed", "e"), ("ed", ""), ("ing", "e"),
        ("ing", ""),
    ),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e"), ("ier", "y"), ("iest", "y")),
    "r": (),
}  # fmt: skip


class _Sense(NamedTuple):
    part: str
    synset: int
    number: int
    uses: int


class _Word(NamedTuple):
    senses: tuple[_Sense, ...] = ()
    irregular: tuple[tuple[str, str], ...] = ()  # part of speech, base form


@cache
def _lines(table: str) -> list[str]:
    return files("core.english").joinpath(f"{table}.tsv").read_text("utf-8").split("\n")


@lru_cache(maxsize=16384)
def _word(word: str) -> _Word:
    lines = _lines("words")
    place = bisect_left(lines, f"{word}\t", hi=len(lines) - 1)
    found, _, rest = lines[place].partition("\t")
    if found != word or not word:
        return _Word()
    entries = rest.split(" ")
    forms = [(entry[0], entry[2:]) for entry in entries if entry[1] == "="]
    return _Word(tuple(_sense(entry) for entry in entries if entry[1] != "="), tuple(forms))


def _sense(entry: str) -> _Sense:
    synset, number, uses = entry[1:].split(".")
    return _Sense(entry[0], int(synset), int(number), int(uses))


def known(word: str, part: Part) -> bool:
    """Whether `word`, in its base form, is in the table as this part of speech."""
    return any(sense.part == part for sense in _word(word).senses)


@lru_cache(maxsize=8192)
def base(word: str, part: Part) -> str:
    """The base form of `word` as this part of speech; "" if it is none."""
    if found := dict(_word(word).irregular).get(part):
        return found
    if known(word, part):
        return word
    for ending, instead in _ENDINGS[part]:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            stem = word[: -len(ending)] + instead
            if known(stem, part):
                return stem
            if part == "v" and len(stem) > 3 and stem[-1] == stem[-2] and known(stem[:-1], part):
                return stem[:-1]  # "sitting", "stopped"
    return ""


@lru_cache(maxsize=8192)
def uses(word: str) -> dict[Part, int]:
    """How often WordNet's texts use `word` as each part of speech that it can be."""
    found: dict[Part, int] = {}
    parts: tuple[Part, ...] = ("n", "v", "a", "r")
    for part in parts:
        if form := base(word, part):
            found[part] = sum(sense.uses for sense in _word(form).senses if sense.part == part)
    return found


@lru_cache(maxsize=8192)
def synsets(word: str, part: Part) -> frozenset[int]:
    """Synsets of the usual senses of a word."""
    found = [sense for sense in _word(base(word, part)).senses if sense.part == part]
    return frozenset(sense.synset for sense in found if sense.uses or sense.number <= _MOST_SENSES)


@lru_cache(maxsize=8192)
def kinds(word: str, part: Part) -> frozenset[int]:
    """The synsets of a word and all above them; of an adjective, those that are similar."""
    return frozenset(_above(set(synsets(word, part)), once=part == "a"))


def _above(new: set[int], *, once: bool = False) -> set[int]:
    """Synsets and all above them; `once`: those right above."""
    above = _lines("kinds")
    found: set[int] = set()
    while new:
        found |= new
        new = {int(up) for synset in new for up in above[synset].split() if up[0] != "+"} - found
        if once:
            return found | new
    return found


@lru_cache(maxsize=8192)
def is_mainly(word: str, kind: str) -> bool:
    """Whether the first sense of a noun is a kind of `kind`."""
    first = {sense.synset for sense in _word(base(word, "n")).senses if sense.part == "n" and sense.number == 1}
    return bool(synsets(kind, "n") & _above(first))


@lru_cache(maxsize=8192)
def ascending(noun: str) -> tuple[frozenset[int], ...]:
    """The synset of a noun's first sense, then those right above it, and so on up to the most general; () if unknown.

    A synset that several ways lead to stands at the end of the shortest. Of an unknown noun of several words, the last
    word counts: "tennis shoe".
    """
    first = {sense.synset for sense in _word(base(noun, "n")).senses if sense.part == "n" and sense.number == 1}
    _, space, last = noun.rpartition(" ")
    if not first:
        return ascending(last) if space else ()
    above = _lines("kinds")
    found: set[int] = set()
    levels = []
    while first:
        levels.append(frozenset(first))
        found |= first
        first = {int(up) for synset in first for up in above[synset].split() if up[0] != "+"} - found
    return tuple(levels)


@lru_cache(maxsize=8192)
def derived(word: str) -> frozenset[int]:
    """The synsets of words that are derived from a word, or that it is derived from: "rainy", of "rain"."""
    lines = _lines("kinds")
    parts: tuple[Part, ...] = ("n", "v", "a", "r")
    found = {synset for part in parts for synset in synsets(word, part)}
    return frozenset(int(to[1:]) for synset in found for to in lines[synset].split() if to[0] == "+")


@lru_cache(maxsize=16384)
def is_kind_of(word: str, kind: str, part: Part = "n") -> bool:
    """Whether `word` means the same as `kind` or, in one of its usual senses, a kind of it.

    Of adjectives: whether the two are similar.
    """
    if word == kind:
        return True
    return bool(synsets(kind, part) & kinds(word, part)) or (
        part == "a" and bool(synsets(word, part) & kinds(kind, part))
    )


@lru_cache(maxsize=16384)
def senses(noun: str) -> frozenset[int]:
    """The synsets of all senses of a noun in the table, also of rare ones."""
    return frozenset(sense.synset for sense in _word(base(noun, "n")).senses if sense.part == "n")


@lru_cache(maxsize=16384)
def steps_up(synset: int) -> dict[int, int]:
    """A synset and all above it, each with the fewest steps to it."""
    lines, found, new, steps = _lines("kinds"), {synset: 0}, {synset}, 0
    while new:
        steps += 1
        new = {int(up) for one in new for up in lines[one].split() if up[0] != "+"} - found.keys()
        found.update(dict.fromkeys(new, steps))
    return found


@lru_cache(maxsize=16384)
def _depths(synset: int) -> tuple[int, int]:
    """The fewest and the most steps from a synset to the top."""
    above = [_depths(int(up)) for up in _lines("kinds")[synset].split() if up[0] != "+"]
    return (1 + min(low for low, _ in above), 1 + max(high for _, high in above)) if above else (0, 0)


@lru_cache(maxsize=65536)
def similarity(one: int, other: int) -> float:
    """Wu and Palmer's similarity of two synsets of nouns, 0 to 1, as NLTK's `wup_similarity` computes it.

    Twice the depth of the lowest synset above both, over the depths of the two by way of it; depths count from 1.
    """
    ours, others = steps_up(one), steps_up(other)
    both = ours.keys() & others.keys()
    if not both:
        return 0.0
    lowest = max(sorted(both), key=lambda up: (_depths(up)[0], up == one))
    depth = _depths(lowest)[1] + 1
    return 2 * depth / (ours[lowest] + others[lowest] + 2 * depth)
