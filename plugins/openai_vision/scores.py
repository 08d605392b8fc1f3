"""Score answers by the log-probabilities that a server gives with its reply (`logprobs` and `top_logprobs`).

A server tells the likeliest tokens at each place of its own answer, and nothing of other answers. A choice that is not
among them gets the most that it can have: what its first missing token can have at most.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.scoring import spellings

TOP: Final = 20  # likeliest tokens at each place; servers of OpenAI's kind give no more
ANSWER_TOKENS: Final = 24  # of an answer that is scored
_CLOSING: Final = (".", ",", ";", ":", "!", "?", "\n")
_NEVER: Final = -1e4  # for what a server writes as minus infinity
_LEAST: Final = 1e-12  # of what the listed tokens leave over, against rounding


@dataclass(frozen=True, slots=True)
class TokenOdds:
    """A token of an answer, and the log-probabilities of the likeliest tokens at its place, itself included."""

    token: str
    odds: Mapping[str, float]

    @property
    def unlisted(self) -> float:
        """The most that a token can have which is not listed."""
        left = math.log(max(1 - sum(map(math.exp, self.odds.values())), _LEAST))
        return min(left, *self.odds.values())


def token_odds(body: str | bytes) -> tuple[TokenOdds, ...]:
    """Those of a whole chat completion; empty if it has none, or none that can be read."""
    try:
        found = [_place(entry) for entry in json.loads(body)["choices"][0]["logprobs"]["content"]]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ()
    return tuple(found)


def _place(entry: Mapping[str, Any]) -> TokenOdds:
    listed = [entry, *(entry.get("top_logprobs") or [])]
    odds = {str(one["token"]): float(one["logprob"]) for one in listed}
    return TokenOdds(
        str(entry["token"]),
        {token: min(value, 0.0) if math.isfinite(value) else _NEVER for token, value in odds.items()},
    )


def scores_of_tokens(answer: Sequence[TokenOdds], choices: Sequence[str]) -> tuple[float, ...] | None:
    """Log-probabilities of `choices`; None if the answer has no tokens."""
    if not answer:
        return None
    return tuple(_score(answer, {form.lower() for form in spellings(choice)}) for choice in choices)


def _score(answer: Sequence[TokenOdds], forms: set[str]) -> float:
    """The log-probability that an answer is one of `forms`."""
    found: list[float] = []
    most = [-math.inf]  # what the choice can have at most, of what was not seen to its end
    said, so_far = "", 0.0
    for place in answer:
        if not any(form.startswith(said) for form in forms):
            break
        most.append(so_far + place.unlisted)
        for token, odds in place.odds.items():
            text = (said + token.lower()).lstrip()
            if any(_is(text, form) for form in forms):
                found.append(so_far + odds)
            elif token != place.token and text and any(form.startswith(text) for form in forms):
                most.append(so_far + odds)
        said, so_far = (said + place.token.lower()).lstrip(), so_far + place.odds[place.token]
        if any(_is(said, form) for form in forms):
            break
    if not found:
        return max(most)
    likeliest = max(found)
    return min(likeliest + math.log(sum(math.exp(one - likeliest) for one in found)), 0.0)


def _is(text: str, form: str) -> bool:
    return text.rstrip() == form or text.startswith(tuple(form + sign for sign in _CLOSING))
