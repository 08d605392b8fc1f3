"""Witnesses: what finds checkable evidence in a picture without language. A detector finds things, a reader finds text.

A witness examines pictures in batches and returns `Findings`: names and lines of text, each with a score and a box in
pixels of the upright picture. Like a vision backend, it is registered by a plugin and created at first use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal

from core.records import Record

if TYPE_CHECKING:
    from core.images.picture import Picture

CERTAIN: Final = 0.9  # a line of text counts as certain from this score on, with two characters or more

Third = Literal["left", "middle", "right"]


class Box(Record):
    """A rectangle in pixels of the upright picture; (0, 0) is its top left corner."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Square pixels; 0 for a box without extent."""
        return max(self.right - self.left, 0.0) * max(self.bottom - self.top, 0.0)

    def overlap(self, other: Box) -> float:
        """Intersection over union, 0..1."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        shared = max(width, 0.0) * max(height, 0.0)
        return shared / (self.area + other.area - shared) if shared else 0.0

    def third(self, width: int) -> Third:
        """Which third of a picture of this width the centre of the box lies in."""
        centre = (self.left + self.right) / 2 / width
        return "left" if centre < 1 / 3 else "middle" if centre <= 2 / 3 else "right"


class Thing(Record):
    """One thing that was made out."""

    name: str  # a noun in the singular: "person", "dog", "traffic light"
    score: float  # 0..1
    box: Box
    finer: str | None = None  # a more exact name where one is sure: "golden retriever" for "dog"


class TextLine(Record):
    """One line of text."""

    text: str
    score: float  # 0..1
    box: Box

    @property
    def certain(self) -> bool:
        """Whether it may be quoted; other lines are "perhaps"."""
        return self.score >= CERTAIN and len(self.text.strip()) > 1


class Findings(Record):
    """What one witness found in one picture."""

    witness: str  # its name
    revision: str
    width: int  # of the picture, in pixels
    height: int
    things: tuple[Thing, ...] = ()  # the surest first
    lines: tuple[TextLine, ...] = ()  # in reading order

    def counts(self) -> dict[str, int]:
        """How many things of each name, the most frequent first."""
        return counted(thing.name for thing in self.things)


def counted(names: Iterable[str]) -> dict[str, int]:
    """How often each name occurs, the most frequent first, then in order of appearance."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: -pair[1]))


class Witness(ABC):
    """Finds evidence in pictures."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name under which it was created, argument included."""

    @property
    @abstractmethod
    def revision(self) -> str:
        """Changes whenever the findings for the same picture may change."""

    @abstractmethod
    def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
        """Findings of each picture, in order. Raises BackendError if the model fails."""

    def describe(self) -> dict[str, str]:
        """Facts for records and `inquisight plugins`: at least name and revision."""
        return {"name": self.name, "revision": self.revision}
