"""Witnesses: what finds checkable evidence in a picture without language. A detector finds things, a reader finds text.

A witness examines pictures in batches and returns `Findings`: names and lines of text, each with a score and a box in
pixels of the upright picture. Like a vision backend, it is registered by a plugin and created at first use.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal

from core.records import Record

if TYPE_CHECKING:
    from core.images.picture import Picture

REMEMBERED: Final = 256  # pictures whose findings a witness of the registry keeps
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
    maybe: tuple[Thing, ...] = ()  # too unsure to be told: the best box of each name that is not among the things
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


_Key = tuple[str, int, int, str]  # a picture's sha256, width and height, and the witness's revision


class Remembering(Witness):
    """A witness that examines no picture twice while it is remembered: the last `limit` pictures. Thread-safe.

    Pictures are examined by one thread at a time, so `witness` itself need not be thread-safe; what is remembered
    never waits. A failure is not remembered.
    """

    def __init__(self, witness: Witness, limit: int = REMEMBERED) -> None:
        self.witness, self.limit = witness, limit
        self._found: OrderedDict[_Key, Findings] = OrderedDict()
        self._lock = threading.Lock()  # of `_found`
        self._working = threading.Lock()

    @property
    def name(self) -> str:
        return self.witness.name

    @property
    def revision(self) -> str:
        return self.witness.revision

    def describe(self) -> dict[str, str]:
        return self.witness.describe()

    def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
        wanted = {(one.sha256, one.width, one.height, self.revision): one for one in pictures}
        found = self._recalled(wanted)
        if len(found) < len(wanted):
            with self._working:
                found |= self._recalled(key for key in wanted if key not in found)  # another thread may have examined
                missing = {key: one for key, one in wanted.items() if key not in found}
                new = dict(zip(missing, self.witness.examine(list(missing.values())), strict=True)) if missing else {}
                with self._lock:
                    self._found.update(new)
                    while len(self._found) > self.limit:
                        self._found.popitem(last=False)
            found |= new
        return [found[one.sha256, one.width, one.height, self.revision] for one in pictures]

    def _recalled(self, keys: Iterable[_Key]) -> dict[_Key, Findings]:
        with self._lock:
            found = {key: self._found[key] for key in keys if key in self._found}
            for key in found:
                self._found.move_to_end(key)
        return found
