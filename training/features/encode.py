"""What the frozen eye makes of a picture, computed once and kept: training then holds no vision model in memory.

    write_features(Path("minigpt4-7b"), [DataSpec(path="cc_sbu_align")], Path("features"))
    FeatureStore(Path("features"), model=Path("minigpt4-7b")).get(sample.sha256)   # (32, 768), float16

Kept is what goes into `language_projection`: 32 x 768 numbers of the Q-Former, 49 KB in 16 bit (64 x 5632 in the
variant without one). It depends on the picture's bytes and on the vision part of the model, not on its language model,
so the key is the picture's sha256, and a store belongs to one vision tower, Q-Former and picture settings.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
from training.features.vision import FrozenVision, vision_fingerprint

__all__ = [
    "DType",
    "EncodeProgress",
    "FeatureStore",
    "FeatureWriter",
    "FrozenVision",
    "Manifest",
    "create_store",
    "features_events",
    "vision_fingerprint",
    "write_features",
]


@dataclass(frozen=True, slots=True)
class EncodeProgress:
    """How far this process is."""

    pictures: int = 0  # read, broken ones included
    known: int = 0  # of them in the store before, or met twice
    written: int = 0  # on disk
    broken: int = 0
    total: int | None = None  # of this process, where known
    seconds: float = 0.0
    left_out: str = ""  # what the data hold and is not read


def features_events(
    model: Path,
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
    """Write the features of all pictures that the store lacks; yields after every batch, at last when all is on disk.

    Stopped in any way, the same call goes on. Raises DataError, BackendError or UsageError, one line.
    """
    started = time.monotonic()
    log = broken or BrokenLog()
    eye = FrozenVision.open(model, device=device)
    store = create_store(to, Manifest(eye.fingerprint, eye.tokens, eye.width, dtype))
    numbers = count(specs)
    total = None if None in numbers else sum(number or 0 for number in numbers) // world
    _check_space(store, total)
    read = known = 0

    def now() -> EncodeProgress:
        seconds = time.monotonic() - started
        return EncodeProgress(read, known, writer.written, log.broken, total, seconds, str(left_out_of([stream])))

    stream = open_stream(
        specs, seed=0, rank=rank, world=world, epochs=1, shuffle_buffer=0, broken=log, decode=False, threads=threads
    )
    if rank == 0:
        for source in stream.sources:
            source.survey()
    with (
        FeatureWriter(store, f"{rank}of{world}", rows=rows, flush_seconds=flush_seconds) as writer,
        stream,
        ThreadPoolExecutor(max(threads, 1), thread_name_prefix="pictures") as pool,
    ):
        waiting: deque[tuple[Sample, str, Future[torch.Tensor | BrokenSample]]] = deque()
        under_way: set[str] = set()
        for sample in stream:
            read += 1
            sha256 = sample.sha256
            if sha256 in under_way or writer.has(sha256):
                known += 1
                if known % 1000 == 0:
                    yield now()
                continue
            under_way.add(sha256)
            waiting.append((sample, sha256, pool.submit(_prepared, eye, sample)))
            if len(waiting) >= 2 * batch:  # one batch is decoded while another one is looked at
                _look(eye, writer, log, [waiting.popleft() for _ in range(batch)], under_way)
                yield now()
        while waiting:
            _look(eye, writer, log, [waiting.popleft() for _ in range(min(batch, len(waiting)))], under_way)
            yield now()
    log.check()
    last = now()
    record = {"data": [spec.model_dump() for spec in specs], "computed": eye.choice, **asdict(last)}
    write_json(to / f"written-{rank}of{world}.json", record)
    yield last


def write_features(
    model: Path, specs: Sequence[DataSpec], to: Path, *, rank: int = 0, quiet: bool = False, **options: Any
) -> EncodeProgress:
    """All of `features_events`, with progress on standard error from rank 0; gives back the last of it."""
    events = features_events(model, specs, to, rank=rank, **options)
    if quiet or rank:
        return list(events)[-1]
    last = _on_terminal(events) if sys.stderr.isatty() else _in_lines(events)
    print(f"features: {_words(last)}; in {printable(to)}", file=sys.stderr, flush=True)
    if last.left_out:
        print(f"features: {last.left_out}", file=sys.stderr, flush=True)
    return last


def _in_lines(events: Iterator[EncodeProgress]) -> EncodeProgress:
    """A line every half minute, for log files."""
    last, said = EncodeProgress(), time.monotonic()
    for last in events:
        if time.monotonic() - said > 30:
            said = time.monotonic()
            print(f"features: {_words(last)}", file=sys.stderr, flush=True)
    return last


def _on_terminal(events: Iterator[EncodeProgress]) -> EncodeProgress:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    last = EncodeProgress()
    columns = (TextColumn("features"), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        for last in events:
            bar.update(task, completed=last.pictures, total=last.total, description=_words(last))
    return last


def _words(at: EncodeProgress) -> str:
    of = f" of {at.total:,}" if at.total else ""
    rate = at.pictures / at.seconds if at.seconds else 0.0
    return (
        f"{at.pictures:,}{of} pictures, {at.written:,} written, {at.known:,} known, {at.broken:,} broken, {rate:.0f}/s"
    )


def _prepared(eye: FrozenVision, sample: Sample) -> torch.Tensor | BrokenSample:
    try:
        return eye.pixels(sample.decoded().open())
    except BrokenSample as error:
        return error


def _look(
    eye: FrozenVision,
    writer: FeatureWriter,
    log: BrokenLog,
    batch: Sequence[tuple[Sample, str, Future[torch.Tensor | BrokenSample]]],
    under_way: set[str],
) -> None:
    """Encode a batch and hand it to the writer."""
    good: list[tuple[str, torch.Tensor]] = []
    for sample, sha256, future in batch:
        result = future.result()
        if isinstance(result, BrokenSample):
            log.add(sample.source, result, counted=True)
            under_way.discard(sha256)
        else:
            good.append((sha256, result))
    if good:
        features = eye(torch.stack([pixels for _, pixels in good])).cpu()
        for (sha256, _), row in zip(good, features, strict=True):
            writer.add(sha256, row)
            under_way.discard(sha256)


def _check_space(store: FeatureStore, total: int | None) -> None:
    if total is None:
        return
    needed = max(total - len(store), 0) * (store.manifest.row_bytes + 32)
    free = shutil.disk_usage(store.directory).free
    if needed > free:
        raise UsageError(
            f"{printable(store.directory)}: {needed / 1e9:.1f} GB are needed there, {free / 1e9:.1f} GB are free; make "
            "room or name a directory on another disk."
        )
