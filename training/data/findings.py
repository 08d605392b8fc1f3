"""The result of `inquisight data check`: figures, and what is wrong, most serious first."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

Level = Literal["stops", "warning", "note"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataFinding(_Record):
    """One thing to know. `stops`: a training run would not begin, or would give up."""

    level: Level
    text: str
    examples: tuple[str, ...] = ()


class Spread(_Record):
    """Minimum, percentiles, maximum and mean of many numbers."""

    least: int
    tenth: int
    median: int
    ninetieth: int
    most: int
    mean: float

    @classmethod
    def of(cls, counts: Counter[int]) -> Spread | None:
        """From value -> frequency; None if there are none."""
        if not counts:
            return None
        values = np.repeat(list(counts), list(counts.values()))
        found = np.quantile(values, (0, 0.1, 0.5, 0.9, 1), method="inverted_cdf")
        names = ("least", "tenth", "median", "ninetieth", "most")
        return cls(**dict(zip(names, map(int, found), strict=True)), mean=round(float(values.mean()), 1))


class SourceReport(_Record):
    """One path."""

    path: str
    kind: str | None
    parts: int = 0
    samples: int | None = None  # if known without reading everything
    looked_at: int = 0
    broken: int = 0
    left_out: dict[str, Any] = {}  # what is not read: "count", and "reasons" with a count and the first name


class Report(_Record):
    """The whole result; `--json` prints it."""

    sources: tuple[SourceReport, ...]
    complete: bool  # every sample was checked
    looked_at: int
    broken: int
    findings: tuple[DataFinding, ...]
    unit: str  # of lengths: "tokens" or "words"
    lengths: Spread | None = None
    histogram: dict[int, int] = {}  # length -> captions
    longest: int = 0  # longer captions are cut
    widths: Spread | None = None
    heights: Spread | None = None
    file_kilobytes: Spread | None = None
    languages: dict[str, int] | None = None  # None: not detected
    repeated_pictures: int = 0
    repeated_captions: int = 0
    seconds: float = 0.0

    @property
    def stops(self) -> bool:
        """Whether a training run would stop."""
        return any(finding.level == "stops" for finding in self.findings)
