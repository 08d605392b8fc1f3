"""A vocabulary of tags: which of its entries stands for a word.

vocabulary = read_vocabulary(Path("tags.csv"))
vocabulary.entry("poodle")          # "dog", if it has that and not "poodle"
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from agents.claims.phrases import singular
from agents.claims.words import WHERE
from agents.text.cleaning import plain_text
from core.datasets.text_lines import Lines
from core.english import wordnet
from core.errors import UsageError, printable, why

LONGEST: Final = 100  # characters of a tag
MOST: Final = 500_000
_APART: Final = re.compile(r"[\s_]+")
_NO_LETTERS: Final = re.compile(r"[\W_]+")


@lru_cache(maxsize=65536)
def base_tag(tag: str) -> str:
    """A tag in small letters with its last word in the singular: "Stop_Signs" -> "stop sign"."""
    words = _APART.sub(" ", plain_text(tag).casefold()).strip(" .,;:!?\"'()[]").split(" ")
    last = words[-1] if words[-1] in WHERE else singular(words[-1])
    return " ".join([*words[:-1], last])


def tag_key(tag: str) -> str:
    """What two tags have in common that say the same: "surf board", "Surfboards"."""
    return _NO_LETTERS.sub("", base_tag(tag))


@dataclass(frozen=True)
class Vocabulary:
    """Tags to choose from, as their file writes them."""

    tags: tuple[str, ...]
    source: str = ""
    _by_key: dict[str, str] = field(init=False, repr=False, compare=False)
    _by_meaning: dict[int, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_key: dict[str, str] = {}
        by_meaning: dict[int, str] = {}
        for tag in self.tags:
            by_key.setdefault(tag_key(tag), tag)
            for synset in sorted(wordnet.synsets(base_tag(tag), "n")):
                by_meaning.setdefault(synset, tag)
        object.__setattr__(self, "_by_key", by_key)
        object.__setattr__(self, "_by_meaning", by_meaning)

    @property
    def sha256(self) -> str:
        """Of the tags, in their order."""
        return hashlib.sha256("\n".join(self.tags).encode(errors="surrogatepass")).hexdigest()

    def entry(self, tag: str) -> str | None:
        """The entry for a tag: the same word, a synonym, or the nearest name for its kind; None if there is none.

        Of a name of several words ("brown dog"), the last word counts if the whole has no entry.
        """
        base = base_tag(tag)
        if (same := self._by_key.get(tag_key(base))) is not None:
            return same
        for level in wordnet.ascending(base):
            for synset in sorted(level & self._by_meaning.keys()):
                return self._by_meaning[synset]
        _, space, last = base.rpartition(" ")
        return self.entry(last) if space else None


def vocabulary_of(tags: Iterable[str], source: str = "") -> Vocabulary:
    """A vocabulary of these tags, without empty and repeated ones. Raises UsageError if none is left."""
    cleaned = tuple(dict.fromkeys(tag for one in tags if (tag := plain_text(one))))
    if not cleaned:
        raise UsageError(f"the vocabulary{f' {source!r}' if source else ''} holds no tag; write one tag a line")
    return Vocabulary(cleaned, source)


def read_vocabulary(path: Path) -> Vocabulary:
    """The tags of a file: one a line; of a line with commas, the first column (as lists of Danbooru's tags have it).

    Lines that begin with # are comments. Raises UsageError, one line.
    """
    found: list[str] = []
    try:
        with path.open("rb") as file:
            for line in Lines(file, str(path)):
                tag = plain_text(line[: 10 * LONGEST].partition(",")[0])
                if not tag or tag.startswith("#"):
                    continue
                if len(tag) > LONGEST:
                    raise UsageError(
                        f"--vocabulary '{printable(path)}': '{printable(tag, 40)}' has more than {LONGEST} characters; "
                        "write one tag a line"
                    )
                found.append(tag)
                if len(found) > MOST:
                    raise UsageError(f"--vocabulary '{printable(path)}' has more than {MOST:,} tags; shorten it")
    except OSError as error:
        raise UsageError(f"--vocabulary '{printable(path)}' cannot be read: {why(error)}") from None
    return vocabulary_of(found, str(path))
