"""Stream samples from several sources, mixed by weight and shuffled; the exact position can be saved and restored.

    with open_stream([DataSpec(path="laion/{00000..00115}.tar", weight=115)], seed=42) as stream:
        for sample in stream:
            ...
        state = stream.state_dict()   # numbers only; load_state_dict(state) continues with the very next sample

Each source gives its parts in a new order every epoch (walk.py). A weighted draw picks the source, a buffer of
`shuffle_buffer` samples shuffles, and `threads` read and decode what comes next. Memory holds the buffer (files of
pictures from shards and Parquet tables, names from other sources) and nothing that grows with the data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any, Final, Self

import numpy as np

from core.datasets.left_out import LeftOut
from core.datasets.samples.kinds import open_source
from core.datasets.samples.sample import BrokenLog, BrokenSample, DataError, Sample
from core.datasets.samples.sources import Load, SampleSource, all_left_out, attempt
from core.datasets.samples.spec import DataSpec
from core.errors import UsageError, printable
from training.data.walk import Item, Ref, Walk

VERSION: Final = 2
AHEAD: Final = 3  # samples prepared per thread


class SampleStream(Iterator[Sample]):
    """The samples of one process; `open_stream` makes it."""

    def __init__(
        self, sources: Sequence[SampleSource], *, seed: int, rank: int, world: int, epochs: int | None,
        shuffle_buffer: int, broken: BrokenLog, decode: bool, threads: int,
    ) -> None:  # fmt: skip
        self.sources = sources
        self.broken = broken
        self.taken = 0  # samples returned so far
        self._decode, self._threads = decode, threads
        self._size = max(shuffle_buffer, 1)
        self._settings = {
            "seed": seed, "rank": rank, "world": world, "epochs": epochs, "shuffle_buffer": shuffle_buffer
        }  # fmt: skip
        self._walks = [
            Walk(one, number, seed=seed, rank=rank, world=world, epochs=epochs, shuffle=shuffle_buffer > 0)
            for number, one in enumerate(sources)
        ]
        # One generator per purpose, different in every process.
        self._mixing = np.random.Generator(np.random.PCG64([seed, rank, 1]))
        self._shuffling = np.random.Generator(np.random.PCG64([seed, rank, 2]))
        self._buffer: list[Item] = []
        self._ahead: deque[tuple[Ref, Load | Future[Sample | BrokenSample]]] = deque()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="samples") if threads else None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Sample:
        """Return the next whole sample. Raises DataError if too many are broken, or data are missing."""
        while True:
            while len(self._ahead) < max(1, AHEAD * self._threads) and (item := self._shuffled()) is not None:
                self._ahead.append((item[0], self._begin(item[1])))
            if not self._ahead:
                self.broken.check()
                raise StopIteration
            (number, _, _), waiting = self._ahead[0]
            result = waiting.result() if isinstance(waiting, Future) else self._finish(waiting)
            self._ahead.popleft()
            if isinstance(result, BrokenSample):
                self.broken.add(self.sources[number].name, result)
                continue
            self.broken.good()
            self.taken += 1
            return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads; the stream is not used afterwards."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the exact position between two samples: numbers and short texts, fit for JSON.

        Every process has its own.
        """
        return {
            "version": VERSION,
            "settings": self._settings,
            "sources": self._identities,
            "taken": self.taken,
            "walks": [walk.state_dict() for walk in self._walks],
            "mixing": self._mixing.bit_generator.state,
            "shuffling": self._shuffling.bit_generator.state,
            "broken": self.broken.state_dict(),
            "buffer": [ref for ref, _ in self._buffer],
            "ahead": [ref for ref, _ in self._ahead],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was saved. Raises DataError for another mix, seed, process or other data."""
        self._check(state)
        self.taken = int(state["taken"])
        for walk, position in zip(self._walks, state["walks"], strict=True):
            walk.load_state_dict(position)
        self._mixing.bit_generator.state = state["mixing"]
        self._shuffling.bit_generator.state = state["shuffling"]
        self.broken.load_state_dict(state["broken"])
        ahead, buffer = ([(one[0], one[1], one[2]) for one in state[name]] for name in ("ahead", "buffer"))
        found: dict[Ref, Load] = {}
        for number, source in enumerate(self.sources):
            own = [(part, cursor) for one, part, cursor in (*ahead, *buffer) if one == number]
            found |= {(number, *place): load for place, load in source.at(own)}
        self._ahead = deque((ref, self._begin(found[ref])) for ref in ahead)
        self._buffer = [(ref, found[ref]) for ref in buffer]

    def _mixed(self) -> Item | None:
        """Return the next item of a source drawn by weight; None when all have given all their epochs."""
        while alive := [walk for walk in self._walks if not walk.at.done]:
            chosen = alive[0]
            if len(alive) > 1:
                weights = np.cumsum([walk.source.spec.weight for walk in alive])
                drawn = int(np.searchsorted(weights, self._mixing.random() * weights[-1], side="right"))
                chosen = alive[min(drawn, len(alive) - 1)]
            if (item := chosen.take()) is not None:
                return item
        return None

    def _shuffled(self) -> Item | None:
        buffer = self._buffer
        while len(buffer) < self._size and (item := self._mixed()) is not None:
            buffer.append(item)
        if not buffer:
            return None
        place = int(self._shuffling.integers(len(buffer))) if len(buffer) > 1 else 0
        buffer[place], buffer[-1] = buffer[-1], buffer[place]
        return buffer.pop()

    def _begin(self, load: Load) -> Load | Future[Sample | BrokenSample]:
        return self._pool.submit(self._finish, load) if self._pool else load

    def _finish(self, load: Load) -> Sample | BrokenSample:
        found = load()
        return attempt(found.decoded) if self._decode and isinstance(found, Sample) else found

    @cached_property
    def _identities(self) -> list[dict[str, Any]]:
        """What must be the same again; the path may change, because data move from disk to disk."""
        return [
            {"spec": {**one.spec.model_dump(exclude={"path"}), "kind": one.kind}, "identity": one.identity()}
            for one in self.sources
        ]

    def _check(self, state: Mapping[str, Any]) -> None:
        if state.get("version") != VERSION:
            raise DataError("the saved position of the data was written by another version; begin the run anew.")
        for name, now in self._settings.items():
            if (saved := state["settings"][name]) != now:
                raise DataError(
                    f"the position of the data was saved with {name}={saved}, but this run has {name}={now}; use the "
                    "same."
                )
        there = self._identities
        if len(there) != len(state["sources"]):
            raise DataError(f"the position was saved for {len(state['sources'])} data sets, not for {len(there)}.")
        for source, before, here in zip(self.sources, state["sources"], there, strict=True):
            if before["spec"] != here["spec"]:
                fields = here["spec"]
                other = next((name for name in fields if fields[name] != before["spec"].get(name)), "kind")
                raise DataError(f"{other} of {printable(source.name)} is not what it was when the position was saved.")
            if before["identity"] != here["identity"]:
                raise source.changed()


def open_stream(
    specs: Sequence[DataSpec],
    *,
    seed: int,
    rank: int = 0,
    world: int = 1,
    epochs: int | None = None,
    shuffle_buffer: int = 1000,
    broken: BrokenLog | None = None,
    decode: bool = True,
    threads: int = 0,
) -> SampleStream:
    """Return the samples of process `rank` of `world`, endless or for `epochs` of every source.

    `shuffle_buffer` 0 keeps the order of the data. With `decode` every picture is opened, so that a broken one is
    skipped here; without it only its file is read. `threads` read and decode ahead; they change neither the order nor
    the position. Raises DataError or UsageError, one line.
    """
    if not specs:
        raise UsageError("no data were named: give at least one path.")
    for name, value, least in (
        ("world", world, 1), ("rank", rank, 0), ("seed", seed, 0), ("shuffle_buffer", shuffle_buffer, 0),
        ("threads", threads, 0), ("epochs", 1 if epochs is None else epochs, 1),
    ):  # fmt: skip
        if value < least:
            raise UsageError(f"{name} must be {least} or more, not {value}.")
    if rank >= world:
        raise UsageError(f"rank is {rank}, but with {world} processes it goes from 0 to {world - 1}.")
    return SampleStream(
        [open_source(spec) for spec in specs],
        seed=seed, rank=rank, world=world, epochs=epochs, shuffle_buffer=shuffle_buffer,
        broken=broken or BrokenLog(), decode=decode, threads=threads,
    )  # fmt: skip


def left_out_of(streams: Sequence[SampleStream]) -> LeftOut:
    """Return what the data of several streams over the same specs hold and do not read, as far as they have seen."""
    found = LeftOut()
    for readers in zip(*(stream.sources for stream in streams), strict=True):
        found.update(all_left_out(readers))
    return found


def count(specs: Sequence[DataSpec]) -> list[int | None]:
    """Return the samples of each source in an epoch, broken ones included; None if only reading everything tells."""
    counts = [open_source(spec).count() for spec in specs]
    return [None if one is None else round(one * spec.share) for one, spec in zip(counts, specs, strict=True)]
