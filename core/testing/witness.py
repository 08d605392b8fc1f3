"""A witness whose findings a test chooses."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import BackendError
from core.images.picture import Picture
from core.witness import Box, Findings, TextLine, Thing, Witness


def make_thing(name: str, left: float = 0, score: float = 0.9, finer: str | None = None) -> Thing:
    """A thing whose box is 10 pixels wide and high."""
    return Thing(name=name, score=score, finer=finer, box=Box(left=left, top=0, right=left + 10, bottom=10))


def make_line(text: str, score: float = 0.99) -> TextLine:
    """A line of text in a box of 20 by 10 pixels."""
    return TextLine(text=text, score=score, box=Box(left=0, top=0, right=20, bottom=10))


class FakeWitness(Witness):
    """Finds the same in every picture. `examined` has their sha256, one list per call; `fails` makes it fail."""

    name = "fake"
    revision = "1"

    def __init__(
        self, *, things: Sequence[Thing] = (), lines: Sequence[TextLine] = (), name: str = "fake", fails: bool = False
    ) -> None:
        self.name = name
        self.things, self.lines, self.fails = tuple(things), tuple(lines), fails
        self.examined: list[list[str]] = []

    def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
        self.examined.append([one.sha256 for one in pictures])
        if self.fails:
            raise BackendError(f"the witness '{self.name}' failed: out of order.")
        return [
            Findings(
                witness=self.name,
                revision=self.revision,
                width=one.width,
                height=one.height,
                things=self.things,
                lines=self.lines,
            )
            for one in pictures
        ]
