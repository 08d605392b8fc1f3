"""How the next token is chosen and how tokens become text: options, one choice per row, stop strings, safe pieces."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from core.errors import UsageError

BROKEN: Final = "\N{REPLACEMENT CHARACTER}"  # what a tokenizer gives for bytes that are not (yet) a character


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """Decoding options under the names transformers gives them; the defaults decode greedily.

    Penalties count generated tokens only, as in the original, which generated from embeddings. Raises UsageError.
    """

    max_new_tokens: int = 300
    do_sample: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0  # 0: all tokens
    num_beams: int = 1
    repetition_penalty: float = 1.0
    length_penalty: float = 1.0  # beams only
    min_length: int = 0  # new tokens before an end of text is allowed
    seed: int | None = None  # with the same seed a row gives the same answer in any batch

    def __post_init__(self) -> None:
        limits = {
            "max_new_tokens": (self.max_new_tokens >= 1, "at least 1"),
            "temperature": (self.temperature > 0, "above 0; for greedy decoding set do_sample to False"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "top_k": (self.top_k >= 0, "0 (all tokens) or more"),
            "num_beams": (self.num_beams >= 1, "at least 1"),
            "repetition_penalty": (self.repetition_penalty > 0, "above 0; 1 means none"),
            "min_length": (self.min_length >= 0, "0 or more"),
        }
        for name, (fine, allowed) in limits.items():
            if not fine:
                raise UsageError(f"{name} is {getattr(self, name)}, but must be {allowed}.")


GREEDY: Final = DecodingOptions(max_new_tokens=60)
# `answer_prepare` and `demo.py` of the original; top_k was not set there, so that transformers' default of 50 held.
ORIGINAL: Final = DecodingOptions(do_sample=True, top_p=0.9, top_k=50, repetition_penalty=1.05, min_length=1)


class Chooser:
    """Chooses one token per row. Each row draws from a generator of its own, so a batch cannot change its answer."""

    def __init__(
        self, options: DecodingOptions, rows: int, *, ends: Sequence[int], never: Sequence[int], device: Any
    ) -> None:
        self.options = options
        self.processors = LogitsProcessorList()
        if options.repetition_penalty != 1:
            self.processors.append(RepetitionPenaltyLogitsProcessor(options.repetition_penalty))
        if options.min_length and ends:
            self.processors.append(
                MinNewTokensLengthLogitsProcessor(0, options.min_length, list(ends), device=str(device))
            )
        if never:
            self.processors.append(SuppressTokensLogitsProcessor(list(never), device=str(device)))
        if options.do_sample:
            if options.temperature != 1:
                self.processors.append(TemperatureLogitsWarper(options.temperature))
            if options.top_k:
                self.processors.append(TopKLogitsWarper(options.top_k))
            if options.top_p < 1:
                self.processors.append(TopPLogitsWarper(options.top_p))
        self.generators = [torch.Generator() for _ in range(rows)]
        for generator in self.generators:
            generator.manual_seed(secrets.randbits(62) if options.seed is None else options.seed)

    def __call__(self, logits: Tensor, said: Tensor, rows: Sequence[int]) -> Tensor:
        """logits (B, vocabulary), generated so far (B, n), number of each row -> (B,)."""
        scores = self.processors(said, logits.float())
        if not self.options.do_sample:
            return scores.argmax(-1)
        # Inverse distribution function with one number per row: the draws do not depend on device or batch.
        probabilities, tokens = scores.softmax(-1).sort(stable=True, dim=-1, descending=True)
        draws = torch.cat([torch.rand(1, generator=self.generators[row]) for row in rows])
        totals = probabilities.cumsum(-1)
        place = torch.searchsorted(totals, draws.to(totals.device)[:, None] * totals[:, -1:], right=True)
        last = (probabilities > 0).sum(-1, keepdim=True) - 1
        return tokens.gather(-1, torch.minimum(place, last))[:, 0]


class Speech:
    """One row's tokens as text, told in pieces that never have to be taken back.

    A piece is held while it could still become a stop string, while its last character is incomplete, or while it ends
    in blanks (answers have none around them). `text` is what was told: the joined pieces are the answer.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.stops = tuple(stops)
        self.ids: list[int] = []
        self.text = ""
        self.stopped = False

    def feed(self, token: int) -> str:
        """The text that became certain with this token, often none."""
        self.ids.append(token)
        text = self._decoded()
        ends = [place for stop in self.stops if (place := text.find(stop)) >= 0]
        if ends:
            self.stopped = True
            return self._tell(text[: min(ends)])
        text = text.rstrip(BROKEN)
        return self._tell(text[: len(text) - self._held(text)])

    def close(self) -> str:
        """What was still held, once no token follows."""
        return "" if self.stopped else self._tell(self._decoded())

    def _decoded(self) -> str:
        text: str = self.tokenizer.decode(self.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.lstrip()

    def _held(self, text: str) -> int:
        return max(
            (n for stop in self.stops for n in range(1, len(stop)) if text.endswith(stop[:n])),
            default=0,
        )

    def _tell(self, text: str) -> str:
        piece = text.rstrip()[len(self.text) :]
        self.text += piece
        return piece
