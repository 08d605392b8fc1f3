"""The states of the pages Curate and Train for one visitor; they survive a reload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.curation.report.figures import Figures
    from training.curation.review.labels import Stage
    from training.curation.review.review import Review
    from training.curation.rules.rules import Verdict


@dataclass
class TrainPageState:
    """The state of the page Train."""

    root: str = ""
    part: str = "runs"
    chosen: list[Path] = field(default_factory=list)
    version: int = 0  # incremented when the page itself changes `chosen`, so that the widget follows
    message: str = ""
    awaited: Path | None = None  # a run that was started here and does not train yet
    again: Path | None = None  # a run whose recipe the form starts from


@dataclass
class CuratePageState:
    """The state of the page Curate."""

    root: str = ""
    path: Path | None = None
    part: str = "review"
    stage: Stage = "repair"
    reviewer: str = ""
    kinds: str = ""  # file of error kinds
    keys: bool = True
    review: Review | None = None
    version: Any = None  # of the texts that `review` shows
    editing: bool = False
    pressed: set[str] = field(default_factory=set)
    """Buttons of the review that were pressed; two quick key presses arrive together, in no order."""
    rules: str = ""  # as TOML; empty: the default ones
    off: set[str] = field(default_factory=set)
    verdict: tuple[Any, Verdict] | None = None
    figures: tuple[Any, Figures] | None = None
    message: str = ""
    undo: list[tuple[tuple[str, Stage], str, Callable[[], object]]] = field(default_factory=list)
    """Changes of texts: the curation and sample, what was changed, and how to undo it; the last one counts."""

    def open(self, path: Path | None) -> None:
        """Change to another curation, and drop the state of the last one."""
        if path != self.path:
            self.path, self.review, self.verdict, self.figures, self.editing = path, None, None, None, False
