"""Figures with bootstrap intervals, from counts per image.

    counts = [{"right": 2, "asked": 3}, {"right": 1, "asked": 3}]          # one entry per image
    figures(counts, {"accuracy": Measure(lambda s: ratio(s["right"], s["asked"]))}, seed=0)

A measure is a function of sums over images. Images are drawn with replacement, not questions: answers about one image
depend on each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES: Final = 1000
COVERAGE: Final = 0.95

Sums = Mapping[str, "NDArray[Any]"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure as a function of summed counts; `share` is printed in per cent."""

    of: Callable[[Sums], NDArray[Any]]
    share: bool = True


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its interval; NaN where it is not defined (0 of 0)."""

    value: float
    low: float
    high: float
    share: bool = True

    def as_json(self) -> dict[str, Any]:
        """The value and its interval; null where it is not defined."""
        return {
            name: None if math.isnan(number) else round(number, 6)
            for name, number in (("value", self.value), ("low", self.low), ("high", self.high))
        }

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "-"
        factor = 100 if self.share else 1
        interval = "" if math.isnan(self.low) else f" [{self.low * factor:.1f}, {self.high * factor:.1f}]"
        return f"{self.value * factor:.1f}{interval}"


def ratio(top: NDArray[Any], bottom: NDArray[Any]) -> NDArray[Any]:
    """`top / bottom`, NaN where `bottom` is 0."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom == 0, np.nan, np.divide(top, bottom))


def share_of(top: str, bottom: str, *, share: bool = True) -> Measure:
    """The measure that divides one sum by another."""
    return Measure(lambda sums: ratio(sums[top], sums[bottom]), share)


def figures(counts: Sequence[Mapping[str, float]], measures: Mapping[str, Measure], seed: int) -> dict[str, Figure]:
    """Each measure over all images, with the bootstrap interval (percentiles) of `COVERAGE`."""
    import numpy as np

    if not counts:
        return {name: Figure(math.nan, math.nan, math.nan, measure.share) for name, measure in measures.items()}
    names = list(counts[0])
    table = np.array([[one[name] for name in names] for one in counts], dtype=np.float64)  # (images, counts)
    rng, size = np.random.default_rng(seed), len(table)
    drawn = np.stack(
        [np.bincount(rng.integers(0, size, size), minlength=size) @ table for _ in range(RESAMPLES)]
    )  # (resamples, counts)
    whole, some = _by_name(names, table.sum(axis=0)), _by_name(names, drawn.T)
    found = {}
    for name, measure in measures.items():
        samples = measure.of(some)
        samples = samples[~np.isnan(samples)]
        outside = 50 * (1 - COVERAGE)
        low, high = np.percentile(samples, [outside, 100 - outside]) if samples.size else (math.nan, math.nan)
        found[name] = Figure(float(measure.of(whole)), float(low), float(high), measure.share)
    return found


def _by_name(names: Sequence[str], sums: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return dict(zip(names, sums, strict=True))
