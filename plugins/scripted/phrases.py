"""Parse noun phrases, the grammar that the parser of answers is based on."""

from __future__ import annotations

import re

from core import nouns
from plugins.scripted import lexicon
from plugins.scripted.knowledge import Phrase

_MULTIWORD = sorted((p.split() for p in lexicon.PREPOSITIONS), key=len, reverse=True)
PREPOSITION_HEADS = frozenset(parts[0] for parts in _MULTIWORD)


def tokens(text: str) -> list[str]:
    """Words and commas. "black-and-white" is split, other hyphens stay."""
    text = re.sub(r"\b([a-z]+)-and-([a-z]+)\b", r"\1 and \2", text.lower())
    return re.findall(r"[^\W_]+(?:['-]+[^\W_]+)*|,", text)


def plain_colour(word: str) -> str:
    return {"gray": "grey"}.get(word, word)


def is_verb_in_ing(token: str) -> bool:
    return token.endswith("ing") and len(token) > 4 and token not in lexicon.NOUNS_IN_ING


def closed(token: str) -> bool:
    """Whether a word cannot be part of a name."""
    return (
        token == ","
        or token in PREPOSITION_HEADS
        or token in lexicon.DETERMINERS
        or token in lexicon.PRONOUNS
        or token in lexicon.COPULAS
        or token in lexicon.ADVERBS
        or token in ("and", "or", "but", "while", "with", "because", "so", "when", "where", "not", "'s", "if")
    )


def is_estimate(token: list[str], at: int) -> bool:
    """Whether "about seven" starts at `at`."""
    return token[at] in lexicon.ESTIMATES and any(word in lexicon.COUNTS[2:] for word in token[at + 1 : at + 2])


def preposition(token: list[str], at: int) -> int:
    """Number of words of the preposition that starts at `at`; 0 if there is none."""
    if is_estimate(token, at):
        return 0
    for parts in _MULTIWORD:
        if token[at : at + len(parts)] == parts:
            return len(parts)
    return 0


def noun_phrase(token: list[str], at: int) -> tuple[Phrase | None, int]:
    """The noun phrase that starts at `at`, and its end; (None, at) if none starts there."""
    phrase = Phrase()
    start = at
    number_word = ""
    while at < len(token):
        word = token[at]
        following = token[at + 1] if at + 1 < len(token) else ""
        if word in lexicon.DETERMINERS and word != "no":
            phrase.bare = False
            phrase.article = "a" if word in ("a", "an") else phrase.article
            phrase.definite |= word in ("the", "this", "that", "these", "those", "its", "his", "her", "their")
        elif word in lexicon.QUANTITIES and following == "of":
            phrase.number, phrase.bare = lexicon.QUANTITIES[word], False
            at += 1
        elif is_estimate(token, at):
            phrase.number, phrase.bare, number_word = f"{word} {following}", False, following
            at += 1
        elif word in lexicon.NUMBERS and word not in ("0",):
            phrase.number, phrase.bare, number_word = lexicon.NUMBERS[word], phrase.bare and word == "some", word
        elif word in lexicon.SHADES and following in lexicon.COLOURS:
            phrase.colours.append(f"{word} {plain_colour(following)}")
            at += 1
        elif word in lexicon.COLOURS:
            phrase.colours.append(plain_colour(word))
            nextword = token[at + 2] if at + 2 < len(token) else ""
            joined = following in ("and", ",") and (nextword in lexicon.COLOURS or nextword in lexicon.SHADES)
            if joined:
                at += 1
        elif word in lexicon.ADVERBS and at > start and word not in ("there", "here", "now", "as"):
            pass
        elif word in lexicon.ADJECTIVES and following and (not closed(following) or following in lexicon.COLOURS):
            if not nouns.is_plural(following) or word not in ("other", "various", "different", "both", "main"):
                pass
            if word not in ("other", "various", "different", "main", "visible"):
                phrase.adjectives.append(word)
        else:
            break
        at += 1
    names: list[str] = []
    named_by_article = token[at - 1 : at] in (["a"], ["an"]) and at > start
    while at < len(token):
        word = token[at]
        following = token[at + 1] if at + 1 < len(token) else ""
        ends = not following or closed(following)
        if not names and named_by_article and ends and (word in lexicon.ADVERBS or is_verb_in_ing(word)):
            names, at = [word], at + 1  # "a well", "a brambling"
            break
        if closed(word) or (
            names
            and word in lexicon.FINITE | lexicon.PARTICIPLES
            and not (word == "can" and ends and following not in lexicon.COPULAS)
        ):
            break
        if is_verb_in_ing(word) and (names or not following or closed(following)):
            break
        if not names and word in lexicon.FINITE | lexicon.PARTICIPLES and not (phrase.article or phrase.definite):
            break
        names.append(word)
        at += 1
    if not names:
        last = token[at - 1] if at > start else ""
        if last in ("orange", "lavender", "olive") and not phrase.bare and phrase.colours:  # the fruit, the plant
            phrase.colours.pop()
            names = [last]
        elif last in ("one", "others", "other") or number_word == last or not phrase.colours:
            return None, start
    if phrase.number == "some":
        phrase.number, phrase.article = "", "some"
    phrase.name, phrase.head = " ".join(names), names[-1] if names else ""
    if (
        phrase.head
        and at < len(token)
        and token[at] == "of"
        and phrase.head not in lexicon.NO_THINGS - lexicon.TRANSPARENT
    ):
        inner, end = noun_phrase(token, at + 1)
        if inner and inner.name:
            if phrase.head in lexicon.TRANSPARENT:
                inner.definite = False
                return inner, end
            group = phrase.head in lexicon.GROUPS
            phrase.name = f"{phrase.name} of {' '.join(token[at + 1 : end])}"
            phrase.head = inner.head if group else phrase.head
            return phrase, end
    return phrase, at


def names_nothing(phrase: Phrase) -> bool:
    """ "the left side" names nothing, an entertainment center does."""
    first = phrase.name.split()[0] if phrase.name else ""
    centre = phrase.head in ("center", "centre") and first not in lexicon.NO_THINGS
    return phrase.head in lexicon.NO_THINGS and not (centre and first != phrase.head)


def plain(phrase: Phrase) -> str:
    text = " ".join([*phrase.adjectives, *phrase.colours, phrase.name])
    if phrase.number:
        return f"{phrase.number} {text}"
    return text if nouns.is_plural(phrase.head) or nouns.is_mass(phrase.head) else nouns.with_article(text)
