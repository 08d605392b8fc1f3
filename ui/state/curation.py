"""What one visitor does on the page Curate."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.curation.report.figures import Figures
    from training.curation.review.labels import Stage
    from training.curation.review.review import Review
    from training.curation.rules.rules import Verdict


@dataclass
class CuratePageState:
    """What one visitor works at; it outlives a reload."""

    root: str = ""
    path: Path | None = None
    part: str = "review"
    stage: Stage = "repair"
    reviewer: str = ""
    kinds: str = ""
    keys: bool = True
    review: Review | None = None
    stamp: Any = None
    editing: bool = False
    pressed: set[str] = field(default_factory=set)
    rules: str = ""  # as TOML; empty: the default ones
    off: set[str] = field(default_factory=set)
    verdict: tuple[Any, Verdict] | None = None
    figures: tuple[Any, Figures] | None = None
    message: str = ""

    def press(self, move: str) -> None:
        """A button that leaves the text in view; it is done when every kind that came with it is ticked.

        Two keys that follow each other quickly come as one, in no order.
        """
        self.pressed.add(move)

    def pressing(self, move: str) -> bool:
        """Whether that button was pressed and nobody has done it yet; it is the caller's now."""
        found = move in self.pressed
        self.pressed.discard(move)
        return found

    def open(self, path: Path | None) -> None:
        """Another curation: what was begun at the last one goes."""
        if path != self.path:
            self.path, self.review, self.verdict, self.figures, self.editing = path, None, None, None, False
