"""The samples of every step, on their way to the model: read, resized and put into token ids ahead of their time.

Sample k of a run (0, 1, 2 ...) comes from reader k modulo `streams`, and reader v belongs to process v modulo the
number of processes. So a batch is the same on any number of processes that divides `streams`, and so is the place at
which a run goes on after an interruption.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from core.datasets.left_out import LeftOut
from core.datasets.samples.sample import BrokenLog, BrokenSample, Sample
from core.errors import UsageError
from plugins.minigpt4.runtime.loading import Checked
from training.data.stream import SampleStream, Step, left_out_of, open_stream
from training.packing import Words
from training.recipes import Recipe
from training.stages import Wording, pixels

AHEAD: Final = 2  # steps that are prepared beforehand


@dataclass(frozen=True, slots=True)
class Batch:
    """This process's share of one step."""

    step: int  # counted from 1
    keys: tuple[str, ...]
    words: tuple[Words, ...]
    inputs: Tensor | None  # pictures (S, 3, size, size) or kept features (S, tokens, width); None without samples
    moves: Mapping[str, Step]  # how the positions of this process's readers changed


class Feed:
    """Batches of the steps after `done`, in order. Close it."""

    def __init__(
        self,
        recipe: Recipe,
        wording: Wording,
        checked: Checked,
        *,
        steps: int,
        rank: int = 0,
        world: int = 1,
        done: int = 0,
        positions: Mapping[str, Any] | None = None,
        features: Any | None = None,
        report: Path | None = None,
    ) -> None:
        if recipe.streams % world:
            raise UsageError(
                f"streams={recipe.streams} cannot be shared evenly by {world} processes: --set streams={world}."
            )
        self.recipe, self.wording, self.checked, self.features = recipe, wording, checked, features
        self.steps, self.done = steps, done
        self._owner = [reader % world == rank for reader in range(recipe.streams)]
        self.streams: dict[int, SampleStream] = {}
        mine = [reader for reader, own in enumerate(self._owner) if own]
        broken = BrokenLog(report, max_share=recipe.max_broken)  # of all readers, so that each is named once
        for reader in mine:
            stream = open_stream(
                recipe.data,
                seed=recipe.seed,
                rank=reader,
                world=recipe.streams,
                shuffle_buffer=-(-recipe.shuffle_buffer // recipe.streams),
                broken=broken,
                decode=features is None,
                threads=max(1, recipe.workers // len(mine)),
            )
            if positions is not None:
                stream.load_state_dict(positions[str(reader)])
            self.streams[reader] = stream
        self._positions = {str(reader): stream.follow() for reader, stream in self.streams.items()}
        if rank == 0:
            for source in self.streams[mine[0]].sources:
                source.survey()
        self._pool = ThreadPoolExecutor(recipe.workers, thread_name_prefix="pixels")
        self._queue: queue.Queue[Batch | BaseException | None] = queue.Queue(AHEAD)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._produce, name="feed", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Batch]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            for reader, step in item.moves.items():
                self._positions[reader].go_on(step)
            yield item

    def positions(self) -> dict[str, Any]:
        """Of this process's readers, after the batch that was given last."""
        return {reader: position.state_dict() for reader, position in self._positions.items()}

    @property
    def left_out(self) -> LeftOut:
        """What the data hold and is not read, as far as the readers of this process have seen."""
        return left_out_of(list(self.streams.values()))

    def close(self) -> None:
        """Stop reading."""
        self._closing.set()
        while self._thread.is_alive():
            try:  # the thread may wait for room
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue
        for stream in self.streams.values():
            stream.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _produce(self) -> None:
        try:
            for step in range(self.done + 1, self.steps + 1):
                if self._closing.is_set():
                    return
                self._queue.put(self._batch(step))
            self._queue.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the batch is asked for
            self._queue.put(error)

    def _batch(self, step: int) -> Batch:
        first = (step - 1) * self.recipe.batch
        samples: list[Sample] = []
        words: list[Words] = []
        kept: list[Tensor] = []
        for number in range(first, first + self.recipe.batch):
            reader = number % self.recipe.streams
            if self._owner[reader]:
                sample, features = self._next(self.streams[reader])
                samples.append(sample)
                words.append(self.wording.words(sample.text, sample.instruction, f"{number} {sample.key}"))
                if features is not None:
                    kept.append(features)
        moves = {str(reader): stream.step() for reader, stream in self.streams.items()}
        keys = tuple(f"{sample.source}: {sample.key}" for sample in samples)
        inputs = torch.stack(kept) if kept else self._pixels(samples)
        return Batch(step, keys, tuple(words), inputs, moves)

    def _next(self, stream: SampleStream) -> tuple[Sample, Tensor | None]:
        """A sample, with its features where they are kept; a picture that has none (it is broken) is skipped."""
        while True:
            sample = next(stream)
            if self.features is None:
                return sample, None
            sha256 = sample.sha256
            if sha256 in self.features:
                return sample, self.features.get(sha256)
            reason = "its picture has no kept features (broken, or not there when they were written)"
            stream.broken.add(sample.source, BrokenSample(sample.key, reason), counted=True)

    def _pixels(self, samples: list[Sample]) -> Tensor | None:
        if not samples:
            return None
        size, mean, std = self.checked.image_size, self.checked.mean, self.checked.std
        return torch.cat(list(self._pool.map(lambda sample: pixels([sample.open()], size, mean, std), samples)))
