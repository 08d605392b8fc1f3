"""Encode every picture with the frozen vision half once and store the features, so training needs no vision model.

    write_features(Path("minigpt4-7b"), [DataSpec(path="cc_sbu_align")], Path("features"))
    FeatureStore(Path("features"), model=Path("minigpt4-7b")).get(sample.sha256)   # (32, 768), float16

The features are the input of `language_projection`: 32 x 768 numbers of the Q-Former, 49 KB in 16 bit (64 x 5632 in the
variant without one). They depend on the picture's bytes and on the vision part of the model, not on its language model.
So the key is the picture's sha256, and a store belongs to one vision tower, Q-Former and picture settings.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from core.datasets.samples.sample import BrokenLog, BrokenSample, Sample
from core.datasets.samples.spec import DataSpec
from core.errors import UsageError, printable
from plugins.minigpt4.convert.writing import write_json
from training.data.stream import count, left_out_of, open_stream
from training.features.store import FLUSH_SECONDS, ROWS, DType, FeatureStore, FeatureWriter, Manifest, create_store
from training.features.vision import FrozenVision, VisionEncoder
from training.terminal import follow, prefetched

Keyed = tuple[Sample, str]  # with its sha256


@dataclass(frozen=True, slots=True)
class EncodeProgress:
    """How far this process is."""

    pictures: int = 0  # read, broken ones included
    known: int = 0  # of them already in the store, or repeated in the data
    written: int = 0  # on disk
    broken: int = 0
    total: int | None = None  # of this process, if known
    seconds: float = 0.0
    left_out: str = ""  # what the data hold and is not read

    def __str__(self) -> str:
        of = f" of {self.total:,}" if self.total else ""
        rate = self.pictures / self.seconds if self.seconds else 0.0
        return (
            f"features: {self.pictures:,}{of} pictures, {self.written:,} written, {self.known:,} known, "
            f"{self.broken:,} broken, {rate:.0f}/s"
        )


def features_events(
    model: Path | VisionEncoder,
    specs: Sequence[DataSpec],
    to: Path,
    *,
    dtype: DType = "float16",
    batch: int = 32,
    device: str = "auto",
    rank: int = 0,
    world: int = 1,
    threads: int = 4,
    broken: BrokenLog | None = None,
    rows: int = ROWS,
    flush_seconds: float = FLUSH_SECONDS,
) -> Iterator[EncodeProgress]:
    """Write the features of all pictures that the store lacks; yields after every batch, and when all is on disk.

    `model` is a directory, or an encoder that was opened. If it is stopped, the same call resumes. Raises DataError,
    BackendError or UsageError, one line.
    """
    started = time.monotonic()
    log = broken or BrokenLog()
    vision = FrozenVision.open(model, device=device) if isinstance(model, Path) else model
    store = create_store(to, Manifest(vision.fingerprint, vision.tokens, vision.width, dtype))
    numbers = count(specs)
    total = None if None in numbers else sum(number or 0 for number in numbers) // world
    needed = _check_space(store, total)
    if rank == 0:
        print(f"features: {needed}, in {printable(to)}", file=sys.stderr, flush=True)
    read = known = 0
    in_progress: set[str] = set()
    stream = open_stream(
        specs, seed=0, rank=rank, world=world, epochs=1, shuffle_buffer=0, broken=log, decode=False, threads=threads
    )
    if rank == 0:
        for source in stream.sources:
            source.survey()

    def now() -> EncodeProgress:
        seconds = time.monotonic() - started
        return EncodeProgress(read, known, writer.written, log.broken, total, seconds, str(left_out_of([stream])))

    def missing() -> Iterator[Keyed | None]:
        """Yield the samples to encode, and None after many known ones."""
        nonlocal read, known
        for sample in stream:
            read += 1
            sha256 = sample.sha256
            if sha256 in in_progress or writer.has(sha256):
                known += 1
                if known % 1000 == 0:
                    yield None
                continue
            in_progress.add(sha256)
            yield sample, sha256

    def prepare(keyed: Keyed | None) -> torch.Tensor | BrokenSample | None:
        try:
            return vision.pixels(keyed[0].decoded().open()) if keyed else None
        except BrokenSample as error:
            return error

    def encode(prepared: Sequence[tuple[Keyed, torch.Tensor]]) -> None:
        features = vision(torch.stack([pixels for _, pixels in prepared])).cpu()
        for ((_, sha256), _), row in zip(prepared, features, strict=True):
            writer.add(sha256, row)
            in_progress.discard(sha256)

    with (
        FeatureWriter(store, f"{rank}of{world}", rows=rows, flush_seconds=flush_seconds) as writer,
        stream,
        ThreadPoolExecutor(max(threads, 1), thread_name_prefix="pictures") as pool,
    ):
        waiting: list[tuple[Keyed, torch.Tensor]] = []
        for keyed, pixels in prefetched(pool, prepare, missing(), 2 * batch):  # one batch is decoded, another encoded
            if keyed is None:
                yield now()
            elif isinstance(pixels, torch.Tensor):
                waiting.append((keyed, pixels))
            elif pixels is not None:
                log.add(keyed[0].source, pixels, counted=True)
                in_progress.discard(keyed[1])
            if len(waiting) == batch:
                encode(waiting)
                waiting = []
                yield now()
        if waiting:
            encode(waiting)
            yield now()
    log.check()
    last = now()
    record = {"data": [spec.model_dump() for spec in specs], "computed": vision.choice, **asdict(last)}
    write_json(to / f"written-{rank}of{world}.json", record)
    yield last


def write_features(
    model: Path | VisionEncoder, specs: Sequence[DataSpec], to: Path, *, rank: int = 0, **options: Any
) -> EncodeProgress:
    """Run `features_events` to its end, with progress on standard error from rank 0; returns the last event."""
    events = features_events(model, specs, to, rank=rank, **options)
    if rank:
        return list(events)[-1]
    last = follow(events, lambda at: (str(at), at.pictures, at.total))
    print(f"{last}; in {printable(to)}", file=sys.stderr, flush=True)
    if last.left_out:
        print(f"features: {last.left_out}", file=sys.stderr, flush=True)
    return last


def _check_space(store: FeatureStore, total: int | None) -> str:
    """Return the size of what will be written, in words. Raises UsageError if the disk has no room for it."""
    each = (
        f"{store.manifest.tokens} x {store.manifest.width} numbers, {store.manifest.row_bytes / 1e3:,.0f} KB a picture"
    )
    if total is None:
        return each
    needed = max(total - len(store), 0) * (store.manifest.row_bytes + 32)
    free = shutil.disk_usage(store.directory).free
    if needed > free:
        raise UsageError(
            f"{printable(store.directory)}: {needed / 1e9:.1f} GB are needed there, {free / 1e9:.1f} GB are free; free "
            "some, or name a directory on another disk."
        )
    return f"{each}, {needed / 1e9:.2g} GB for {max(total - len(store), 0):,} pictures at most"
