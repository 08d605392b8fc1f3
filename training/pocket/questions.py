"""Question-answer pairs that pocket learns from; `scene_questions` and `photo_questions` hold the kinds of question.

Every answer follows from the truth of a composed scene or, for a photograph, from the hints of the vision model. For
anything else the answer is "i do not know". The wordings are in `questions.toml`.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import ClassVar

from training.pocket.wording import ASKING, ask, pick

Pair = tuple[str | None, str, str]  # question (None: the plain caption), answer, kind
DESCRIBED = 0.35  # stage 2: share of pictures with a long description; the others get one more short question
CONTINUED = 0.3  # share of these descriptions that are continued
CONTINUE = "continue"  # kind of a pair that belongs after the one before it


class Questions(ABC):
    """Questions and answers about one picture; each kind of question is a method that takes a random generator."""

    how_often: ClassVar[dict[str, int]]  # method -> its share of the questions

    @abstractmethod
    def caption(self) -> str:
        """The short caption."""

    @abstractmethod
    def detail(self, rng: random.Random) -> Pair:
        """A request for the long description."""

    @abstractmethod
    def more(self, rng: random.Random) -> str:
        """The continuation of the long description."""

    def plain(self, rng: random.Random) -> Pair:
        return None, self.caption(), "caption"

    def pairs(self, rng: random.Random, number: int, *, chat: bool, detail: Pair | None = None) -> list[Pair]:
        """`number` pairs of different kinds; in stage 2 (`chat`) often with the long description, `detail` if given."""
        pairs: list[Pair] = []
        if not chat:
            pairs = [self.plain(rng)]
        elif rng.random() < DESCRIBED:
            pairs = [detail or self.detail(rng)]
        if chat and pairs and rng.random() < CONTINUED:
            pairs.append((pick(rng, *ASKING["continue"]), self.more(rng), CONTINUE))
        for kind in rng.choices(list(self.how_often), list(self.how_often.values()), k=number - len(pairs)):
            question, answer, label = getattr(self, kind)(rng)
            pairs.append((ask(rng, question) if question else question, answer, label))
        return pairs
