"""VQA's accuracy, with the normalisation of answers.

Antol et al. 2015 and Goyal et al. 2017 (https://visualqa.org/evaluation.html): an answer gets min(matches / 3, 1),
averaged over all sets of answers that leave one person out. Both sides are normalised: punctuation, articles, numbers
up to ten as digits, apostrophes of contractions. (The original leaves the articles and numbers of people's answers.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from core.scoring import named_choice

_PUNCTUATION: Final = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER: Final = re.compile(r"\d,\d")
_FULL_STOP: Final = re.compile(r"\.(?!\d)")
_ARTICLES: Final = frozenset({"a", "an", "the"})
_NUMBERS: Final = {
    word: str(number) for number, word in enumerate("zero one two three four five six seven eight nine ten".split())
} | {"none": "0"}
_CONTRACTIONS: Final = {
    word.replace("'", ""): word
    for word in (
        "ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll "
        "how's i'm i've isn't it'd it'll let's ma'am mightn't might've mustn't must've needn't not've o'clock "
        "oughtn't shan't should've shouldn't someone'd someone'll someone's something'd something'll that's "
        "there'd there're there's they'd they'll they're they've wasn't we've weren't what'll what're what's "
        "what've when's where'd where's where've who'd who'll who's who've why'll why're why's won't would've "
        "wouldn't y'all you'd you'll you're you've"
    ).split()
}


def normalised(answer: str) -> str:
    """An answer as VQA's evaluation compares it."""
    text = " ".join(answer.split())
    in_number = _COMMA_IN_NUMBER.search(text) is not None
    result = text
    for sign in _PUNCTUATION:
        joins = f"{sign} " in text or f" {sign}" in text or in_number
        result = result.replace(sign, "" if joins else " ")
    words = [_NUMBERS.get(word, word) for word in _FULL_STOP.sub("", result).lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def accuracy(answer: str, people: Sequence[str]) -> float:
    """VQA's accuracy of one answer, 0 to 1; with the answer of one person alone, whether it is the same."""
    said, given = normalised(answer), [normalised(one) for one in people]
    if len(given) == 1:
        return float(said == given[0])
    matches = given.count(said)
    scores = (min((matches - (one == said)) / 3, 1.0) for one in given)
    return sum(scores) / len(given)


def lenient_answer(answer: str, people: Sequence[str], question: str) -> str | None:
    """The one answer of people that a sentence means: "It is red." for "red"; None if it means none or several."""
    if normalised(answer) in map(normalised, people):
        return answer
    known = list(dict.fromkeys(one for one in people if one.strip()))
    place = named_choice(answer, known, question) if known else None
    return None if place is None else known[place]
