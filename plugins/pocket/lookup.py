"""Looking again for what a question names.

The eye lists only what it is sure of, since a description must invent nothing. "Is the duck on the left?" is another
matter: the question says what to look for, so weaker evidence of that one thing will do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from core.vision import VisualQuestion


@dataclass(frozen=True, slots=True)
class EncodedCells:
    """An encoded picture."""

    tokens: Tensor  # (56, hidden), what the language model is shown
    facts: Tensor  # (FACTS,) long
    votes: Tensor | None  # (K, 3), see `PocketVision.votes`; None where nothing may bypass the projection


class Lookup:
    """Finds the things that a question names, and shows the language model those that something speaks for."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        rows = model.vision_model.name_ids[1:-1].tolist()
        names = [tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]
        self.numbers = {name: number for number, name in enumerate(names, start=1)}
        longest_first = "|".join(map(re.escape, sorted(self.numbers, key=len, reverse=True)))
        self.named = re.compile(rf"\b({longest_first})(?:e?s)?\b")

    def names(self, text: str) -> list[int]:
        """Numbers (1..K) of the things that a text names, in its order, each once."""
        return list(dict.fromkeys(self.numbers[name] for name in self.named.findall(text.lower())))

    def tokens(self, encoded: EncodedCells, question: VisualQuestion) -> Tensor:
        """What the language model is shown for this question; things named earlier in the talk count as well."""
        if encoded.votes is None or question.question is None:
            return encoded.tokens
        talk = " ".join([question.question, *(asked for asked, _ in reversed(question.history))])
        facts = self.model.asked_for(encoded.facts, encoded.votes, self.names(talk))
        return encoded.tokens if facts is None else self.model.with_hints(encoded.tokens, facts)
