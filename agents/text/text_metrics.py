"""Quality metrics of a generated text: pure functions that need nothing but the text.

`measure(text)` returns all metrics by name; rules refer to these names. `failures(text)` sorts a text into the kinds of
failure that Zhu et al. 2023 (https://arxiv.org/abs/2304.10592, sections 3.2 and 4.3) name for a model after its first
stage: broken-off sentences, endless repetition, other languages mixed in, and stray symbols. `failure_rate` is the
share of texts with any of them.

Texts are expected to be English. Length is counted in words; a Chinese, Japanese or Korean character counts as one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from agents.text.languages import guess_language
from core.text import sentences

NGRAM: Final = 4
REPEATING: Final = 0.2  # least share of repeated 4-grams in a repeating text; prose stays below 0.1
FOREIGN: Final = 0.3  # least share of non-Latin letters in a sentence of another script
CERTAIN: Final = 0.99  # least probability of another language; names of dishes and places confuse the detector
VERSE_WORDS: Final = 14  # most words in a line of a poem
SYMBOLS: Final = 3  # least number of stray symbols in a spoilt text

_CJK: Final = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+(?:['’\-][^\W_{_CJK}]+)*")
# Role names and chat template tokens, as a model writes them that continues with the other side of the conversation.
MARKUP = re.compile(
    r"#{2,}\s*(?:human|assistant|system|user)?\s*:?|</?(?:img|s|pad|unk|image|ImageHere)>|<\|[^|<>\n]{0,40}\|>|"
    r"\[/?(?:INST|SYS)\]|<</?SYS>>|\b(?:human|assistant)\s*:",
    re.IGNORECASE,
)
_ALLOWED: Final = frozenset(".,;:!?'\"“”‘’()-–—…/&%$€£¥°·«»¿¡")
RUN = re.compile(r"([^\w\s.])\1{2,}|\.{4,}")

# What a repairing language model writes instead of, or beside, the repaired text.
_APOLOGY = re.compile(
    r"\b(?:i\s*(?:am|['’]m)\s+(?:very |really |so )?sorry|i\s+(?:do\s+)?apologi[sz]e|my apologies|apologies for|"
    r"(?:i|we) (?:made|have made) (?:a|an|some)? ?(?:mistakes?|errors?)|sorry,? (?:but )?(?:i|we|for)\b)|"
    r"\b(?:i|we)\s+(?:can\s?not|can['’]t|could not|couldn['’]t|am unable to|['’]m unable to|am not able to|"
    r"['’]m not able to|won['’]t|will not)\s+"
    r"(?:help|assist|fix|repair|correct|rewrite|comply|fulfil|fulfill|provide|complete|do (?:that|this))\b|"
    r"\bas an? (?:ai|artificial intelligence|large language model|language model|assistant)\b|"
    r"\bhere(?:['’]s| is| are) (?:the|your|a|an)\s+"
    r"(?:\w+\s+)?(?:repaired|corrected|revised|fixed|cleaned|rewritten|edited|improved|updated|final)\b|"
    r"\b(?:the (?:original|given|provided|input|above|repaired|corrected)|your) "
    r"(?:text|paragraph|sentence|description)\b|"
    r"\b(?:please )?let me know if\b|\bi (?:have |['’]ve )?"
    r"(?:removed|corrected|fixed|rewritten|rewrote|repaired|cleaned)\b",
    re.IGNORECASE,
)
# Instructions to a model, not to a reader.
_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget|override)\s+(?:\w+\s+){0,3}?"
    r"(?:previous|above|prior|earlier|preceding|all|any|your|these|the|system)\s+(?:\w+\s+){0,2}?"
    r"(?:instructions?|rules?|prompts?|orders?|guidelines?|directions?)\b|"
    r"\b(?:system|developer)\s+prompt\b|\byou are now\b|\bfrom now on,? you\b|"
    r"\b(?:reply|respond|answer|output)\s+(?:\w+\s+)?(?:only|exactly|nothing but)\b|"
    r"\binstead,? (?:please )?(?:write|output|print|reply|respond|say|tell)\b",
    re.IGNORECASE,
)


def words_of(text: str) -> list[str]:
    """The words of `text` in lower case."""
    return [word.casefold() for word in _WORD.findall(text)]


# ---- single metrics ------------------------------------------------------------------------------------------------


def repeated_share(text: str, size: int = NGRAM) -> float:
    """Share of the word n-grams that occurred before in the text, 0 to 1; 0 for texts shorter than one n-gram."""
    words = words_of(text)
    grams = [tuple(words[at : at + size]) for at in range(len(words) - size + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def repeated_sentences(text: str) -> int:
    """Number of sentences, of three words or more, that repeat an earlier one word for word."""
    keys = [key for one in sentences(text) if len(key := tuple(words_of(one))) >= 3]
    return len(keys) - len(set(keys))


def foreign_letter_share(text: str) -> float:
    """Share of the letters that are not Latin, 0 to 1."""
    letters = [character for character in text if character.isalpha()]
    return sum(not _is_latin(letter) for letter in letters) / len(letters) if letters else 0.0


def language_of(sentence: str) -> str:
    """ "en", another ISO 639-1 code, "other script", or "" for fewer than four words."""
    if foreign_letter_share(sentence) >= FOREIGN:
        return "other script"
    if len(words_of(sentence)) < 4:
        return ""
    language, probability = guess_language(sentence)
    return language if probability >= CERTAIN else "en"


def is_foreign(sentence: str) -> bool:
    """Whether a sentence is in another language than English; False where it is too short to tell."""
    return language_of(sentence) not in ("en", "")


def foreign_sentences(text: str) -> list[str]:
    """The sentences that are in another language than English."""
    return [one for one in sentences(text) if is_foreign(one)]


def language_switches(text: str) -> int:
    """Number of changes between Latin and another script, from word to word."""
    kinds = [_is_latin(word[0]) for word in _WORD.findall(text) if word[0].isalpha()]
    return sum(before != after for before, after in zip(kinds, kinds[1:], strict=False))


def foreign_symbols(text: str) -> list[str]:
    """Chat template tokens, runs of one symbol, and characters that are no letters, digits or punctuation of prose."""
    found = MARKUP.findall(text)
    rest = MARKUP.sub(" ", text)
    found += [match[0] for match in RUN.finditer(rest)]
    rest = RUN.sub(" ", rest)
    return found + [one for one in rest if is_stray(one)]


def is_stray(character: str) -> bool:
    """Whether a character does not belong in English prose: controls, pictograms, code symbols."""
    if character.isalnum() or character.isspace() or character in _ALLOWED:
        return False
    return not unicodedata.category(character).startswith("M")  # accents on the letter before


def is_unpunctuated_verse(text: str) -> bool:
    """Whether a text is a poem whose lines mostly end without a punctuation mark."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 3 or max(len(words_of(line)) for line in lines) > VERSE_WORDS:
        return False
    return sum(line.endswith((*".,;:!?…–—-", '"', "”")) for line in lines) * 2 < len(lines)


def is_broken_off(text: str) -> bool:
    """Whether the last sentence is unfinished: no full stop, or one after a word that cannot be the last.

    A poem without punctuation needs no full stop.
    """
    bare = text.strip().rstrip("\"'”’»)]* ")
    if not bare:
        return False
    if bare.endswith(("...", "…")) or (bare[-1] not in ".!?。！？" and not is_unpunctuated_verse(text)):
        return True
    last = words_of(sentences(bare)[-1])
    return bool(last) and last[-1] in {"and", "or", "the", "an"}


def apologies(text: str) -> list[str]:
    """Phrases in which a language model mentions itself or its work ("I apologize", "Here is the corrected")."""
    return [match[0] for match in _APOLOGY.finditer(text)]


def orders_to_a_model(text: str) -> list[str]:
    """Phrases that try to steer a language model that reads the text ("ignore all previous instructions")."""
    return [match[0] for match in _ORDERS.finditer(text)]


# ---- all metrics ---------------------------------------------------------------------------------------------------

METRICS: Final[dict[str, tuple[Callable[[str], float], str]]] = {
    "words": (lambda text: len(words_of(text)), "length in words"),
    "sentences": (lambda text: len(sentences(text)), "number of sentences"),
    "repeated_share": (repeated_share, f"share of word {NGRAM}-grams that occurred before"),
    "repeated_sentences": (repeated_sentences, "sentences that repeat an earlier one word for word"),
    "foreign_letters": (foreign_letter_share, "share of letters that are not Latin"),
    "foreign_sentences": (lambda text: len(foreign_sentences(text)), "sentences in another language"),
    "language_switches": (language_switches, "changes between scripts"),
    "foreign_symbols": (lambda text: len(foreign_symbols(text)), "stray symbols and template tokens"),
    "broken_end": (lambda text: float(is_broken_off(text)), "1 if the last sentence is unfinished"),
    "apology": (lambda text: len(apologies(text)), "phrases of a language model about its own work"),
    "orders": (lambda text: len(orders_to_a_model(text)), "phrases that try to steer a model"),
}


def measure(text: str) -> dict[str, float]:
    """Every metric of `text` by name, rounded to four digits so that records are the same everywhere."""
    return {name: round(float(metric(text)), 4) for name, (metric, _) in METRICS.items()}


# ---- the failure rate ----------------------------------------------------------------------------------------------

Failure = Literal["empty", "broken off", "repeating", "other language", "foreign symbols"]
FAILURES: Final[tuple[Failure, ...]] = ("empty", "broken off", "repeating", "other language", "foreign symbols")


def failures(text: str) -> tuple[Failure, ...]:
    """Kinds of failure in one generated text; empty for a good one."""
    if not words_of(text):
        return ("empty",)
    found: list[Failure] = []
    if is_broken_off(text):
        found.append("broken off")
    if repeated_share(text) >= REPEATING or repeated_sentences(text):
        found.append("repeating")
    if foreign_sentences(text) or language_switches(text) > 2:
        found.append("other language")
    if len(foreign_symbols(text)) >= SYMBOLS or MARKUP.search(text):
        found.append("foreign symbols")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class FailureRate:
    """Number of failed texts, in total and per kind; a text may fail in several ways."""

    texts: int
    failed: int
    kinds: dict[Failure, int]

    @property
    def share(self) -> float:
        """Failed texts over all texts, 0 to 1."""
        return self.failed / self.texts if self.texts else 0.0


def failure_rate(texts: Iterable[str]) -> FailureRate:
    """Count the failures of generated texts."""
    found = [failures(text) for text in texts]
    kinds = Counter(kind for one in found for kind in one)
    return FailureRate(len(found), sum(map(bool, found)), {kind: kinds[kind] for kind in FAILURES})


@lru_cache(maxsize=4096)
def _is_latin(letter: str) -> bool:
    """Whether a letter is Latin, or a sign used among Latin letters (º, µ)."""
    name = unicodedata.name(letter, "")
    return name.startswith(("LATIN", "MODIFIER", "FEMININE", "MASCULINE", "MICRO"))
