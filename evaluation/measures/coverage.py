"""ChatCaptioner's rule: an object is covered if a noun of the caption is near it in WordNet.

Zhu et al. 2023, "ChatGPT Asks, BLIP-2 Answers" (https://arxiv.org/abs/2303.06594, section 4.2 and obj_cover.ipynb): any
two senses have a Wu-Palmer similarity over 0.9, or one is among the hyponyms of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from agents.claims import words
from agents.claims.extract import extract_claims
from agents.claims.phrases import is_adjective, tokens
from core.english import wordnet

SIMILAR: Final = 0.9
_NO_NOUNS: Final = (
    words.DETERMINERS | words.COPULAS | words.AUXILIARIES | words.NO_RELATION | words.PRONOUNS - {"someone", "somebody"}
)


def nouns_in(text: str) -> list[str]:
    """The nouns of a caption: its things, words that texts mostly use as nouns, and pairs of words."""
    spoken = [one.text if one.kind != "quote" else "" for one in tokens(text)]
    found = [claim.about for claim in extract_claims(text) if claim.kind == "thing" and claim.about]
    found += [word for before, word in zip(["", *spoken], spoken, strict=False) if _is_noun(word, before)]
    pairs = (f"{one} {other}" for one, other in zip(spoken, spoken[1:], strict=False) if one and other)
    return list(dict.fromkeys([*found, *(pair for pair in pairs if wordnet.base(pair, "n"))]))


@lru_cache(maxsize=8192)
def _is_noun(word: str, before: str) -> bool:
    """Whether a word is a noun: by its usual part of speech, or because it follows a determiner or an adjective."""
    uses = wordnet.uses(word)
    if "n" not in uses or word in _NO_NOUNS:
        return False
    return uses["n"] >= max(uses.values()) or before in words.DETERMINERS or (is_adjective(before) and word != before)


def covered(objects: Iterable[str], caption: str) -> list[str]:
    """The objects that a caption covers."""
    nouns = nouns_in(caption)
    return [one for one in objects if covers(nouns, one)]


def covers(nouns: Sequence[str], name: str) -> bool:
    """Whether one of the nouns is near the object."""
    return any(is_near("person" if noun == "people" else noun, name.lower()) for noun in nouns)


@lru_cache(maxsize=65536)
def is_near(noun: str, name: str) -> bool:
    """Whether any two senses of the words are similar, or one is a kind of the other."""
    if noun == name:
        return True
    ours, others = wordnet.senses(noun), wordnet.senses(name)
    return any(
        one in wordnet.steps_up(other) or other in wordnet.steps_up(one) or wordnet.similarity(one, other) > SIMILAR
        for one in ours
        for other in others
    )
