"""Singular, plural and article of English nouns.

Exact for the nouns that answers about images use; any other noun follows the regular spelling rules.
"""

from __future__ import annotations

import re
from typing import Final

_IRREGULAR: Final = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "mice": "mouse", "geese": "goose",
    "feet": "foot", "teeth": "tooth", "leaves": "leaf", "knives": "knife", "shelves": "shelf", "wolves": "wolf",
    "loaves": "loaf", "calves": "calf", "oxen": "ox", "cacti": "cactus", "firemen": "fireman",
    "policemen": "policeman", "snowmen": "snowman", "halves": "half", "potatoes": "potato", "tomatoes": "tomato",
    "buses": "bus", "lenses": "lens",
}  # fmt: skip
_PLURAL: Final = {one: many for many, one in _IRREGULAR.items()}
_SINGULAR_IN_S: Final = frozenset(
    """bus lens tennis gas canvas christmas atlas iris octopus cactus walrus hippopotamus news chess circus virus
    platypus rhinoceros triceratops proboscis harness mattress compass goddess hibiscus asparagus campus citrus
    chassis""".split()
)
_ALWAYS_PLURAL: Final = frozenset(
    "glasses scissors pants trousers jeans shorts sunglasses clothes binoculars tongs pajamas".split()
)
_MASS: Final = frozenset(
    """sheep fish deer water grass snow sand food fruit bread rice milk coffee tea cheese hay furniture clothing fur
    toilet-paper paper bamboo soup guacamole ice broccoli corn wood text writing wine beer art money dirt mud sky
    traffic luggage equipment jewelry jewellery foliage greenery vegetation pasta spaghetti meat chocolate
    hair""".split()
)

_PROPER: Final = {
    word: word.capitalize()
    for word in """egyptian persian siamese german english american african asian indian chinese japanese french italian
    spanish scottish irish welsh european australian tibetan siberian alaskan norwegian mexican arctic brazilian russian
    dutch swiss greek roman tasmanian bernese afghan ibizan rhodesian boston yorkshire norfolk norwich christmas
    labrador shetland newfoundland pembroke cardigan""".split()
} | {"tv": "TV", "tvs": "TVs", "ipod": "iPod", "ipods": "iPods"}
_LOWER: Final = re.compile(r"\b[a-z]+\b")


def capitalised(text: str) -> str:
    """The text with a capital in names of breeds and kinds that need one: "an Egyptian cat"."""
    return _LOWER.sub(lambda word: _PROPER.get(word[0], word[0]), text)


def singular(word: str) -> str:
    """The singular of a noun, or the noun itself."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if not is_plural(word) or word in _ALWAYS_PLURAL:
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(s|x|z|ch|sh)es$", word):
        return word[:-2]
    return word[:-1]


def plural(word: str) -> str:
    """The plural of a noun, or the noun itself where it is plural or has none."""
    if is_plural(word) or word in _MASS:
        return word
    if word in _PLURAL:
        return _PLURAL[word]
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"(s|x|z|ch|sh)$", word) else "s")


def is_plural(word: str) -> bool:
    """Whether a noun looks like a plural."""
    if word in _IRREGULAR or word in _ALWAYS_PLURAL:
        return True
    return word.endswith("s") and not word.endswith(("ss", "us", "is", "'s")) and word not in _SINGULAR_IN_S


def is_mass(word: str) -> bool:
    """Whether a noun goes without an article ("grass", "water")."""
    return word in _MASS


def with_article(phrase: str) -> str:
    """`phrase` with "a" or "an" before it."""
    vowel = re.match(r"(?i)(?:[aeio]|u(?!n[iu]|s[aeiu]|r[iae]|t[ie])|hour|honest)", phrase)
    return f"{'an' if vowel and not re.match(r'(?i)(one|eu|once)', phrase) else 'a'} {phrase}"
