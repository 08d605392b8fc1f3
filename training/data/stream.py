"""Samples from several sources, mixed by weight and shuffled, whose position can be kept and taken up exactly.

    with open_stream([DataSpec(path="laion/{00000..00115}.tar", weight=115)], seed=42) as stream:
        for sample in stream:
            ...
        state = stream.state_dict()   # numbers only; load_state_dict(state) goes on with the very next sample

Order of things: each source gives its parts in a new order every epoch (walk.py), a weighted draw picks the source, a
buffer of `shuffle_buffer` samples shuffles, `threads` read and decode what comes next. Memory holds the buffer (of
shards and Parquet tables the pictures' files, of other sources their names) and nothing that grows with the data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

import numpy as np

from core.datasets.left_out import LeftOut
from core.datasets.samples.kinds import open_source
from core.datasets.samples.sample import BrokenLog, BrokenSample, DataError, Sample
from core.datasets.samples.sources import Load, SampleSource, all_left_out, attempt
from core.datasets.samples.spec import DataSpec
from core.errors import UsageError, printable
from core.images.picture import MAX_PIXELS
from training.data.walk import Item, Walk

VERSION: Final = 1
AHEAD: Final = 3  # samples under way per thread
_TELLS: Final = {
    "seed": "with seed {}",
    "world": "by {} processes",
    "rank": "by process {}",
    "epochs": "for {} epochs",
    "shuffle_buffer": "with a shuffle buffer of {}",
}


Ref = tuple[int, int, int]  # source, part, cursor
Change = Ref | int | None  # came into the buffer; was taken from this place of it; left the look-ahead
T = TypeVar("T")


def take(buffer: list[T], place: int) -> T:
    """Take out what is at `place`; the last one moves there."""
    buffer[place], buffer[-1] = buffer[-1], buffer[place]
    return buffer.pop()


@dataclass(frozen=True, slots=True)
class Step:
    """How a position changed while samples were taken."""

    state: Mapping[str, Any]
    changes: tuple[Change, ...]


@dataclass(slots=True)
class Position:
    """Where a stream is, kept by somebody who follows it some samples behind: one step costs what was taken in it."""

    state: Mapping[str, Any]
    buffer: list[Ref]
    ahead: deque[Ref]

    def go_on(self, step: Step) -> None:
        """Do what the stream did."""
        self.state = step.state
        for change in step.changes:
            if change is None:
                self.ahead.popleft()
            elif isinstance(change, int):
                self.ahead.append(take(self.buffer, change))
            else:
                self.buffer.append(change)

    def state_dict(self) -> dict[str, Any]:
        """As `SampleStream.state_dict` gives it."""
        buffer, ahead = [list(ref) for ref in self.buffer], [list(ref) for ref in self.ahead]
        return {**self.state, "settings": dict(self.state["settings"]), "buffer": buffer, "ahead": ahead}


class SampleStream(Iterator[Sample]):
    """What `open_stream` gives; one per process."""

    def __init__(
        self, sources: Sequence[SampleSource], *, seed: int, rank: int, world: int, epochs: int | None,
        shuffle_buffer: int, broken: BrokenLog, decode: bool, threads: int, max_pixels: int,
    ) -> None:  # fmt: skip
        self.sources = sources
        self.broken = broken
        self.taken = 0  # samples given so far
        self._decode, self._max_pixels = decode, max_pixels
        self._size = max(shuffle_buffer, 1)
        self._settings = {
            "seed": seed, "rank": rank, "world": world, "epochs": epochs, "shuffle_buffer": shuffle_buffer
        }  # fmt: skip
        self._walks = [
            Walk(one, number, seed=seed, rank=rank, world=world, epochs=epochs, shuffle=shuffle_buffer > 0)
            for number, one in enumerate(sources)
        ]
        # One generator per purpose, and another one in every process.
        self._mixing = np.random.Generator(np.random.PCG64([seed, rank, 1]))
        self._shuffling = np.random.Generator(np.random.PCG64([seed, rank, 2]))
        self._buffer: list[Item] = []
        self._changes: list[Change] | None = None  # of buffer and look-ahead, where somebody follows
        self._ahead: deque[tuple[tuple[int, int, int], Load | Future[Sample | BrokenSample]]] = deque()
        self._threads = threads
        self._known: list[dict[str, Any]] | None = None
        self._pool: ThreadPoolExecutor | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Sample:
        """The next whole sample. Raises DataError when too many are broken, or data vanish."""
        while True:
            self._look_ahead()
            if not self._ahead:
                self.broken.check()
                raise StopIteration
            (number, _, _), waiting = self._ahead[0]
            result = waiting.result() if isinstance(waiting, Future) else self._finish(waiting)
            self._ahead.popleft()
            self._note(None)
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
            self._pool = None

    def state_dict(self) -> dict[str, Any]:
        """The exact position: lists and dicts of numbers and short texts, fit for JSON and torch.save.

        Every process has its own; it must be saved between two samples.
        """
        buffer, ahead = [ref for ref, _ in self._buffer], [ref for ref, _ in self._ahead]
        return Position(self._small_state(), buffer, deque(ahead)).state_dict()

    def follow(self) -> Position:
        """The position now; from here on `step` says how it changes."""
        self._changes = []
        return Position(self._small_state(), [ref for ref, _ in self._buffer], deque(ref for ref, _ in self._ahead))

    def step(self) -> Step:
        """What has changed since `follow` or the last `step`, for `Position.go_on`; as long as samples were taken."""
        assert self._changes is not None, "nobody follows"
        changes, self._changes = self._changes, []
        return Step(self._small_state(), tuple(changes))

    def _small_state(self) -> dict[str, Any]:
        """Of the position what does not grow with the shuffle buffer."""
        return {
            "version": VERSION,
            "settings": self._settings,
            "sources": self._identities(),
            "taken": self.taken,
            "walks": [walk.state_dict() for walk in self._walks],
            "mixing": self._mixing.bit_generator.state,
            "shuffling": self._shuffling.bit_generator.state,
            "broken": self.broken.state_dict(),
        }

    def _note(self, change: Change) -> None:
        if self._changes is not None:
            self._changes.append(change)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was saved. Raises DataError for another mix, seed, process or other data."""
        self._check(state)
        self._cancel()
        self.taken = int(state["taken"])
        for walk, position in zip(self._walks, state["walks"], strict=True):
            walk.load_state_dict(position)
        self._mixing.bit_generator.state = state["mixing"]
        self._shuffling.bit_generator.state = state["shuffling"]
        self.broken.load_state_dict(state["broken"])
        refs = [_ref(ref) for ref in (*state["ahead"], *state["buffer"])]
        found: dict[tuple[int, int, int], Load] = {}
        for number, source in enumerate(self.sources):
            own = [(part, cursor) for one, part, cursor in refs if one == number]
            found |= {(number, *ref): load for ref, load in source.at(own)}
        waiting = [(ref, found[ref]) for ref in refs]
        for ref, load in waiting[: len(state["ahead"])]:
            self._ahead.append((ref, self._begin(load)))
        self._buffer = waiting[len(state["ahead"]) :]

    # -- the way of a sample ------------------------------------------------------------------------------------------

    def _mixed(self) -> Item | None:
        """The next item of a source that is drawn by weight; None when all have given all their epochs."""
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
        while len(self._buffer) < self._size and (item := self._mixed()) is not None:
            self._buffer.append(item)
            self._note(item[0])
        if not self._buffer:
            return None
        place = int(self._shuffling.integers(len(self._buffer))) if len(self._buffer) > 1 else 0
        self._note(place)
        return take(self._buffer, place)

    def _look_ahead(self) -> None:
        while len(self._ahead) < max(1, AHEAD * self._threads) and (item := self._shuffled()) is not None:
            self._ahead.append((item[0], self._begin(item[1])))

    def _begin(self, load: Load) -> Load | Future[Sample | BrokenSample]:
        if not self._threads:
            return load
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="samples")
        return self._pool.submit(self._finish, load)

    def _finish(self, load: Load) -> Sample | BrokenSample:
        return attempt(lambda: load().decoded(self._max_pixels)) if self._decode else attempt(load)

    def _identities(self) -> list[dict[str, Any]]:
        if self._known is None:
            self._known = [_identity(source) for source in self.sources]
        return self._known

    def _cancel(self) -> None:
        for _, waiting in self._ahead:
            if isinstance(waiting, Future):
                waiting.cancel()
        self._ahead.clear()

    def _check(self, state: Mapping[str, Any]) -> None:
        if state.get("version") != VERSION:
            raise DataError("the saved position of the data was written by another version; begin the run anew.")
        saved = state["settings"]
        for name, words in _TELLS.items():
            if saved[name] != self._settings[name]:
                was, now = words.format(saved[name]), words.format(self._settings[name])
                raise DataError(f"the position of the data was saved {was}, but this run reads {now}; use the same.")
        there = self._identities()
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
    max_pixels: int = MAX_PIXELS,
) -> SampleStream:
    """Samples for process `rank` of `world`, endlessly or for n epochs of every source.

    `shuffle_buffer` 0 keeps the order of the data. With `decode` every picture is opened (`sample.open()` has it), so
    that a broken one is skipped here; without it only its file is read. `threads` read and decode ahead; they change
    nothing about the order or the position. Raises DataError or UsageError, one line, where it cannot work.
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
        broken=broken or BrokenLog(), decode=decode, threads=threads, max_pixels=max_pixels,
    )  # fmt: skip


def left_out_of(streams: Sequence[SampleStream]) -> LeftOut:
    """What the data of several streams over the same specs hold and is not read, as far as they have seen."""
    found = LeftOut()
    for readers in zip(*(stream.sources for stream in streams), strict=True):
        found.update(all_left_out(readers))
    return found


def count(specs: Sequence[DataSpec]) -> list[int | None]:
    """Samples of each source in one epoch, broken ones included; None where only reading everything would tell."""
    found: list[int | None] = []
    for spec in specs:
        number = open_source(spec).count()
        found.append(None if number is None else round(number * spec.share))
    return found


def _ref(values: Sequence[int]) -> tuple[int, int, int]:
    source, part, cursor = (int(value) for value in values)
    return source, part, cursor


def _identity(source: SampleSource) -> dict[str, Any]:
    """What must be the same again; the path may change, for data move from disk to disk."""
    return {
        "spec": {**source.spec.model_dump(exclude={"path"}), "kind": source.kind},
        "identity": source.identity(),
    }
