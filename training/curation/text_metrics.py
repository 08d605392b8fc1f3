"""What is wrong with a text, in numbers: pure functions that need nothing but the text.

`measure(text)` gives all signs by name; rules refer to these names. `failures(text)` sorts a text into the kinds of
failure that Zhu et al. 2023 (https://arxiv.org/abs/2304.10592, sections 3.2 and 4.3) name for a model after its first
stage: broken-off sentences, endless repetition, other languages mixed in, and stray symbols. `failure_rate` is the
share of texts with any of them.

The texts are expected to be English; the length of a text is counted in words, a Chinese, Japanese or Korean character
counting as one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

NGRAM: Final = 4
REPEATING: Final = 0.2  # share of repeated 4-grams from which a text counts as repeating; prose stays below 0.1
FOREIGN: Final = 0.3  # share of other letters from which a sentence is not English
SYMBOLS: Final = 3  # stray symbols from which a text counts as spoilt

_CJK: Final = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+(?:['’\-][^\W_{_CJK}]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+|(?<=[。！？])\s*")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|vs|etc|e\.g|i\.e|approx|No|[A-Z])\.$")
_LAST_WORD: Final = 10  # characters in which an abbreviation stands

# Names of speakers and marks of templates, as a model writes them that goes on with the other side of the talk.
_MARKUP = re.compile(
    r"#{2,}\s*(?:human|assistant|system|user)?\s*:?|</?(?:img|s|pad|unk|image|ImageHere)>|<\|[^|<>\n]{0,40}\|>|"
    r"\[/?(?:INST|SYS)\]|<</?SYS>>|\b(?:human|assistant)\s*:",
    re.IGNORECASE,
)
_ALLOWED: Final = frozenset(".,;:!?'\"“”‘’()-–—…/&%$€£¥°·«»¿¡")
_RUN = re.compile(r"([^\w\s.])\1{2,}|\.{4,}")

# What a repairing language model says instead of, or beside, the repaired text.
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
# Words meant for a model, not for a reader.
_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget|override)\s+(?:\w+\s+){0,3}?"
    r"(?:previous|above|prior|earlier|preceding|all|any|your|these|the|system)\s+(?:\w+\s+){0,2}?"
    r"(?:instructions?|rules?|prompts?|orders?|guidelines?|directions?)\b|"
    r"\b(?:system|developer)\s+prompt\b|\byou are now\b|\bfrom now on,? you\b|"
    r"\b(?:reply|respond|answer|output)\s+(?:\w+\s+)?(?:only|exactly|nothing but)\b|"
    r"\binstead,? (?:please )?(?:write|output|print|reply|respond|say|tell)\b",
    re.IGNORECASE,
)

# Words that a language uses in nearly every sentence and English does not.
_OTHER_LANGUAGES: Final[dict[str, frozenset[str]]] = {
    "German": frozenset(
        "der das und ist nicht ein eine einen einem einer mit auf für von dem den sich auch wird sind zu im".split()
    ),
    "French": frozenset("le la les des est une dans pour sur avec qui que pas du et il elle sont aux cette ce".split()),
    "Spanish": frozenset("el los las una del con por para es está que se su y hay muy como son al esta en".split()),
    "Italian": frozenset("il lo gli della che di per una è sono con nel alla dei si anche questa più non".split()),
    "Portuguese": frozenset("os uma do da em não com para por é são mais que se no na dos das ao muito".split()),
    "Dutch": frozenset("het een van en niet met voor dat zijn op aan er ook naar bij deze wordt de die te".split()),
}
_ENGLISH: Final = frozenset(
    "the a an and of to in is are was were it its this that with on at by for from there here as be has have one two "
    "some which who while or not also can may no they he she his her their".split()
)


# ---- words and sentences -------------------------------------------------------------------------------------------


def words_of(text: str) -> list[str]:
    """The words of `text` in lower case."""
    return [word.casefold() for word in _WORD.findall(text)]


def sentences_of(text: str) -> list[str]:
    """`text` split after sentence ends and at line ends, white space at the ends removed."""
    found: list[str] = []
    for line in text.split("\n"):
        start = 0
        for end in _SENTENCE_END.finditer(line):
            last = line[max(start, end.start() - _LAST_WORD) : end.end()].rstrip()
            if _ABBREVIATION.search(last):
                continue
            found.append(line[start : end.end()].strip())
            start = end.end()
        found.append(line[start:].strip())
    return [sentence for sentence in found if sentence]


# ---- single signs --------------------------------------------------------------------------------------------------


def repeated_share(text: str, size: int = NGRAM) -> float:
    """Share of the word n-grams that occurred before in the text, 0 to 1; 0 for texts shorter than one n-gram."""
    words = words_of(text)
    grams = [tuple(words[at : at + size]) for at in range(len(words) - size + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def repeated_sentences(text: str) -> int:
    """How many sentences of three words and more say again, word for word, what an earlier one said."""
    keys = [key for one in sentences_of(text) if len(key := tuple(words_of(one))) >= 3]
    return len(keys) - len(set(keys))


def foreign_letter_share(text: str) -> float:
    """Share of the letters that are not Latin, 0 to 1."""
    letters = [character for character in text if character.isalpha()]
    return sum(not _is_latin(letter) for letter in letters) / len(letters) if letters else 0.0


def language_of(sentence: str) -> str:
    """ "English", another language's name, "other script", or "" where the sentence is too short to tell."""
    if foreign_letter_share(sentence) >= FOREIGN:
        return "other script"
    words = words_of(sentence)
    if len(words) < 4:
        return ""
    counts = Counter({name: sum(word in known for word in words) for name, known in _OTHER_LANGUAGES.items()})
    name, count = counts.most_common(1)[0]
    english = sum(word in _ENGLISH for word in words)
    return name if count >= 2 and count > english else "English"


def foreign_sentences(text: str) -> list[str]:
    """The sentences that are in another language than English."""
    return [one for one in sentences_of(text) if language_of(one) not in ("English", "")]


def language_switches(text: str) -> int:
    """How often the text changes between Latin and another script, from word to word."""
    kinds = [_is_latin(word[0]) for word in _WORD.findall(text) if word[0].isalpha()]
    return sum(before != after for before, after in zip(kinds, kinds[1:], strict=False))


def foreign_symbols(text: str) -> list[str]:
    """Marks of templates, runs of one sign, and characters that are no letters, digits or punctuation of prose."""
    found = _MARKUP.findall(text)
    rest = _MARKUP.sub(" ", text)
    found += [match[0] for match in _RUN.finditer(rest)]
    rest = _RUN.sub(" ", rest)
    return found + [one for one in rest if is_stray(one)]


def is_stray(character: str) -> bool:
    """Whether one character belongs into no English prose: control and private characters, pictograms, code signs."""
    if character.isalnum() or character.isspace() or character in _ALLOWED:
        return False
    return not unicodedata.category(character).startswith("M")  # accents on the letter before


def is_broken_off(text: str) -> bool:
    """Whether the last sentence does not end: no full stop, or one behind a word that cannot be the last."""
    bare = text.strip().rstrip("\"'”’»)]* ")
    if not bare:
        return False
    if bare.endswith(("...", "…")) or bare[-1] not in ".!?。！？":
        return True
    last = words_of(sentences_of(bare)[-1])
    return bool(last) and last[-1] in {"and", "or", "the", "an"}


def apologies(text: str) -> list[str]:
    """What a language model says about itself or its work on the text ("I apologize", "Here is the corrected")."""
    return [match[0] for match in _APOLOGY.finditer(text)]


def orders_to_a_model(text: str) -> list[str]:
    """Words that try to steer a language model that reads the text ("ignore all previous instructions")."""
    return [match[0] for match in _ORDERS.finditer(text)]


# ---- all of them ---------------------------------------------------------------------------------------------------

SIGNS: Final[dict[str, tuple[Callable[[str], float], str]]] = {
    "words": (lambda text: len(words_of(text)), "length in words"),
    "sentences": (lambda text: len(sentences_of(text)), "number of sentences"),
    "repeated_share": (repeated_share, f"share of word {NGRAM}-grams that occurred before"),
    "repeated_sentences": (repeated_sentences, "sentences that an earlier one said word for word"),
    "foreign_letters": (foreign_letter_share, "share of letters that are not Latin"),
    "foreign_sentences": (lambda text: len(foreign_sentences(text)), "sentences in another language"),
    "language_switches": (language_switches, "changes between scripts"),
    "foreign_symbols": (lambda text: len(foreign_symbols(text)), "stray symbols and marks of templates"),
    "broken_end": (lambda text: float(is_broken_off(text)), "1 where the last sentence breaks off"),
    "apology": (lambda text: len(apologies(text)), "phrases of a language model about its own work"),
    "orders": (lambda text: len(orders_to_a_model(text)), "phrases that try to steer a model"),
}


def measure(text: str) -> dict[str, float]:
    """Every sign of `text` by name, rounded to four digits so that records of it are the same everywhere."""
    return {name: round(float(sign(text)), 4) for name, (sign, _) in SIGNS.items()}


# ---- the failure rate ----------------------------------------------------------------------------------------------

Failure = Literal["empty", "broken off", "repeating", "other language", "foreign symbols"]
FAILURES: Final[tuple[Failure, ...]] = ("empty", "broken off", "repeating", "other language", "foreign symbols")


def failures(text: str) -> tuple[Failure, ...]:
    """The kinds of failure in one generated text, none for a good one."""
    if not words_of(text):
        return ("empty",)
    found: list[Failure] = []
    if is_broken_off(text):
        found.append("broken off")
    if repeated_share(text) >= REPEATING or repeated_sentences(text):
        found.append("repeating")
    if foreign_sentences(text) or language_switches(text) > 2:
        found.append("other language")
    if len(foreign_symbols(text)) >= SYMBOLS or _MARKUP.search(text):
        found.append("foreign symbols")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class FailureRate:
    """How many of `texts` fail, and how; one text may fail in several ways."""

    texts: int
    failed: int
    kinds: dict[Failure, int]

    @property
    def share(self) -> float:
        """Failed texts over all texts, 0 to 1."""
        return self.failed / self.texts if self.texts else 0.0


def failure_rate(texts: Iterable[str]) -> FailureRate:
    """Count the failures of generated texts."""
    kinds: dict[Failure, int] = dict.fromkeys(FAILURES, 0)
    count = failed = 0
    for text in texts:
        found: Sequence[Failure] = failures(text)
        count += 1
        failed += bool(found)
        for kind in found:
            kinds[kind] += 1
    return FailureRate(count, failed, kinds)


@lru_cache(maxsize=4096)
def _is_latin(letter: str) -> bool:
    """Latin, or a sign used among Latin letters (º, µ)."""
    name = unicodedata.name(letter, "")
    return name.startswith(("LATIN", "MODIFIER", "FEMININE", "MASCULINE", "MICRO"))
