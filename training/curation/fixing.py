"""Repairs that need no model: each takes a text and gives back a better one, or the same. All are idempotent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from training.curation import signs
from training.curation.signs import sentences_of, words_of

_LONGEST_PHRASE: Final = 12


def tidy(text: str) -> str:
    """Single spaces, none before punctuation, no line ends."""
    text = " ".join(text.split())
    text = re.sub(r"\s+([,.;:!?])", r"\1", text)
    return re.sub(r"([,;:])(?=[,.;:!?])", "", text).strip()


def fold_repetition(text: str) -> str:
    """A phrase or sentence that is said again and again is said once."""
    before = None
    while before != text:
        before = text
        text = _without_said_sentences(_without_loops(text))
    return text


def _without_loops(text: str) -> str:
    tokens = text.split()
    keys = [" ".join(words_of(token)) for token in tokens]
    for size in range(1, _LONGEST_PHRASE + 1):
        needed = 3 if size < 3 else 2  # "very, very" is speech; a repeated clause is not
        start = 0
        while start + size * needed <= len(tokens):
            phrase, times = keys[start : start + size], 1
            while keys[start + times * size : start + (times + 1) * size] == phrase:
                times += 1
            if times >= needed and any(phrase):
                last = start + (times - 1) * size  # keep the last copy's punctuation
                del tokens[start:last], keys[start:last]
            start += 1
    return " ".join(tokens)


def _without_said_sentences(text: str) -> str:
    said: set[tuple[str, ...]] = set()
    kept = []
    for sentence in sentences_of(text):
        key = tuple(words_of(sentence))
        if len(key) >= 3 and key in said:
            continue
        said.add(key)
        kept.append(sentence)
    return " ".join(kept)


def drop_foreign(text: str) -> str:
    """Without sentences in another language and without single words in another script."""
    before = None
    while before != text:
        before = text
        text = _without_foreign(text)
    return text


def _without_foreign(text: str) -> str:
    kept = []
    for sentence in sentences_of(text):
        if signs.language_of(sentence) not in ("English", ""):
            continue
        parts = [part for part in sentence.split() if signs.foreign_letter_share(part) < signs.FOREIGN]
        kept.append(" ".join(parts))
    return tidy(" ".join(kept))


def drop_symbols(text: str) -> str:
    """Without marks of templates, stray symbols and runs of one sign. What follows a change of speaker goes, too."""
    before = None
    while before != text:
        before = text
        spoken = re.split(r"#{2,}|\b(?:Human|Assistant)\s*:", text)
        text = next((part for part in spoken if words_of(part)), "")
        text = signs._MARKUP.sub(" ", text)
        text = signs._RUN.sub(lambda run: run[0][0] if not signs.is_stray(run[0][0]) else " ", text)
        text = tidy("".join(" " if signs.is_stray(one) else one for one in text))
    return text


def cut_broken_end(text: str) -> str:
    """Without a last sentence that breaks off; a text that has no other keeps it."""
    parts = sentences_of(text)
    while len(parts) > 1 and signs.is_broken_off(parts[-1]):
        parts.pop()
    return " ".join(parts)


def drop_apology(text: str) -> str:
    """Without the sentences in which a language model speaks of itself or of its work."""
    return " ".join(one for one in sentences_of(text) if not signs.apologies(one))


FIXERS: Final[dict[str, Callable[[str], str]]] = {
    "tidy": tidy,
    "fold_repetition": fold_repetition,
    "drop_foreign": drop_foreign,
    "drop_symbols": drop_symbols,
    "cut_broken_end": cut_broken_end,
    "drop_apology": drop_apology,
}


def repair(text: str) -> str:
    """Everything that can be repaired by counting: what `--repairer rules` does instead of a language model."""
    for fix in (drop_symbols, drop_foreign, fold_repetition, cut_broken_end, tidy):
        text = fix(text)
    return text
