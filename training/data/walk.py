"""One process's way through one source: whole epochs, parts in a shuffled order, no sample of another process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets.samples.sample import DataError
from core.datasets.samples.sources import Load, SamplePlace, SampleSource, loaded
from core.errors import printable

Item = tuple[tuple[int, int, int], Load]  # (source, part, cursor), how to read it


@dataclass(slots=True)
class WalkPosition:
    """Where the next sample is."""

    epoch: int = 0
    place: int = 0  # in this epoch's order of parts
    cursor: int = 0  # in the part
    ordinal: int = 0  # samples of the part that were passed, other processes' included
    given: int = 0  # samples of this epoch that were given
    barren: int = 0  # epochs in a row that gave none
    done: bool = False


class Walk:
    """Gives items until `epochs` are over (None: for ever).

    Whole parts are dealt to the `world` processes in turn. Those left over, and all parts of a source whose rows are
    cheap to pass, are shared sample by sample. So whatever the numbers are, each sample of an epoch belongs to exactly
    one process.
    """

    def __init__(
        self, source: SampleSource, number: int, *, seed: int, rank: int, world: int, epochs: int | None, shuffle: bool
    ) -> None:
        self.source, self.number = source, number
        self.seed, self.rank, self.world, self.epochs, self.shuffle = seed, rank, world, epochs, shuffle
        self.at = WalkPosition()
        self._reading: Iterator[SamplePlace] | None = None
        self._order: tuple[int, NDArray[np.int64], int] | None = None  # (epoch, parts, first shared one)

    def take(self) -> Item | None:
        """The next item; None when all epochs are over. Raises DataError where there is nothing for this process."""
        while not (at := self.at).done:
            parts, first_shared = self._parts()
            if at.place >= len(parts):
                self._end_of_epoch()
                continue
            part = int(parts[at.place])
            if self._reading is None:
                self._reading = self.source.read(part, at.cursor)
            found = next(self._reading, None)
            if found is None:
                self._reading = None
                at.place, at.cursor, at.ordinal = at.place + 1, 0, 0
                continue
            # The turn moves on from part to part, or the first processes would always get the odd ones.
            mine = at.place < first_shared or (at.ordinal + at.place + at.epoch) % self.world == self.rank
            at.cursor, at.ordinal = found.after, at.ordinal + 1
            if mine and self._in_share(found.key):
                at.given += 1
                load = loaded(found.load) if self.source.eager else found.load
                return (self.number, part, found.cursor), load
        return None

    def state_dict(self) -> dict[str, Any]:
        """The position, in numbers."""
        return asdict(self.at)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position."""
        self.at = WalkPosition(**state)
        self._reading = None

    def _parts(self) -> tuple[NDArray[np.int64], int]:
        """This epoch's parts of this process in order, and the place from which on they are shared."""
        epoch = self.at.epoch
        if self._order is None or self._order[0] != epoch:
            count = self.source.parts
            order = np.arange(count)
            if self.shuffle:  # the same in every process
                np.random.default_rng([self.seed, self.number, epoch]).shuffle(order)
            whole = count - count % self.world if self.source.eager else 0
            own = order[:whole][self.rank :: self.world]
            self._order = (epoch, np.concatenate((own, order[whole:])), len(own))
        return self._order[1], self._order[2]

    def _end_of_epoch(self) -> None:
        at = self.at
        barren = 0 if at.given else at.barren + 1
        if self.epochs is None and barren > self.world:
            raise DataError(
                f"{printable(self.source.name)} has no samples for process {self.rank} of {self.world}: take fewer "
                "processes, or more of the data."
            )
        self.at = WalkPosition(epoch=at.epoch + 1, barren=barren)
        self.at.done = self.epochs is not None and self.at.epoch >= self.epochs

    def _in_share(self, key: str) -> bool:
        share = self.source.spec.share
        if share >= 1:
            return True
        hashed = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=4).digest()
        return int.from_bytes(hashed) < share * 2**32
