"""One process's way through one source: whole epochs, parts in shuffled order, no sample of another process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets.samples.sample import DataError
from core.datasets.samples.sources import Load, SamplePlace, SampleSource
from core.errors import printable

Ref = tuple[int, int, int]  # source, part, cursor
Item = tuple[Ref, Load]  # a sample, and how to read it


@dataclass(slots=True)
class WalkPosition:
    """Where the next sample is."""

    epoch: int = 0
    place: int = 0  # in this epoch's order of parts
    cursor: int = 0  # in the part
    ordinal: int = 0  # samples of the part that were passed, including those of other processes
    given: int = 0  # samples returned in this epoch
    barren: int = 0  # consecutive epochs that returned none
    done: bool = False


class Walk:
    """Return items until `epochs` are over (None: endless).

    Whole parts are dealt to the `world` processes in turn. Those left over, and all parts of a source whose rows are
    cheap to skip, are shared sample by sample. So each sample of an epoch belongs to exactly one process.
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
        """Return the next item; None when all epochs are over. Raises DataError if this process gets none."""
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
                return (self.number, part, found.cursor), self.source.loading(found)
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return the position, in numbers."""
        return asdict(self.at)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a position."""
        self.at = WalkPosition(**state)
        self._reading = None

    def _parts(self) -> tuple[NDArray[np.int64], int]:
        """Return this epoch's parts of this process in order, and the place from which on they are shared."""
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
        epoch, barren = self.at.epoch + 1, 0 if self.at.given else self.at.barren + 1
        if self.epochs is None and barren > self.world:
            raise DataError(
                f"{printable(self.source.name)} has no samples for process {self.rank} of {self.world}: use fewer "
                "processes, or more of the data."
            )
        self.at = WalkPosition(epoch, barren=barren, done=self.epochs is not None and epoch >= self.epochs)

    def _in_share(self, key: str) -> bool:
        share = self.source.spec.share
        if share >= 1:
            return True
        hashed = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=4).digest()
        return int.from_bytes(hashed) < share * 2**32
