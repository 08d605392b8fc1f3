"""What a question is about: the facts of a picture that answer it, which the language model reads before the question.

The things that a question names are looked up in everything that was made out, weaker evidence included, so that the
language model answers from facts and names nothing that nobody asked about.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from typing import Final

from core.datasets.text_lines import split_lines
from core.english.wordnet import base
from core.nouns import singular
from plugins.detector.network import NAMES
from plugins.imagenet.classes import classes, phrases
from plugins.pocket.presence.evidence import NounEvidence, heads
from plugins.pocket.sight import (
    ASKED,
    LINE_TOKENS,
    NO,
    PERHAPS,
    TEXT,
    UNKNOWN,
    YES,
    Seen,
    Sight,
    common_place,
    number_words,
    written,
)

MOST_SHOWN: Final = 5  # entries that one question is shown
PRESENT, POSSIBLE, ABSENT = 0.55, 0.4, 0.3  # odds of a scene word, where no detector decides
CLASS_PRESENT, CLASS_POSSIBLE, CLASS_ABSENT = 0.3, 0.05, 0.0005  # the same for all classes that a word may mean
WHOLE: Final = 0.55  # odds from which something is there that a thing may be a part of
WORDS: Final = "class_words.tsv"
NOT_SEEN: Final = frozenset({"indoors", "outdoors", "night", "sunset"})  # scene words for no part of a picture
_WORDS = re.compile(r"[a-z]+(?:-[a-z]+)*")
_COLOURS = frozenset("black white grey gray red orange yellow green blue purple pink brown".split())
_AFTER_A_NOUN = frozenset("in is are on there at here anywhere and or to of visible present shown be".split())
_BESIDE = re.compile(r"\b(left|right) (?:side )?of (?:the|this|that|a|an)\b|\b(above|below|under|over|beneath)\b")
_SPOT = re.compile(
    r"\b(?:on|to|at|in) the (?:very |far )?(left|right|top|bottom|middle|centre|center)\b"
    r"(?! of the (?!pic|ima|pho|scene))"
)
_HOW_TO_ANSWER = re.compile(
    r"\b(?:answer|reply|say|respond)\b[^.?!]{0,40}\b(?:words?(?: or (?:short )?phrase)?|yes or no|number)\b"
    r"|\byes or no\b|\bone word\b|\bjust the number\b"
)
_OPEN = re.compile(r"\b(how many|number|count|what|which|where|who|colou?rs?)\b")
_BACKGROUND = re.compile(r"\bbackground\b")
_COLOUR = re.compile(r"\bcolou?rs?\b")
_PALETTE = re.compile(r"\b(?:main|dominant|overall|most common) colou?rs?\b|\b(?:which|what) colou?rs\b")
_OF_A_THING = re.compile(r"\b(?:it|its|they|their|them)\b")
_ELSE = re.compile(r"\b(else|other things|other objects|anything more|besides|apart from)\b")
_PEOPLE = re.compile(r"\b(who|wear|wears|wearing|dressed|clothes|clothing|they doing|outfit)\b")
_YES_OR_NO = re.compile(r"(?:is|are|was|were|do|does|did|can|could|has|have)\b")
_PRESENCE = re.compile(
    r"(?:(?:is|are) there|(?:do|can) you see) (?:(?:an?|any|some) )?([a-z-]{2,30}(?: [a-z-]{2,30}){0,2}?)"
    r"(?: (?:in|on) (?:the|this) (?:picture|image|photo|photograph|scene))?\s?\?"
)
_INDEFINITE = re.compile(r"\b(?:an?|any|some)\s+([a-z-]{2,30}(?: [a-z-]{2,30}){0,2})")
_EXTENT = re.compile(r"\bhow (?:many|much|big|large|tall)\b|\bnumber of\b|^where\b|\bcount\b")
_TOTAL = re.compile(
    r"how many [a-z-]{2,30}(?: [a-z-]{2,30})?(?: (?:are|is) (?:there|shown|visible)| (?:can|do) you see)?"
    r"(?: (?:in|on) (?:the|this) (?:picture|image|photo|photograph|scene))?\s?\?"
)
_AMONG = re.compile(r"^(?:what|who|which things)\b.*\b(?:in|on|at|along|near) (?:the|this|that)\b")
_BACK = re.compile(
    r"\b(?:it|its|they|them|their|he|she|him|his|her|one|ones|this|that|these|those|there|so|too|also|again|sure|really|"
    r"same|other|others|another|else|more|besides|then|first|second|before|earlier|previous|said|you mean)\b"
    r"|^(?:and|but|or|why|what about|how about)\b"
)
_READING = re.compile(r"\b(read|reads|says?|written|write|spell|spelled)\b")


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that a question names."""

    word: str  # as asked, in the singular
    names: frozenset[str]  # names of things that it may be
    kind: str  # "thing", "kind", "scene", "class", "text"; "noun": one of WordNet that nothing else knows


class Vocabulary:
    """The words by which a question names something."""

    def __init__(self, scene: Sequence[str], more: Sequence[str] = ()) -> None:
        """`scene`: the scene words that the model knows; `more`: other names that may be in the list."""
        words = tomllib.loads(files("plugins.pocket").joinpath("words.toml").read_text("utf-8"))
        self.nothing: set[str] = set(words["nothing"]["words"])
        self.subjects: dict[str, Subject] = {}
        for name in (*more, *(name for name, _ in classes())):
            self.subjects.setdefault(name, Subject(name, frozenset({name}), "class"))
        wider: dict[str, set[str]] = {}
        for name, group in classes():
            for word in {group, name.split()[-1]} - {name, "", *words["last"]["words"]}:
                wider.setdefault(word, set()).add(name)
        for word, kinds in wider.items():  # "monkey" for a macaque, "panda" for a giant panda
            also = {word} if word in self.subjects else set()
            self.subjects[word] = Subject(word, frozenset(kinds | also), "class")
        synonyms: dict[str, list[str]] = words["names"].pop("scene")
        for word in scene:
            for other in (word, *synonyms.get(word, [])):
                self.subjects[other] = Subject(other, frozenset({word}), "scene")
        self.wider = {one: wide for wide, narrow in words["wider"].items() if wide in scene for one in narrow}
        self.wholes: dict[str, list[str]] = {}
        for whole, parts in words["parts"].items():
            for one in parts:
                self.wholes.setdefault(one, []).append(whole)
        for one in (*self.wider, *self.wholes):
            self.subjects.setdefault(one, Subject(one, frozenset({one}), "class"))
        for word, narrow in class_words().items():
            self.subjects.setdefault(word, Subject(word, narrow, "class"))
        for name in NAMES:
            for other in (name, *words["names"].get(name, [])):
                self.subjects[other] = Subject(other, frozenset({name}), "thing")
        for kind, names in words["kinds"].items():
            self.subjects[kind] = Subject(kind, frozenset(names), "kind")
        for word in words["text"]["words"]:
            self.subjects[word] = Subject(word, frozenset(), "text")

    @cached_property
    def longest(self) -> int:
        """Words of the longest name."""
        return max(len(name.split()) for name in self.subjects)

    def named(self, text: str) -> list[Subject]:
        """What a text names, in order, each once."""
        return list(dict.fromkeys(self._named(_HOW_TO_ANSWER.sub("", text.lower()))))

    def _named(self, text: str) -> Iterator[Subject]:
        words = _WORDS.findall(text)
        at = 0
        while at < len(words):
            for length in range(min(self.longest, len(words) - at), 0, -1):
                subject = self._subject(words[at : at + length])
                if subject is not None and not _describes(words, at, length):
                    yield subject
                    at += length
                    break
            else:
                at += 1

    def _subject(self, words: Sequence[str]) -> Subject | None:
        """What these words name, in the singular or in the plural."""
        *before, noun = words
        for form in (noun, singular(noun), noun.removesuffix("s"), noun.removesuffix("es")):
            phrase = " ".join([*before, form])
            if phrase in self.subjects and phrase not in self.nothing:
                return self.subjects[phrase]
        return None


def class_words() -> dict[str, frozenset[str]]:
    """Nouns that include classes of ImageNet, with the names of those (training.pocket.sight.class_words)."""
    names = [name for name, _ in classes()]
    rows = (line.split("\t") for line in split_lines(files("plugins.pocket").joinpath(WORDS).read_text("utf-8")))
    return {row[0]: frozenset(names[int(at)] for at in row[1].split()) for row in rows if not row[0].startswith("#")}


def _describes(words: Sequence[str], at: int, length: int) -> bool:
    """Whether a word is the colour of the noun behind it: "the orange car"."""
    after = words[at + 1] if at + 1 < len(words) else ""
    return length == 1 and words[at] in _COLOURS and bool(after) and after not in _AFTER_A_NOUN


def refers_back(question: str) -> bool:
    """Whether a question may mean something that was said before: "What colour is it?", "And the other one?" """
    text = re.sub(
        r"\b(?:is|are|was|were) there\b|\bthis (?:picture|image|photo|photograph|scene)\b", " ", question.lower()
    )
    return bool(_BACK.search(text.strip())) or len(text.split()) < 3


def facts_for(question: str, earlier: Sequence[str], sight: Sight, vocabulary: Vocabulary) -> list[str]:
    """The facts that answer a question, in pieces as `sight.entries` makes them; empty if none can be looked up.

    `earlier`: questions and answers so far; they tell what "else" leaves out, and what "it" and "they" mean.
    """
    text = _HOW_TO_ANSWER.sub("", question.lower())
    subjects = vocabulary.named(text)
    if beside := _BESIDE.search(text):
        things = [one for one in subjects if one.kind != "text"]
        if len(things) == 1:
            return _beside(things[0], beside[1] or beside[2], sight, vocabulary)
        if len(things) >= 2:
            return _relation(things[0], things[1], sight, vocabulary)
    if _ELSE.search(text):
        return _others([*subjects, *(one for said in earlier for one in vocabulary.named(said))], sight)
    if not subjects and (spot := _SPOT.search(text)) and "background" not in text:
        return _at(spot[1], sight)
    if _READING.search(text) and not subjects:
        return _text(sight)
    if not subjects and _PEOPLE.search(text):
        return _thing(vocabulary.subjects["person"], sight, vocabulary)
    if not subjects and re.search(r"\b(it|its|they|them|their|he|she|his|her)\b", text):
        subjects = [one for said in earlier[-2:-1] for one in vocabulary.named(said)][:1]
    brief = text != question.lower() and not _OPEN.search(text)
    if brief and not subjects:
        subjects = unknown_nouns(text)
    if subjects and subjects[0].kind == "scene" and subjects[0].names & {*sight.scene} and _AMONG.search(text):
        return []
    pieces: list[str] = []
    for subject in subjects[:2]:
        known = _text(sight) if subject.kind == "text" else _thing(subject, sight, vocabulary, brief=brief)
        if subject.kind == "scene" and known[0].endswith(YES) and _EXTENT.search(text):
            known = [f"{ASKED} {subject.word} {UNKNOWN}"]  # there may be several, anywhere
        pieces += known
    return pieces


def total(question: str, facts: Sequence[str]) -> str:
    """The number in `facts` that answers "How many people are there?", in words; "" for any other question."""
    if not facts or not _TOTAL.fullmatch(without_form(question).lower().strip()):
        return ""
    return facts[0].partition(f" {YES} ")[2]


def asks_for_background(question: str, sight: Sight) -> bool:
    """Whether the colours of the background answer the question: it asks for them, or nothing else is known of it."""
    text = question.lower()
    if not sight.background or not _BACKGROUND.search(text) or re.search(r"\b(?:is|are) there an?y?\b", text):
        return False
    return bool(_COLOUR.search(text)) or not set(sight.scene) - NOT_SEEN


def asks_for_palette(question: str, vocabulary: Vocabulary) -> bool:
    """Whether a question asks for the colours of the whole picture, not of something in it."""
    text = question.lower()
    elsewhere = _BACKGROUND.search(text) or _OF_A_THING.search(text) or vocabulary.named(text)
    return bool(_PALETTE.search(text)) and not elsewhere


def without_form(question: str) -> str:
    """A question without how to answer it: "Is there a dog?" for "Is there a dog? Answer yes or no." """
    text, found = _HOW_TO_ANSWER.subn(" ", question.lower())
    if not found:
        return question
    plain = " ".join(text.strip(" .,:;").split()).removesuffix(" ?")
    return plain if plain.strip("?") and not plain.endswith((":", ",")) else question


def asks_yes_or_no(question: str) -> bool:
    """Whether a question asks for one of these words alone: "Is there a dog? Answer with one word." """
    plain = without_form(question)
    return plain != question and _YES_OR_NO.match(plain) is not None and " or " not in plain


def is_named(seen: Seen, subject: Subject) -> bool:
    """Whether a question that names the subject may mean this entry."""
    if {seen.name, seen.finer} & {subject.word, *subject.names}:
        return True
    # "retriever" for "golden retriever"
    return subject.kind == "class" and subject.word in (seen.name.split()[-1], (seen.finer.split() or [""])[-1])


def _thing(subject: Subject, sight: Sight, vocabulary: Vocabulary, *, brief: bool = False) -> list[str]:
    """Whether there are such things, how many, and their entries.

    `brief`: the answer can only be "yes" or "no", so the likelier of the two is the fact.
    """
    groups = [(one, members) for one, members in sight.groups() if is_named(one, subject)]
    sure = [(one, members) for one, members in groups if one.sure]
    if sure:
        total = sum(one.count for one, _ in sure)
        shown = [entry for one, members in sure for entry in (one, *members)]
        count = [number_words(total)] if len(sure) > 1 or total > 1 else []
        return [" ".join([ASKED, subject.word, YES, *count]), *map(written, shown[:MOST_SHOWN])]
    if brief:
        there = (weighed(subject, sight, vocabulary) or 0.0) > 0
        absent = NO if subject.kind in ("thing", "kind") else UNKNOWN
        return [f"{ASKED} {subject.word} {YES if there else absent}"]
    possible = [one for one, _ in groups] or [one for one in sight.maybe if is_named(one, subject)]
    if possible:
        return [f"{ASKED} {subject.word} {PERHAPS}", written(possible[0])]
    wholes = vocabulary.wholes.get(subject.word, ())
    if any(whole in sight.scene or any(one.sure and one.name == whole for one in sight.things) for whole in wholes):
        return [f"{ASKED} {subject.word} {PERHAPS}"]
    if subject.kind in ("thing", "kind"):
        return [f"{ASKED} {subject.word} {NO}"]
    odds = _odds(subject, sight)
    if sight.odds.get(vocabulary.wider.get(subject.word, ""), 1.0) < ABSENT:
        odds = 0.0
    if odds is None:
        return [f"{ASKED} {subject.word} {UNKNOWN}"]
    scene = subject.kind == "scene"
    yes, perhaps, no = (PRESENT, POSSIBLE, ABSENT) if scene else (CLASS_PRESENT, CLASS_POSSIBLE, CLASS_ABSENT)
    status = YES if odds >= yes else PERHAPS if odds >= perhaps else NO if odds < no else UNKNOWN
    return [f"{ASKED} {subject.word} {status}"]


def _odds(subject: Subject, sight: Sight) -> float | None:
    """Of what a word may mean: the surest scene word, or all classes of ImageNet together. None: nobody knows."""
    known = [sight.odds[name] for name in {subject.word, *subject.names} & sight.odds.keys()]
    if not known:
        return None
    return max(known) if subject.kind == "scene" else min(sum(known), 1.0)


def presence(question: str, sight: Sight, vocabulary: Vocabulary) -> float | None:
    """Log odds that the thing is there that a question such as "Is there a dog in the picture?" asks about.

    None for any other question, and for a thing that was made out for sure: the language model answers these.
    """
    found = _PRESENCE.fullmatch(_HOW_TO_ANSWER.sub("", question.lower()).strip(" .,:;"))
    if found is None:
        return None
    subjects = vocabulary.named(found[1]) or unknown_nouns(f"a {found[1]}")
    if len(subjects) != 1 or subjects[0].kind == "text" or not _is_all(subjects[0], found[1]):
        return None
    if any(one.sure and is_named(one, subjects[0]) for one, _ in sight.groups()):
        return None
    return weighed(subjects[0], sight, vocabulary)


def _is_all(subject: Subject, words: str) -> bool:
    """Whether these words, in the singular or the plural, name the subject and nothing more: no "red car"."""
    return len(subject.word.split()) == len(words.split()) and singular(words) in (subject.word, singular(subject.word))


def weighed(subject: Subject, sight: Sight, vocabulary: Vocabulary) -> float | None:
    """Log odds that a subject is there, from everything that counts for it; None if nothing was kept for that."""
    return None if sight.nouns is None else sight.nouns.log_odds(evidence(subject, sight, sight.nouns, vocabulary))


def evidence(subject: Subject, sight: Sight, nouns: NounEvidence, vocabulary: Vocabulary) -> list[float]:
    """What counts for whether a subject is there, where nothing is sure."""
    from plugins.detector.witness import classes_of

    names = {subject.word, *subject.names}
    if subject.kind in ("thing", "kind"):
        numbers = set[int]().union(*(classes_of().get(name, ()) for name in names))
    else:
        numbers = {number for number, name in phrases().items() if name in names} if subject.kind == "class" else set()
    wholes = (*vocabulary.wholes.get(subject.word, ()), vocabulary.wider.get(subject.word, ""))
    sure = {one.name for one in sight.things if one.sure}
    return nouns.features(
        subject.word,
        numbers,
        weak=any(is_named(one, subject) for one in (*sight.things, *sight.maybe)),
        scene=_odds(subject, sight) if subject.kind == "scene" else None,
        whole=any(whole in sure or sight.odds.get(whole, 0.0) >= WHOLE for whole in wholes),
    )


def unknown_nouns(text: str) -> list[Subject]:
    """The noun of a question such as "Is there a didgeridoo?", which no list of names has."""
    for found in _INDEFINITE.finditer(text):
        words = found[1].split()
        for first in range(len(words)):
            for last in range(len(words), first, -1):
                noun = base(" ".join(words[first:last]), "n")
                if noun and heads().above(noun):
                    return [Subject(noun, frozenset({noun}), "noun")]
    return []


def _text(sight: Sight) -> list[str]:
    if sight.lines:
        return [" ".join([ASKED, TEXT, YES, *LINE_TOKENS[: len(sight.lines)]])]
    return [f"{ASKED} {TEXT} {PERHAPS if sight.blurred else NO if sight.reads else UNKNOWN}"]


def _at(spot: str, sight: Sight) -> list[str]:
    """What is on one side, or in the middle."""
    side = {"center": "middle", "centre": "middle"}.get(spot, spot)
    shown = there(side, sight)
    return [f"{ASKED} {side} {YES if shown else NO}", *map(written, shown)]


def there(side: str, sight: Sight) -> list[Seen]:
    """The sure things at a side, or in the middle; several of one name in one entry."""
    found: list[Seen] = []
    for entry, members in sight.groups():
        near = [one for one in (members or (entry,)) if one.sure and side in (one.column, one.row)]
        found += (
            near if len(near) < 2 else [replace(entry, count=len(near), place=common_place(near), columns=(0, 0, 0))]
        )
    return found[:MOST_SHOWN]


def _others(named: Sequence[Subject], sight: Sight) -> list[str]:
    """What nobody has mentioned yet."""
    others = [
        (one, members)
        for one, members in sight.groups()
        if one.sure and not any(is_named(one, other) for other in named)
    ]
    shown = [entry for one, members in others for entry in (one, *members)]
    return [f"{ASKED} else {YES if shown else NO}", *map(written, shown[:MOST_SHOWN])]


def _placed(subject: Subject, sight: Sight) -> tuple[Seen, tuple[float, float]] | None:
    """The first entry that a subject means, with its centre."""
    for one, spot in zip(sight.things, sight.spots, strict=False):
        if not one.member and one.sure and is_named(one, subject):
            return one, spot
    return None


def sides(one: tuple[float, float], other: tuple[float, float], least: float = 0.08) -> list[str]:
    """How a centre lies to another: "left" or "right", then "above" or "below", where it is clear."""
    across, down = other[0] - one[0], other[1] - one[1]
    found = [] if abs(across) < least else ["left" if across > 0 else "right"]
    return found + ([] if abs(down) < 2 * least else ["above" if down > 0 else "below"])


def _relation(one: Subject, other: Subject, sight: Sight, vocabulary: Vocabulary) -> list[str]:
    """How the first of two things lies to the second."""
    first, second = _placed(one, sight), _placed(other, sight)
    if first is None or second is None or first[0].count > 1 or second[0].count > 1:
        return [*_thing(one, sight, vocabulary)[:2], *_thing(other, sight, vocabulary)[:2]]
    relation = sides(first[1], second[1])
    return [
        f"{ASKED} {one.word} {YES}",
        f"{ASKED} {other.word} {YES}",
        " ".join([ASKED, *(relation or [UNKNOWN])]),
    ]


def _beside(subject: Subject, spot: str, sight: Sight, vocabulary: Vocabulary) -> list[str]:
    """What lies on one side of a thing."""
    place = _placed(subject, sight)
    if place is None or place[0].count > 1:
        return _thing(subject, sight, vocabulary)[:2]
    side = {"under": "below", "beneath": "below", "over": "above"}.get(spot, spot)
    there = [
        one
        for one, where in zip(sight.things, sight.spots, strict=False)
        if one.sure and one is not place[0] and one.count == 1 and side in sides(where, place[1])
    ]
    return [
        f"{ASKED} {subject.word} {YES}",
        f"{ASKED} {side} {YES if there else NO}",
        *map(written, there[:MOST_SHOWN]),
    ]
