"""Tokens and noun phrases of a caption, each with its span."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from agents.claims import words
from core import nouns
from core.english import wordnet

_TOKEN: Final = re.compile(
    r"""(?P<quote>["“«][^"”»\n]{1,200}+["”»])|(?P<number>\d++(?:[.,:]\d++)*+)|(?P<word>[^\W\d_]++(?:['’-][^\W\d_]++)*+)"""
    r"""|(?P<sign>[.!?;:,()\n])"""
)
ENDS: Final = frozenset(".!?;:\n")


class Token(NamedTuple):
    """A word in lower case, a number, a quotation or a sign, with its place in the text."""

    text: str
    kind: str  # "word", "number", "quote", "sign"
    start: int
    end: int


@dataclass(slots=True)
class Phrase:
    """A noun phrase: tokens `first` to before `last`."""

    first: int
    last: int
    determiner: str = ""
    count: str = ""  # "3", "several"; "" where it is not counted
    counted_at: int = -1
    modifiers: list[tuple[str, int]] = field(default_factory=list)  # (word, token)
    name: list[str] = field(default_factory=list)  # nouns, the head last
    outer: list[tuple[str, int]] = field(default_factory=list)  # of "a black and white photo of"

    @property
    def head(self) -> str:
        return self.name[-1] if self.name else ""

    @property
    def about(self) -> str:
        return singular(self.head)

    @property
    def plural(self) -> bool:
        return nouns.is_plural(self.head) or self.count not in ("", "1")

    @property
    def thing(self) -> bool:
        """Whether it names a thing that can be seen."""
        return bool(self.name) and self.about not in words.NO_THINGS and is_visible(self.about)


def tokens(text: str) -> list[Token]:
    """The tokens of a text, in order."""
    return [
        Token(match[0].lower().replace("’", "'"), match.lastgroup or "", match.start(), match.end())
        for match in _TOKEN.finditer(text)
    ]


@lru_cache(maxsize=8192)
def singular(word: str) -> str:
    """The singular of a noun, after WordNet where it has the word."""
    if nouns.singular(word) != word and wordnet.known(nouns.singular(word), "n"):
        return nouns.singular(word)
    return (nouns.is_plural(word) and wordnet.base(word, "n")) or nouns.singular(word)


@lru_cache(maxsize=8192)
def is_visible(noun: str) -> bool:
    """Whether a noun names something with a body, a place or a group; a word that is not in WordNet may."""
    if not wordnet.known(noun, "n") or noun in words.VISIBLE:
        return True
    return any(wordnet.is_kind_of(noun, kind) for kind in ("physical entity", "group", "shape"))


@lru_cache(maxsize=8192)
def is_alive(noun: str) -> bool:
    """Whether a noun names a person or an animal."""
    return noun in ("people", "person") or any(wordnet.is_mainly(noun, kind) for kind in ("person", "animal"))


@lru_cache(maxsize=8192)
def is_of_body(noun: str) -> bool:
    """Whether a noun names a part of a body."""
    return wordnet.is_kind_of(noun, "body part")


@lru_cache(maxsize=8192)
def verb(word: str) -> str:
    """The base form of a verb; "" for another word."""
    if word in words.COPULAS:
        return "be"
    return wordnet.base(word, "v")


@lru_cache(maxsize=8192)
def is_finite(word: str) -> bool:
    """Whether a word behind a noun is rather a verb than a noun: "stands", "reads", "sat"."""
    if word in words.COPULAS | words.AUXILIARIES:
        return True
    uses = wordnet.uses(word)
    if "v" not in uses or word.endswith("ing") or word in words.NEVER_VERBS:
        return False
    if word.endswith("ed") or "n" not in uses:
        return True
    return uses["v"] > uses["n"] and (word != wordnet.base(word, "v") or uses["v"] > 20 * uses["n"])


@lru_cache(maxsize=8192)
def is_usual_verb(word: str) -> bool:
    """Whether a word in its base form is more often a verb than a noun: "run", "eat"."""
    uses = wordnet.uses(word)
    return verb(word) == word and uses["v"] > uses.get("n", 0)


@lru_cache(maxsize=8192)
def is_ing(word: str) -> bool:
    return word.endswith("ing") and word not in words.NOUNS_IN_ING and bool(wordnet.base(word, "v"))


def is_noun(word: str) -> bool:
    """Whether a word can be a noun."""
    return bool(wordnet.base(word, "n"))


@lru_cache(maxsize=8192)
def is_noun_only(word: str) -> bool:
    """Whether a word before a noun is part of its name rather than an adjective: "cement", "picnic"."""
    return is_noun(word) and not (is_adjective(word) or is_participle(word) or word.endswith("ing"))


@lru_cache(maxsize=8192)
def is_participle(word: str) -> bool:
    """ "parked", "covered", "made": a form of a verb that can stand behind its noun."""
    base = wordnet.base(word, "v")
    return bool(base) and base != word and not word.endswith(("s", "ing")) and "n" not in wordnet.uses(word)


@lru_cache(maxsize=8192)
def is_adjective(word: str) -> bool:
    """Whether a word before a noun is rather an adjective than a part of its name."""
    if word in words.COLOURS or word in words.MATERIALS:
        return True
    uses = wordnet.uses(word)
    if "a" in uses:
        return uses["a"] >= uses.get("n", -1) or word.endswith(("ed", "y"))
    if wordnet.base(word, "a") and "n" not in uses:
        return True
    return word.endswith(("-shaped", "-colored", "-coloured", "-haired", "-sized"))


def closed(token: Token) -> bool:
    """Whether a token cannot be part of a noun phrase behind its determiner."""
    text = token.text
    return (
        token.kind in ("sign", "quote")
        or text in words.DETERMINERS
        or text in words.PRONOUNS
        or text in words.COPULAS
        or text in words.AUXILIARIES
        or text in words.NEGATIONS
        or text in words.HEDGES
        or text in _PREPOSITION_HEADS
        or text in ("and", "or", "but", "while", "so", "when", "where", "if", "because", "although", "whose")
    )


_PREPOSITION_HEADS: Final = frozenset(parts[0] for parts in words.PREPOSITIONS)


def preposition(token: list[Token], at: int) -> int:
    """The number of tokens of the preposition that starts at `at`; 0 if there is none."""
    if at >= len(token) or token[at].text not in _PREPOSITION_HEADS:
        return 0
    for parts in words.PREPOSITIONS:
        if tuple(one.text for one in token[at : at + len(parts)]) == parts:
            return len(parts)
    return 0


def noun_phrase(token: list[Token], at: int, depth: int = 0) -> Phrase | None:
    """The noun phrase that starts at `at`; None if none starts there. "one" and "both" alone have no name."""
    phrase = Phrase(at, at)
    at = _modifiers(token, at, phrase)
    determined = at > phrase.first
    while at < len(token) and token[at].kind == "word":
        text = token[at].text
        if is_adjective(text) and at + 1 < len(token) and token[at + 1].text in ("one", "ones"):
            return None  # "the younger one": what was named before
        if closed(token[at]) or (phrase.name and (is_ing(text) or is_finite(text) or text in words.ADVERBS)):
            break
        if (
            not determined
            and not phrase.name
            and (
                is_ing(text)
                or (is_finite(text) and "n" not in wordnet.uses(text))
                or text in words.ADVERBS
                or (is_adjective(text) and not nouns.is_plural(text))
            )
        ):
            break
        if phrase.name and nouns.is_plural(phrase.name[-1]) and _acts(token, at):
            break  # "cars drive along a road"
        if phrase.name and text in _NO_NOUNS and preposition(token, at + 1):
            break  # "dogs with brown fur lie on a couch"
        if phrase.name and is_alive(phrase.name[-1]) and text.endswith("s") and verb(text) not in ("", text):
            break  # "a dog barks"
        told = phrase.first > 0 and token[phrase.first - 1].text in words.COPULAS  # "that is brown runs"
        if told and phrase.modifiers and not (phrase.name or phrase.determiner or phrase.count) and is_finite(text):
            break
        if phrase.name and phrase.about in words.PICTURE and verb(text) in words.SHOWS:
            break
        phrase.name.append(text)
        at += 1
    if not phrase.name:  # "the orange": a colour or an adjective that is a noun here
        following = token[at].text if at < len(token) else ""
        if following == "of" and at + 1 < len(token) and token[at + 1].text in words.DEFINITE and depth < 3:
            return _some_of(token, at, phrase, depth)
        if phrase.modifiers and phrase.determiner and wordnet.known(phrase.modifiers[-1][0], "n"):
            phrase.name.append(phrase.modifiers.pop()[0])
        elif not phrase.count:
            return None
    phrase.last = at
    if phrase.name and depth < 3 and at < len(token) and token[at].text == "of":
        return _of(token, at, phrase, depth)
    _compound(phrase, at)
    return phrase


_NO_NOUNS: Final = frozenset("lie sit lean kneel crouch sleep lay".split())  # behind a noun, rather verbs


def _acts(token: list[Token], at: int) -> bool:
    """Whether the word at `at` may be a verb of the plural before it: "clouds cover the sky"."""
    text, before = token[at].text, token[at - 1].text
    following = token[at + 1].text if at + 1 < len(token) else ""
    if verb(text) != text or text in words.NEVER_VERBS:
        return False
    if following in words.DETERMINERS | words.ADVERBS or preposition(token, at + 1) > 0:
        return True
    usual = is_usual_verb(text)
    return (is_alive(before) and usual) or (following in ("", ",", "and") and (is_alive(before) or usual))


def _some_of(token: list[Token], at: int, phrase: Phrase, depth: int) -> Phrase | None:
    """ "one of the chairs" is about chairs, and does not count them."""
    inner = noun_phrase(token, at + 1, depth + 1)
    if inner is not None:
        inner.first = phrase.first
    return inner


def _of(token: list[Token], at: int, phrase: Phrase, depth: int) -> Phrase:
    """ "a group of children" is about children, "a picture of a dog" about the dog; "a plate of food" stays a plate."""
    inner = noun_phrase(token, at + 1, depth + 1) if phrase.about in words.TRANSPARENT | words.GROUPS else None
    if inner and inner.name:
        inner.first = phrase.first
        if phrase.about in words.PICTURE:
            inner.outer = phrase.modifiers
        inner.determiner = phrase.determiner if phrase.about in words.GROUPS else inner.determiner
        if phrase.about in words.PAIRS and not inner.count and inner.about not in ("glasses", "pants", "shoes"):
            inner.count, inner.counted_at = "2", phrase.last - 1
        return inner
    _compound(phrase, at)
    return phrase


def _compound(phrase: Phrase, at: int) -> None:
    """ "city street": "city" says something of the street, where the two are no word together."""
    while len(phrase.name) > 1 and not _is_word(f"{phrase.name[-2]} {phrase.about}"):
        position = at - len(phrase.name)
        word = phrase.name.pop(0)
        if word not in words.PLACE_WORDS:
            phrase.modifiers.append((word, position))


def _is_word(pair: str) -> bool:
    return pair in words.PAIRED or wordnet.known(pair, "n")


def _says_nothing(text: str, following: Token | None, goes_on: bool) -> bool:
    """ "dark" before a colour, "very", "the man's"."""
    if text in words.SHADES and following is not None and following.text in words.COLOURS:
        return True
    return goes_on and (text in ("very", "mostly", "quite", "rather", "slightly") or text.endswith("'s"))


def _modifiers(token: list[Token], at: int, phrase: Phrase) -> int:
    """Read determiner, number and adjectives; returns where the nouns begin."""
    while at < len(token):
        text, kind = token[at].text, token[at].kind
        following = token[at + 1] if at + 1 < len(token) else None
        goes_on = following is not None and following.kind == "word" and not closed(following)
        if text in words.DETERMINERS:
            if text in ("this", "that", "these", "those", "her") and not goes_on:
                break
            phrase.determiner = phrase.determiner or text
        elif kind == "number" and text.isdigit():
            phrase.count, phrase.counted_at = str(int(text)), at
        elif text in words.COUNTS:
            phrase.count, phrase.counted_at = str(words.COUNTS[text]), at
        elif text in words.VAGUE_COUNTS:
            phrase.count, phrase.counted_at = text, at
        elif kind != "word":
            if text != "," or not phrase.modifiers or not (goes_on and following and is_adjective(following.text)):
                break
        elif text == "and":
            if not phrase.modifiers or not (following and following.text in words.COLOURS):
                break
        elif text in words.MATERIALS and following is not None and verb(following.text) in _NO_NOUNS:
            break  # "brown fur lies"
        elif _says_nothing(text, following, goes_on):
            pass
        elif phrase.modifiers and text in words.COLOURS and _is_word(f"{phrase.modifiers[-1][0]} {text}"):
            phrase.name += [phrase.modifiers.pop()[0], text]  # "ice cream"
            return at + 1
        elif text in words.COLOURS or (is_adjective(text) and not closed(token[at])):
            stands = following is not None and following.text in ("and", ",")
            if not goes_on and not (stands and text in words.COLOURS) and text not in words.COLOURS:
                break
            if text not in words.EMPTY and text not in words.PLACE_WORDS:
                phrase.modifiers.append((text, at))
        elif goes_on and (is_ing(text) or is_participle(text)) and phrase.determiner not in ("",):
            phrase.modifiers.append((text, at))
        else:
            break
        at += 1
    return at
