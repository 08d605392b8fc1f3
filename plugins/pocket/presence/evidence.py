"""Weigh the evidence of a noun that a question names, for nouns that no detector knows as well.

Linear heads on the tower's mean features tell how likely kinds of things (synsets of WordNet) are: "tree", "garment",
"musical instrument". A noun has the evidence of its own head, if there is one, and of the nearest kinds above it.
`training.pocket.sight.nouns` fits the heads on labelled photographs, and one more line that weighs them together with
what detector, classifier and scene words say.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.english.wordnet import ascending

WEIGHTS: Final = Path(__file__).with_name("heads.safetensors")
NEAREST: Final = 4  # kinds above a noun whose heads are averaged
NO_HEAD: Final = 6  # steps up to the nearest head of a noun that has none, and of any that is further away
RARE: Final = 1e-4  # added to odds before the logarithm


@dataclass(frozen=True)
class NounHeads:
    """The heads: linear, from the tower's mean features to log odds."""

    synsets: Any  # (N,) int: of core.english
    weight: Any  # (N, FEATURES) float
    bias: Any  # (N,) float
    usual: Any  # (1000,) float: the classifier's mean odds of each class over many photographs
    judge: Any  # (features of `NounEvidence.features` + 1,) float: the line that weighs them, and its bias

    @classmethod
    def load(cls, file: Path = WEIGHTS) -> NounHeads:
        """From a safetensors file, in float32."""
        from safetensors.numpy import load_file

        tensors = load_file(file)
        synsets = tensors.pop("synsets")
        return cls(synsets, **{name: value.astype(np.float32) for name, value in tensors.items()})

    @cached_property
    def rows(self) -> dict[int, int]:
        """The head of each synset."""
        return {int(synset): row for row, synset in enumerate(self.synsets)}

    def evidence(self, features: Any, odds: Any) -> NounEvidence:
        """Of one picture: the tower's mean features (FEATURES,) and the classifier's odds (1000,)."""
        return NounEvidence(self, self.weight @ features + self.bias, odds)

    def above(self, noun: str) -> list[tuple[int, int]]:
        """The heads of a noun and of the kinds above it, the nearest first, each with the steps up to it."""
        found: dict[int, int] = {}
        for steps, synsets in enumerate(ascending(noun)):
            for row in sorted(self.rows[one] for one in synsets if one in self.rows):
                found.setdefault(row, steps)
        return list(found.items())


@cache
def heads() -> NounHeads:
    """The heads that ship with pocket."""
    return NounHeads.load()


@dataclass(frozen=True)
class NounEvidence:
    """What the heads and the classifier say of one picture."""

    heads: NounHeads
    scores: Any  # (N,): log odds of each head
    odds: Any  # (1000,): the classifier's

    def features(
        self, noun: str, classes: Collection[int], *, weak: bool, scene: float | None, whole: bool
    ) -> list[float]:
        """What counts for a noun.

        `classes`: of ImageNet, that it may mean; `weak`: a detector has a weak box of it; `scene`: odds as a scene
        word; `whole`: something is there that it often is a part of.
        """
        above = self.heads.above(noun)
        found = [float(self.scores[row]) for row, _ in above]
        nearest, steps = (found[0], min(above[0][1], NO_HEAD)) if above else (0.0, NO_HEAD)
        numbers = list(classes)
        unusual = np.log((self.odds[numbers].sum() + RARE) / (self.heads.usual[numbers].sum() + RARE))
        return [
            float(weak),
            0.0 if scene is None else float(np.log((scene + RARE) / (1 - scene + RARE))),
            float(whole),
            float(unusual) if numbers else 0.0,
            nearest,
            nearest if steps == 0 else 0.0,
            float(np.mean(found[:NEAREST])) if found else 0.0,
            float(steps),
        ]

    def log_odds(self, features: Sequence[float]) -> float:
        """Log odds that a noun with these features is there, for nouns that are there as often as not."""
        *weights, bias = self.heads.judge
        return float(np.dot(weights, features) + bias)
