"""Witnesses: what finds checkable evidence in a picture without language. A detector finds things, a reader finds text.

A witness examines pictures in batches and returns `Findings`: names and lines of text, each with a score and a box in
pixels of the upright picture. Like a vision backend, it is registered by a plugin and created at first use.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from core.findings import CERTAIN, Box, Findings, TextLine, Thing, Third, counted

if TYPE_CHECKING:
    from core.images.picture import Picture

__all__ = [
    "CERTAIN", "REMEMBERED", "Box", "Findings", "Remembering", "TextLine", "Thing", "Third", "Witness", "counted",
]  # fmt: skip

REMEMBERED: Final = 256  # pictures whose findings a witness of the registry keeps


class Witness(ABC):
    """Finds evidence in pictures."""

    takes_names: bool = False  # whether `look_for` finds what it is asked for, not only what `examine` finds

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

    def look_for(self, pictures: Sequence[Picture], names: Sequence[str]) -> list[Findings]:
        """Findings of each picture for things of these names, such as "red car". Raises BackendError.

        A witness that does not take names returns what `examine` finds.
        """
        return self.examine(pictures)

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
        self.takes_names = witness.takes_names
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

    def look_for(self, pictures: Sequence[Picture], names: Sequence[str]) -> list[Findings]:
        """What is found for names is not remembered."""
        if not self.takes_names:
            return self.examine(pictures)
        with self._working:
            return self.witness.look_for(pictures, names)

    def _recalled(self, keys: Iterable[_Key]) -> dict[_Key, Findings]:
        with self._lock:
            found = {key: self._found[key] for key in keys if key in self._found}
            for key in found:
                self._found.move_to_end(key)
        return found
