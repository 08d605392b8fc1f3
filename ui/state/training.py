"""What one visitor does on the page Train."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


@dataclass
class TrainPageState:
    """What one visitor looks at; it outlives a reload."""

    root: str = ""
    part: str = "runs"
    chosen: list[Path] = field(default_factory=list)
    version: int = 0  # counted up where the page itself chooses, so that the widget takes it over
    message: str = ""
    awaited: Path | None = None  # started here, and has not reported yet that it trains
    again: Path | None = None  # a run whose recipe the form for a new one begins with
