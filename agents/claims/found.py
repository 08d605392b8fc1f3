"""The claims of a caption as they are found, with their sentences."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from agents.claims import words
from agents.claims.phrases import Phrase, Token
from core import nouns
from core.records import Claim, ClaimKind

PICTURE: Final = "picture"  # what claims about the whole picture are about
# Verbs whose last consonant is doubled before "-ing".
_DOUBLED: Final = frozenset(
    "sit run swim cut put hit get jog hug pet set chat grab stop nap hop dig beg shop skip spin step tip wrap".split()
)
_SPACE: Final = re.compile(r"\s+")


@dataclass(slots=True)
class FoundClaims:
    """The claims of a text so far; `token` is the clause that is read."""

    text: str
    claims: list[Claim] = field(default_factory=list)
    phrases: dict[int, Phrase] = field(default_factory=dict)  # of the claims of things
    token: list[Token] = field(default_factory=list)
    made: dict[tuple[object, ...], int] = field(default_factory=dict)  # what was claimed -> its index

    def thing(self, phrase: Phrase) -> int:
        """The claim that a thing is there, or the earlier one that the phrase refers to, with all that it says."""
        index = self.known(phrase)
        if index is None:
            index = self.add_thing(phrase)
        self.add_attributes(phrase, index)
        if phrase.count and phrase.count != "1":
            self.add_number(index, phrase.count, self.token[phrase.counted_at])
        return index

    def add_thing(self, phrase: Phrase) -> int:
        """The claim that a thing is there; returns its index."""
        name = " ".join(phrase.name)
        index = self.add("thing", named(name), phrase.about, "", self.span(phrase.first, phrase.last), parent=None)
        self.phrases[index] = phrase
        return index

    def add_number(self, index: int, count: str, one: Token) -> None:
        """How many of a thing there are; `one` is the word that says it."""
        said, name = "two" if one.text in words.PAIRS else one.text, self.name(index)
        text = f"{said} {name if count == '1' else nouns.plural(name)}"
        self.add("number", text, self.claims[index].about, count, (one.start, one.end), index)

    def known(self, phrase: Phrase) -> int | None:
        """The thing that was named before, for "the dog" and for "women are"."""
        bare = not phrase.determiner and not phrase.count and phrase.plural
        if phrase.determiner not in words.DEFINITE and not bare:
            return None
        return next((index for index in reversed(self.phrases) if self.claims[index].about == phrase.about), None)

    def add_attributes(self, phrase: Phrase, index: int) -> None:
        for word, at in phrase.modifiers:
            if word not in words.EMPTY and word not in words.DETERMINERS:
                self.add_attribute(index, word, self.token[at].start, self.token[at].end)

    def add_attribute(self, index: int, word: str, start: int, end: int) -> None:
        about = self.claims[index].about
        word = words.SAME_COLOUR.get(word, word)
        name = self.name(index)
        self.add("attribute", named(f"{word} {name}"), about, word, (start, end), index)

    def add_count_of_anything(self, phrase: Phrase) -> None:
        """ "three things": how much there is to see."""
        if phrase.about in ("thing", "object", "item") and phrase.count.isdecimal():
            text = " ".join(one.text for one in self.token[phrase.counted_at : phrase.last])
            self.add("number", text, phrase.about, phrase.count, self.span(phrase.counted_at, phrase.last), None)

    def add_of_picture(self, value: str, start: int, end: int) -> None:
        text = f"the main colours include {value}" if value in words.COLOURS else f"the picture is {value}"
        self.add("attribute", text, PICTURE, value, (start, end), None)

    def add(self, kind: ClaimKind, text: str, about: str, value: str, span: tuple[int, int], parent: int | None) -> int:
        """Add a claim, unless it was made before; returns its index."""
        key = (kind, about, value, parent, len(self.claims) if kind == "thing" else 0)
        if key in self.made:
            return self.made[key]
        self.made[key] = len(self.claims)
        self.claims.append(
            Claim(text=text, kind=kind, start=span[0], end=span[1], about=about, value=value, parent=parent)
        )
        return len(self.claims) - 1

    def span(self, first: int, last: int) -> tuple[int, int]:
        return self.token[first].start, self.token[last - 1].end

    def said(self, first: int, last: int) -> str:
        start, end = self.span(first, last)
        return _SPACE.sub(" ", self.text[start:end].lower().replace("’", "'"))

    def name(self, index: int) -> str:
        return " ".join(self.phrases[index].name) if index in self.phrases else self.claims[index].about

    def plural(self, index: int) -> bool:
        return index in self.phrases and self.phrases[index].plural

    def the(self, index: int) -> str:
        return f"the {self.name(index)}"

    def be(self, index: int) -> str:
        return "are" if self.plural(index) else "is"


def named(name: str) -> str:
    """A noun with its article: "a dog", "dogs", "grass"."""
    head = name.split()[-1]
    return name if nouns.is_plural(head) or nouns.is_mass(head) else nouns.with_article(name)


def plain(said: str) -> str:
    """`said` without articles and determiners."""
    return " ".join(word for word in said.split() if word not in words.DETERMINERS)


def joined_place(found: list[str]) -> str:
    """One place in the order that words.PLACE_ORDER gives: "top left"."""
    return " ".join(sorted(dict.fromkeys(found), key=words.PLACE_ORDER.index))


def at_place(place: str) -> str:
    """ "top left" -> "at the top left"."""
    if place in ("left", "right"):
        return f"on the {place}"
    if place in ("middle", "foreground", "background"):
        return f"in the {place}"
    return f"at the {place}"


def ing(base: str) -> str:
    """ "ride" -> "riding"."""
    if base in ("lie", "die", "tie"):
        return f"{base[:-2]}ying"
    if base.endswith("e") and not base.endswith(("ee", "oe", "ye")) and base != "be":
        return f"{base[:-1]}ing"
    if base in _DOUBLED:
        return f"{base}{base[-1]}ing"
    return f"{base}ing"
