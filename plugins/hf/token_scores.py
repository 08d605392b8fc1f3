"""The log-probabilities of the tokens of generated answers, and of the likeliest other tokens at each place.

recorder = TokenRecorder(rows=1, likeliest=5)
model.generate(..., logits_processor=[recorder])         # with recorder.choose(0, token) after each step
recorder.tokens(0, decode)                               # of `Reply.tokens`
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from core.scoring import ScoredToken

BROKEN: Final = "\N{REPLACEMENT CHARACTER}"  # what a tokenizer gives for bytes that are not (yet) a character
WINDOW: Final = 8  # tokens before one that its text may depend on

Decode = Callable[[Sequence[int], bool], str]  # (token ids, whether special tokens are left out)


@dataclass(frozen=True, slots=True)
class _Chosen:
    token: int
    logprob: float
    likeliest: tuple[tuple[int, float], ...]


class TokenRecorder:
    """Keeps the tokens of each row of a batch as they are chosen. A logits processor that changes nothing.

    Probabilities are those of the model, before temperature and sampling.
    """

    def __init__(self, rows: int, likeliest: int) -> None:
        self._likeliest = likeliest
        self._rows: list[list[_Chosen]] = [[] for _ in range(rows)]
        self._odds: Tensor | None = None

    def __call__(self, input_ids: Any, scores: Tensor) -> Tensor:
        """Take the logits (B, V) of the next token of each row."""
        self._odds = scores.float().log_softmax(-1)
        return scores

    def choose(self, row: int, token: int) -> None:
        """Keep the token that was chosen for a row."""
        assert self._odds is not None
        odds = self._odds[row]
        values, ids = odds.topk(min(self._likeliest, len(odds)))
        likeliest = tuple((one, value) for one, value in zip(ids.tolist(), values.tolist(), strict=True))
        self._rows[row].append(_Chosen(token, float(odds[token]), likeliest))

    def take(self, logits: Tensor, tokens: Tensor) -> None:
        """The logits (B, V) of a step, and the token that each row got."""
        self(None, logits)
        for row, token in enumerate(tokens.tolist()):
            self.choose(row, token)

    def tokens(self, row: int, decode: Decode, count: int | None = None) -> tuple[ScoredToken, ...]:
        """The first `count` tokens of a row, whose texts together are the answer.

        Bytes that are no character yet have no text; the token that completes the character has it. A special token
        has none either, but is spelt out among the likeliest.
        """
        chosen = self._rows[row][:count]
        ids = [one.token for one in chosen]
        found: list[ScoredToken] = []
        for place, one in enumerate(chosen):
            known = ids[max(place - WINDOW, 0) : place]
            likeliest = tuple((_text(decode, known, other, False), value) for other, value in one.likeliest)
            last = place == len(ids) - 1  # what is no character yet will never be one
            found.append(ScoredToken(_text(decode, known, one.token, True, whole=last), one.logprob, likeliest))
        return tuple(found)


def _text(decode: Decode, known: Sequence[int], token: int, shown: bool, *, whole: bool = False) -> str:
    """What a token adds to the text of those before it."""
    text = decode([*known, token], shown)[len(decode(known, shown).rstrip(BROKEN)) :]
    return text if whole else text.rstrip(BROKEN)
