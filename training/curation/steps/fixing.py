"""Repairs that need no model: each takes a text and gives back a better one, or the same. All are idempotent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from core.text import sentences, settled, without_loops
from training.curation import text_metrics
from training.curation.text_metrics import words_of


def tidy(text: str) -> str:
    """Single spaces, none before punctuation, no line ends."""
    text = re.sub(r" ([,.;:!?])", r"\1", " ".join(text.split()))
    return re.sub(r"([,;:])(?=[,.;:!?])", "", text).strip()


def fold_repetition(text: str) -> str:
    """A phrase or sentence that is said again and again is said once."""
    return settled(lambda value: _without_said_sentences(_without_loops(value)), text)


def _without_loops(text: str) -> str:
    tokens = text.split()
    return " ".join(without_loops(tokens, [" ".join(words_of(token)) for token in tokens], signs=False))


def _without_said_sentences(text: str) -> str:
    said: set[tuple[str, ...]] = set()
    kept = []
    for sentence in sentences(text):
        key = tuple(words_of(sentence))
        if len(key) >= 3 and key in said:
            continue
        said.add(key)
        kept.append(sentence)
    return " ".join(kept)


def drop_foreign(text: str) -> str:
    """Without sentences in another language and without single words in another script."""
    return settled(_without_foreign, text)


def _without_foreign(text: str) -> str:
    kept = []
    for sentence in sentences(text):
        if text_metrics.is_foreign(sentence):
            continue
        parts = [part for part in sentence.split() if text_metrics.foreign_letter_share(part) < text_metrics.FOREIGN]
        kept.append(" ".join(parts))
    return tidy(" ".join(kept))


def drop_symbols(text: str) -> str:
    """Without marks of templates, stray symbols and runs of one sign. What follows a change of speaker goes, too."""
    return settled(_without_symbols, text)


def _without_symbols(text: str) -> str:
    spoken = re.split(r"#{2,}|\b(?:Human|Assistant)\s*:", text)
    text = next((part for part in spoken if words_of(part)), "")
    text = text_metrics.MARKUP.sub(" ", text)
    text = text_metrics.RUN.sub(lambda run: run[0][0] if not text_metrics.is_stray(run[0][0]) else " ", text)
    return tidy("".join(" " if text_metrics.is_stray(one) else one for one in text))


def cut_broken_end(text: str) -> str:
    """Without a last sentence that breaks off; a text that has no other keeps it."""
    parts = sentences(text)
    while len(parts) > 1 and text_metrics.is_broken_off(parts[-1]):
        parts.pop()
    return " ".join(parts)


def drop_apology(text: str) -> str:
    """Without the sentences in which a language model speaks of itself or of its work."""
    return " ".join(one for one in sentences(text) if not text_metrics.apologies(one))


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
