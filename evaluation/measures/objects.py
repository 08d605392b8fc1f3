"""Which objects a caption mentions, by names and synonyms, as CHAIR counts them.

Rohrbach et al. 2018, "Object Hallucination in Image Captioning" (https://arxiv.org/abs/1809.02156) and
https://github.com/LisaAnne/Hallucination. The built-in synonyms are this project's own; `--synonyms` reads the
original's file of the same format: one object a line, its name first, separated by commas.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from agents.claims import words
from agents.claims.phrases import singular
from core.datasets.text_lines import split_lines
from core.errors import UsageError, printable, why
from core.nouns import plural

BUILT_IN: Final = Path(__file__).with_name("coco_synonyms.txt")
_WORD: Final = re.compile(r"[^\W\d_]++(?:'[^\W\d_]++)*+")
# What a word before an animal or a vehicle is no object by itself: "baby elephant", "passenger jet".
_YOUNG: Final = ("baby", "adult")
_ANIMALS: Final = "bird cat dog horse sheep cow elephant bear zebra giraffe animal cub".split()
_FOR_PEOPLE: Final = ("jet", "train")
_NO_OBJECTS: Final = ("home plate",)
# Words of captions that name no object, though labels of other data than COCO's may be called so.
_NO_NAMES: Final = words.PICTURE | words.AUXILIARIES
_SAME: Final = {"bow tie": "tie", "toilet seat": "toilet"}

Phrase = tuple[str, ...]


@dataclass(frozen=True)
class ObjectNames:
    """Names of objects: phrase -> object; "" for a phrase that hides an object's name and is none."""

    phrases: Mapping[Phrase, str]
    sha256: str
    source: str

    @cached_property
    def longest(self) -> int:
        return max(map(len, self.phrases), default=1)

    def mentions(self, text: str) -> list[str]:
        """The objects that a text mentions, each as often as it does; the longest name counts."""
        said = words_of(text)
        if "toilet" in said:
            said = [word for word in said if word != "seat"]
        found: list[str] = []
        at = 0
        while at < len(said):
            sizes = range(min(self.longest, len(said) - at), 0, -1)
            size = next((size for size in sizes if tuple(said[at : at + size]) in self.phrases), 0)
            if size and (name := self.phrases[tuple(said[at : at + size])]):
                found.append(name)
            at += size or 1
        return found


def words_of(text: str) -> list[str]:
    """The words of a text in lower case and in the singular."""
    return [singular(word) for word in _WORD.findall(text.lower().replace("’", "'"))]


def object_names(categories: Sequence[str], file: Path | None = None) -> ObjectNames:
    """The names of these objects, with the synonyms of a file (default: built in); others are called what they are.

    "picture" and the like are no names, since captions begin with them. Raises UsageError for a file that cannot be
    read or has none of the objects.
    """
    path = file or BUILT_IN
    try:
        content = path.read_bytes()
        lines = split_lines(content.decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = why(error) if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"--synonyms '{printable(path)}' cannot be read: {reason}.") from None
    listed = [[name.strip().lower() for name in line.split(",") if name.strip()] for line in lines]
    synonyms = {names[0]: names for names in listed if names}
    wanted = {name.lower() for name in categories} - _NO_NAMES
    if file is not None and not wanted & synonyms.keys():
        raise UsageError(
            f"--synonyms '{printable(path)}' has none of the objects of the data, such as '{categories[0]}'."
        )
    phrases: dict[Phrase, str] = {}
    for name in sorted(wanted):
        for synonym in (name, *synonyms.get(name, ())):
            phrases.setdefault(tuple(words_of(synonym)), name)
            if " " in synonym:  # "wine glasses", whose last word alone is no plural of "glass"
                phrases.setdefault(tuple(words_of(plural(synonym))), name)
    _add_special(phrases)
    return ObjectNames(phrases, hashlib.sha256(content).hexdigest(), "built in" if file is None else str(path))


def _add_special(phrases: dict[Phrase, str]) -> None:
    """CHAIR's hard-coded rules for two words that mean something else than one of them."""
    for before, nouns in ((_YOUNG, _ANIMALS), (("passenger",), _FOR_PEOPLE)):
        for one in before:
            for noun in nouns:
                phrases.setdefault((one, noun), phrases.get((noun,), ""))
    for phrase in _NO_OBJECTS:
        phrases.setdefault(tuple(words_of(phrase)), "")
    for phrase, same in _SAME.items():
        phrases.setdefault(tuple(words_of(phrase)), phrases.get((same,), ""))


def present(names: ObjectNames, objects: Iterable[str], captions: Iterable[str]) -> set[str]:
    """The objects that are there: those of the labels and those that the reference captions mention."""
    return ({name.lower() for name in objects} - _NO_NAMES).union(*map(names.mentions, captions))
