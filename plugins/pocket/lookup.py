"""Find the things that a question names, on weaker evidence.

The list of detected things holds only certain ones, so that descriptions invent nothing. A question such as "Is the
duck on the left?" says what to look for, so weaker evidence of that thing is enough.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from plugins.pocket.colours import COLOURS
from plugins.pocket.modeling import DETECTIONS, FACTS
from plugins.pocket.speech.scenes import STRANGER, Listed

if TYPE_CHECKING:
    from core.vision import VisualQuestion
    from plugins.pocket.sight import Sight


@dataclass(frozen=True, slots=True)
class EncodedCells:
    """An encoded picture."""

    tokens: Tensor  # (56, hidden), the input of the language model before the sight
    facts: Tensor  # (FACTS,) long
    votes: Tensor | None  # (K, 3), see `PocketVision.votes`; None if nothing may bypass the projection
    sight: Sight | None = None  # what is made out in a photograph; None for a composed scene
    doubtful: bool = False  # whether a photograph may be a composed scene in which no thing is certain


class Lookup:
    """Finds the things that a question names, and adds those with evidence to the hints."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        rows = model.vision_model.name_ids[1:-1].tolist()
        names = [tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]
        self.numbers = {name: number for number, name in enumerate(names, start=1)}
        self.names_of = dict(enumerate(names, start=1))
        longest_first = "|".join(map(re.escape, sorted(self.numbers, key=len, reverse=True)))
        self.named = re.compile(rf"\b({longest_first})(?:e?s)?\b")

    def names(self, text: str) -> list[int]:
        """Numbers (1..K) of the things that a text names, in order, without repetition."""
        return list(dict.fromkeys(self.numbers[name] for name in self.named.findall(text.lower())))

    def facts(self, encoded: EncodedCells, question: VisualQuestion) -> Tensor | None:
        """The facts with what this question and those before it name, on weaker evidence; None where nothing changes.

        Of a photograph only where it is doubtful whether it is one.
        """
        if encoded.votes is None or question.question is None or (encoded.sight is not None and not encoded.doubtful):
            return None
        conversation = " ".join([question.question, *(asked for asked, _ in reversed(question.history))])
        facts: Tensor | None = self.model.asked_for(encoded.facts, encoded.votes, self.names(conversation))
        return facts

    def listed(self, facts: Tensor) -> tuple[Listed, ...]:
        """The things that the facts (FACTS,) of a picture list, the surest first."""
        rows = facts[FACTS - 3 * DETECTIONS :].view(DETECTIONS, 3).tolist()
        return tuple(
            Listed(self.names_of.get(name, STRANGER), place, COLOURS[colour - 1] if colour else "")
            for name, place, colour in rows
            if name
        )
