"""What witnesses find in a picture, as records: things and lines of text, each with a score and a box in pixels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from pydantic import Field

from core.frozen import Record

CERTAIN: Final = 0.9  # a line of text counts as certain from this score on, with two characters or more

MOST_THINGS: Final = 100  # of one witness that a record keeps
MOST_LINES: Final = 200
MOST_CHARACTERS: Final = 200  # of one line

Third = Literal["left", "middle", "right"]
Kind = Literal["things", "text"]


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

    def rounded(self) -> Box:
        """The box in tenths of a pixel."""
        return Box(**{name: round(edge, 1) for name, edge in self})

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
    body: Box | None = Field(default=None, exclude=True)  # of a person from shoulders to hips; no part of a record

    def rounded(self) -> Thing:
        """The thing with a score of four digits and a box in tenths of a pixel."""
        return self.model_copy(update={"score": round(self.score, 4), "box": self.box.rounded()})


class TextLine(Record):
    """One line of text."""

    text: str
    score: float  # 0..1
    box: Box

    @property
    def certain(self) -> bool:
        """Whether it may be quoted; other lines are "perhaps"."""
        return self.score >= CERTAIN and len(self.text.strip()) > 1

    def rounded(self) -> TextLine:
        """The line with at most `MOST_CHARACTERS`, a score of four digits and a box in tenths of a pixel."""
        text = self.text if len(self.text) <= MOST_CHARACTERS else f"{self.text[: MOST_CHARACTERS - 1]}…"
        return self.model_copy(update={"text": text, "score": round(self.score, 4), "box": self.box.rounded()})


class Findings(Record):
    """What one witness found in one picture."""

    witness: str  # its name
    revision: str
    width: int  # of the picture, in pixels
    height: int
    things: tuple[Thing, ...] = ()  # the surest first
    maybe: tuple[Thing, ...] = ()  # too unsure to be told: the best box of each name that is not among the things
    lines: tuple[TextLine, ...] = ()  # in reading order
    looked_for: tuple[Kind, ...] = ("things", "text")
    left_out: int = 0  # things and lines that a record does not keep

    def kept(self) -> Findings:
        """What a record keeps, rounded: the surest things, the first lines, how many are left out; no `maybe`."""
        return self.model_copy(
            update={
                "things": tuple(thing.rounded() for thing in self.things[:MOST_THINGS]),
                "maybe": (),
                "lines": tuple(line.rounded() for line in self.lines[:MOST_LINES]),
                "left_out": self.left_out
                + max(len(self.things) - MOST_THINGS, 0)
                + max(len(self.lines) - MOST_LINES, 0),
            }
        )

    def counts(self) -> dict[str, int]:
        """How many things of each name, the most frequent first."""
        return counted(thing.name for thing in self.things)


def counted(names: Iterable[str]) -> dict[str, int]:
    """How often each name occurs, the most frequent first, then in order of appearance."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: -pair[1]))
