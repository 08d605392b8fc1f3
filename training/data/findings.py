"""What `inquisight data check` found: figures, and what is wrong in order of weight."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Level = Literal["stops", "warning", "note"]


class DataFinding(BaseModel):
    """One thing to know. `stops`: a training run would not begin or would give up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Level
    text: str
    examples: tuple[str, ...] = ()


class Spread(BaseModel):
    """Smallest, middle and largest of many numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    least: int
    tenth: int
    median: int
    ninetieth: int
    most: int
    mean: float

    @classmethod
    def of(cls, counts: Counter[int]) -> Spread | None:
        """From value -> how often; None where there are none."""
        total = counts.total()
        if not total:
            return None
        ordered = sorted(counts.items())

        def at(share: float) -> int:
            passed = 0
            for value, times in ordered:
                passed += times
                if passed >= share * total:
                    return value
            return ordered[-1][0]

        mean = sum(value * times for value, times in ordered) / total
        return cls(
            least=ordered[0][0], tenth=at(0.1), median=at(0.5), ninetieth=at(0.9), most=ordered[-1][0],
            mean=round(mean, 1),
        )  # fmt: skip


class SourceReport(BaseModel):
    """One path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    kind: str | None
    parts: int = 0
    samples: int | None = None  # where known without reading everything
    looked_at: int = 0
    broken: int = 0
    left_out: dict[
        str, Any
    ] = {}  # what it holds and is not read: "count", and "reasons" with a count and the first name


class Report(BaseModel):
    """All of it; `--json` prints this."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: tuple[SourceReport, ...]
    complete: bool  # every sample was looked at
    looked_at: int
    broken: int
    findings: tuple[DataFinding, ...]
    unit: str  # of lengths: "tokens" or "words"
    lengths: Spread | None = None
    histogram: dict[int, int] = {}  # length -> captions
    longest: int = 0  # more than this is overlong
    widths: Spread | None = None
    heights: Spread | None = None
    file_kilobytes: Spread | None = None
    languages: dict[str, int] | None = None  # None: not looked at
    repeated_pictures: int = 0
    repeated_captions: int = 0
    seconds: float = 0.0

    @property
    def stops(self) -> bool:
        """Whether a training run would stop."""
        return any(finding.level == "stops" for finding in self.findings)
