"""The samples of every step, prepared ahead of the model: read, resized and converted to token ids.

Sample k of a run (0, 1, 2 ...) comes from reader k modulo `streams`, and reader v belongs to process v modulo the
number of processes. So a batch, and the position at which a run resumes, are the same on any number of processes that
divides `streams`.
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
from plugins.minigpt4.runtime.pixels import pixels
from training.data.stream import SampleStream, left_out_of, open_stream
from training.packing import Words
from training.recipes import Recipe
from training.tasks import PictureSettings, SampleWording, words_of

AHEAD: Final = 2  # steps prepared in advance


@dataclass(frozen=True, slots=True)
class Batch:
    """This process's share of one step."""

    step: int  # counted from 1
    keys: tuple[str, ...]
    words: tuple[Words, ...]
    inputs: Tensor | None  # pictures (S, 3, size, size) or cached features (S, tokens, width); None without samples
    positions: Mapping[str, Any]  # of this process's readers, after this step


class Feed:
    """Batches of the steps after `done`, in order. Close it."""

    def __init__(
        self,
        recipe: Recipe,
        wording: SampleWording,
        checked: PictureSettings,
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
        broken = BrokenLog(report, max_share=recipe.max_broken)  # of all readers, so that each is named once
        mine = range(rank, recipe.streams, world)
        self.streams: dict[int, SampleStream] = {}
        for reader in mine:
            stream = self.streams[reader] = open_stream(
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
        self.positions = self._positions()  # after the batch returned last
        if rank == 0:
            for source in self.streams[0].sources:
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
            self.positions = item.positions
            yield item

    @property
    def left_out(self) -> LeftOut:
        """What the data hold and do not read, as far as the readers of this process have seen."""
        return left_out_of(list(self.streams.values()))

    def close(self) -> None:
        """Stop reading."""
        self._closing.set()
        while self._thread.is_alive():
            try:  # the thread may wait for a free place
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue
        for stream in self.streams.values():
            stream.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _positions(self) -> Mapping[str, Any]:
        return {str(reader): stream.state_dict() for reader, stream in self.streams.items()}

    def _produce(self) -> None:
        try:
            for step in range(self.done + 1, self.steps + 1):
                if self._closing.is_set():
                    return
                self._queue.put(self._batch(step))
            self._queue.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the batch is requested
            self._queue.put(error)

    def _batch(self, step: int) -> Batch:
        samples: list[Sample] = []
        words: list[Words] = []
        cached: list[Tensor] = []
        for number in range((step - 1) * self.recipe.batch, step * self.recipe.batch):
            stream = self.streams.get(number % self.recipe.streams)
            if stream is None:
                continue
            sample, features = self._next(stream)
            samples.append(sample)
            words.append(words_of(self.wording, sample, f"{number} {sample.key}"))
            if features is not None:
                cached.append(features)
        keys = tuple(f"{sample.source}: {sample.key}" for sample in samples)
        inputs = torch.stack(cached) if cached else self._pixels(samples)
        return Batch(step, keys, tuple(words), inputs, self._positions())

    def _next(self, stream: SampleStream) -> tuple[Sample, Tensor | None]:
        """Return a sample, with its features if they are cached; a picture without features is skipped."""
        while True:
            sample = next(stream)
            if self.features is None:
                return sample, None
            sha256 = sample.sha256
            if sha256 in self.features:
                return sample, self.features.get(sha256)
            reason = "its picture has no cached features (broken, or missing when they were written)"
            stream.broken.add(sample.source, BrokenSample(sample.key, reason), counted=True)

    def _pixels(self, samples: list[Sample]) -> Tensor | None:
        if not samples:
            return None
        size, mean, std = self.checked.image_size, self.checked.mean, self.checked.std
        return torch.cat(list(self._pool.map(lambda sample: pixels([sample.open()], size, mean, std), samples)))
