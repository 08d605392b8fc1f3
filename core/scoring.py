"""Which of several short answers a model's own answer means: the scores of a vision model that gives only words.

    named_choice("No, there is no dog.", ["yes", "no"])                    # 1
    named_choice("There are two dogs.", ["1", "2", "3"])                   # 1
    named_choice("It is gray.", ["red", "grey"])                           # 1
    named_choice("I do not know.", ["yes", "no"])                          # None

English, and any answer that equals a choice. Careful: an answer that could mean two of the choices means none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from core.errors import UsageError, printable
from core.nouns import singular

SAID: Final = 0.9  # probability of the choice that the words name
_NUMBERS: Final = "zero one two three four five six seven eight nine ten eleven twelve".split()
_NUMBER_WORDS: Final = {str(number): word for number, word in enumerate(_NUMBERS)}
_SAME: Final = {
    **{word: str(number) for number, word in enumerate(_NUMBERS)},
    "gray": "grey", "golden": "gold", "violet": "purple", "centre": "middle", "center": "middle",
    "yeah": "yes", "yep": "yes", "true": "yes", "nope": "no", "false": "no", "none": "no", "nothing": "no",
    "isn't": "not", "aren't": "not", "doesn't": "not", "don't": "not", "can't": "not", "cannot": "not",
}  # fmt: skip
_FILLER: Final = frozenset("a an the it it's its is are they there's there i see that this these those".split())
_WORD: Final = re.compile(r"\w++(?:['-]\w++)*+")
_UNSURE: Final = re.compile(
    r"\b(?:not (?:sure|certain|clear)|unsure|uncertain|unclear|unknown|maybe|perhaps|no idea|"
    r"(?:don't|do not|can't|cannot|can not) (?:\w++ )?+(?:know|tell|say|see it|determine))\b"
)
_THERE_IS: Final = re.compile(r"(?:there(?: is| are|'s)|i (?:can )?see)\b")


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token of an answer, with natural logarithms of probabilities before temperature and sampling.

    `likeliest` are the (token, log-probability) pairs of the likeliest tokens at its place, best first. A token whose
    bytes end within a character has the text "".
    """

    text: str
    logprob: float
    likeliest: tuple[tuple[str, float], ...] = ()


def shown_tokens(tokens: Sequence[ScoredToken], text: str) -> tuple[ScoredToken, ...]:
    """The tokens of an answer that is shown as `text`, in its spelling.

    Those behind the end of `text` are left out, for it may end at a stop string. Where a backend has changed more than
    blanks and capitals, the tokens are returned as they were generated.
    """
    whole = "".join(token.text for token in tokens)
    start = len(whole) - len(whole.lstrip())
    if whole[start : start + len(text)].lower() != text.lower() or len(whole.lower()) != len(whole):
        return tuple(tokens)
    spelling = whole[:start] + text + whole[start + len(text) :]
    shown, place = [], 0
    for token in tokens:
        if place >= start + len(text):
            break
        shown.append(replace(token, text=spelling[place : place + len(token.text)]))
        place += len(token.text)
    return tuple(shown)


def check_choices(questions: Sequence[object], choices: Sequence[Sequence[str]]) -> None:
    """Raise UsageError unless each question has at least one choice, none of them blank."""
    if len(questions) != len(choices):
        raise UsageError(f"{len(questions)} questions with {len(choices)} lists of choices; give one list each.")
    for each in choices:
        if isinstance(each, str) or not each or not all(choice.strip() for choice in each):
            raise UsageError(f"the choices {printable(each)} cannot be scored; give a list of short answers.")


def scores_of_words(answer: str, choices: Sequence[str], question: str = "") -> tuple[float, ...]:
    """Log-probabilities of `choices` for a model that said `answer` to `question`.

    The named choice has the probability `SAID` and the others share the rest; all are equal if none is named.
    """
    named = named_choice(answer, choices, question)
    if named is None:
        return (-math.log(len(choices)),) * len(choices)
    same = [_words(choice) == _words(choices[named]) for choice in choices]
    others = same.count(False)
    if not others:
        return (-math.log(len(choices)),) * len(choices)
    return tuple(math.log(SAID / same.count(True) if one else (1 - SAID) / others) for one in same)


def named_choice(answer: str, choices: Sequence[str], question: str = "") -> int | None:
    """Index of the first choice that `answer` means; None if it means none or more than one.

    "There is a dog." means "yes" only if `question` names a dog.
    """
    text = answer.strip().lower().replace("’", "'")
    keys = [_words(choice) for choice in choices]
    said = _words(text)
    if said in keys:
        return keys.index(said)
    if not said or _UNSURE.search(text):
        return None
    truth = _truth(text, question)
    if (truth,) in keys:
        return keys.index((truth,))
    if "no" in said and ("no",) not in keys:  # "no dogs" as a number
        said = tuple("0" if word == "no" else word for word in said)
    found = {key for key in keys if _places(said, key)}
    longest = {key for key in found if not any(key != other and _places(other, key) for other in found)}
    if not found:  # "left" for "on the left"
        longest = {key for key in keys if _places(key, said)}
    return keys.index(longest.pop()) if len(longest) == 1 else None


def _truth(text: str, question: str) -> str:
    """ "yes" or "no" if a text begins with it, denies something, or says that what was asked for is there; else ""."""
    said = _words(text)
    if said[:1] in (("yes",), ("no",)):
        return said[0]
    if {"no", "not"} & set(said):
        return "no"
    return "yes" if _THERE_IS.match(text) and set(said) <= set(_words(question)) else ""


def _words(text: str) -> tuple[str, ...]:
    """What is compared: words in the singular, numbers as digits, one spelling of a colour, no articles."""
    words = [_SAME.get(word, word) for word in _WORD.findall(text.lower().replace("’", "'"))]
    return tuple(word if word == "yes" else singular(word) for word in words if word not in _FILLER) or tuple(words)


def _places(words: tuple[str, ...], part: tuple[str, ...]) -> list[int]:
    """Where `part` begins in `words`, except behind "not"."""
    return [
        at
        for at in range(len(words) - len(part) + 1)
        if words[at : at + len(part)] == part and "not" not in words[max(at - 1, 0) : at]
    ]


def spellings(choice: str) -> tuple[str, ...]:
    """The ways in which a model may write a choice: "two", "Two", "2"; without the full stop at its end."""
    text = choice.strip().rstrip(".").rstrip()
    words = [text]
    if text.lower() in _NUMBERS:
        words.append(str(_NUMBERS.index(text.lower())))
    elif text in _NUMBER_WORDS:
        words.append(_NUMBER_WORDS[text])
    cased = [form for word in words for form in (word, word[:1].upper() + word[1:], word[:1].lower() + word[1:])]
    return tuple(dict.fromkeys(form for form in cased if form))
