"""Repairs without a model: each takes a text and returns a better one, or the same. All are idempotent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from agents.text import text_metrics
from agents.text.text_metrics import words_of
from core.text import sentences, settled, without_loops


def tidy(text: str) -> str:
    """Collapse white space, and remove it before punctuation."""
    text = re.sub(r" ([,.;:!?])", r"\1", " ".join(text.split()))
    return re.sub(r"([,;:])(?=[,.;:!?])", "", text).strip()


def fold_repetition(text: str) -> str:
    """Keep one copy of each repeated phrase or sentence."""
    return settled(lambda value: _without_repeated_sentences(_without_loops(value)), text)


def _without_loops(text: str) -> str:
    tokens = text.split()
    return " ".join(without_loops(tokens, [" ".join(words_of(token)) for token in tokens], signs=False))


def _without_repeated_sentences(text: str) -> str:
    seen: set[tuple[str, ...]] = set()
    kept = []
    for sentence in sentences(text):
        key = tuple(words_of(sentence))
        if len(key) >= 3 and key in seen:
            continue
        seen.add(key)
        kept.append(sentence)
    return " ".join(kept)


def drop_foreign(text: str) -> str:
    """Remove sentences in another language and single words in another script."""
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
    """Remove template tokens, stray symbols, runs of one symbol, and everything after a change of speaker."""
    return settled(_without_symbols, text)


def _without_symbols(text: str) -> str:
    spoken = re.split(r"#{2,}|\b(?:Human|Assistant)\s*:", text)
    text = next((part for part in spoken if words_of(part)), "")
    text = text_metrics.MARKUP.sub(" ", text)
    text = text_metrics.RUN.sub(lambda run: run[0][0] if not text_metrics.is_stray(run[0][0]) else " ", text)
    return tidy("".join(" " if text_metrics.is_stray(one) else one for one in text))


def cut_broken_end(text: str) -> str:
    """Remove an unfinished last sentence, unless it is the only one."""
    parts = sentences(text)
    while len(parts) > 1 and text_metrics.is_broken_off(parts[-1]):
        parts.pop()
    return " ".join(parts)


def drop_apology(text: str) -> str:
    """Remove sentences in which a language model mentions itself or its work."""
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
    """Apply all repairs: what `--repairer rules` does instead of a language model."""
    for fix in (drop_symbols, drop_foreign, fold_repetition, cut_broken_end, tidy):
        text = fix(text)
    return text
