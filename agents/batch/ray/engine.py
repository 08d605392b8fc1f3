"""`--engine ray`: the interviews of a batch on the machines of a cluster, by Ray Data.

    inquisight batch photos --out captions.jsonl --engine ray --workers 2
    inquisight batch photos --out captions.jsonl --engine ray --workers 1:8 --gpus-per-worker 1 --ray-address auto

The pictures that are left to do become a dataset of small blocks; a pool of actors, each with models of its own, maps
over it (https://docs.ray.io/en/latest/data/batch_inference.html). The journal is the checkpoint: this process, which
alone writes it, keeps each caption as its block comes back, so what a kill costs is the blocks that were under way.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from agents.batch.cluster import Cluster, ClusterError, connected, shortage, told
from agents.batch.engine import AHEAD, Away, Captioned, EngineConfig, GaveUp, Repeated, Result
from agents.batch.pipeline import PipelineConfig
from agents.batch.ray.worker import (
    ROW,
    Coordinator,
    Interviewer,
    WorkerConfig,
    counts_of,
    environment,
    from_row,
    item_row,
)
from core.datasets.pictures.sources import Item
from core.errors import printable

BLOCKS: Final = 8  # that make up the interviews which run at a time in a worker
LARGEST: Final = 64  # pictures in a block: what a kill may cost each of them
MANY: Final = 20_000  # blocks in a dataset, rather larger ones than more of them
CHUNK: Final = 10_000


def on_ray(work: EngineConfig) -> Generator[Result, None, None]:
    """On a cluster, or on a Ray of our own on this machine; the same results as `local`, in any order."""
    assert work.away is not None
    with connected(work.away.cluster) as ray:
        batch = _Batch(work, work.away, ray)
        try:
            yield from batch.results()
        finally:
            batch.close()


def block_size(config: PipelineConfig, count: int, workers: int) -> int:
    """Pictures in a block: a part of what runs at a time, so that blocks are through one after the other."""
    few = -(-count // (2 * workers))  # a small batch is shared by all
    return max(1, min(max(config.in_flight // BLOCKS, count // MANY), few, LARGEST))


class _Batch:
    def __init__(self, work: EngineConfig, away: Away, ray: Any) -> None:
        self.work, self.away, self.ray = work, away, ray
        self.returned: queue.Queue[Any] = queue.Queue(maxsize=4)
        self.closed = threading.Event()
        self.seen = bytearray()  # a byte for each n: a block that is made again after a machine was lost comes twice
        self.finished = 0  # interviews
        self.waiting: dict[str, list[Item]] = {}  # came back before the caption that they share
        self.failed: dict[str, GaveUp] = {}  # by sha256
        self.described: list[Any] = []
        self.desk: Any = None
        self.reader = threading.Thread(target=self._read, daemon=True, name="ray-results")

    # --- what goes out --------------------------------------------------------------------------------------------

    def results(self) -> Iterator[Result]:
        work, away, ray = self.work, self.away, self.ray
        cluster = away.cluster
        workers = f"{cluster.most} worker{'s' if cluster.most > 1 else ''}"
        away.busy(f"starting {workers}")
        if note := shortage(ray, cluster):
            away.say(note)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=True
        )
        self.desk = ray.remote(Coordinator).options(num_cpus=0, scheduling_strategy=here).remote(work.rate)
        known = away.known()
        while some := list(islice(known, CHUNK)):
            ray.get(self.desk.know.remote(some))
        self.dataset = self._dataset(cluster)
        self.reader.start()
        begun: int | None = None
        while begun is None or self.finished < begun:
            if begun is None and work.stop.is_set():
                begun = ray.get(self.desk.stop.remote())
                continue
            try:
                rows = self.returned.get(timeout=0.2)
            except queue.Empty:
                continue
            if rows is None:
                return
            if isinstance(rows, BaseException):
                raise told(rows) from rows
            away.busy("")
            yield from self._results(rows)

    def _dataset(self, cluster: Cluster) -> Any:
        import ray.data

        work = self.work
        size = block_size(work.config, self.away.count, cluster.most)
        calls = -(-(work.config.in_flight + AHEAD) // size) + 1  # one comes back while a worker's hands are full
        context = ray.data.DataContext.get_current()
        context.autoscaling_config.actor_pool_util_upscaling_threshold = 0.75  # more as long as all hands are full
        context.execution_no_progress_timeout_s = -1  # a slow model is no reason to give up
        if cluster.where == "local":
            context.wait_for_min_actors_s = 3600  # or the first one there would take all of a small batch
        from agents.llm.providers import key_variables

        variables = key_variables()
        here = environment(variables)
        job = WorkerConfig(self.away.load, work.open, work.config, work.rate is not None, os.getcwd(), here, variables)
        return ray.data.from_blocks(list(self._blocks(size))).map_batches(
            Interviewer,
            batch_size=size,
            batch_format="numpy",
            fn_constructor_args=(job, self.desk),
            compute=ray.data.ActorPoolStrategy(
                min_size=cluster.least,
                max_size=cluster.most,
                max_tasks_in_flight_per_actor=calls,
                max_concurrent_calls_per_actor=calls,
                enable_true_multi_threading=True,
            ),
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus or None,
        )

    def _blocks(self, size: int) -> Iterator[Any]:
        import pyarrow

        items = (item for item in self.work.items() if item is not None)
        while some := list(islice(items, size)):
            yield pyarrow.table({ROW: [item_row(item, self.work.earlier(item.key)) for item in some]})

    # --- what comes back ------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """In a thread of its own, since waiting for Ray cannot be ended."""
        end: BaseException | None = None
        try:
            for table in self.dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
                self._put(table.column(ROW).to_pylist())
                if self.closed.is_set():
                    break
        except Exception as error:  # noqa: BLE001 - raised where somebody can hear it
            end = error
        self._put(end)

    def _put(self, what: Any) -> None:
        while not self.closed.is_set():
            with suppress(queue.Full):
                self.returned.put(what, timeout=0.2)
                return

    def _results(self, rows: list[str]) -> Iterator[Result]:
        values = [json.loads(row) for row in rows]
        for about in (value for value in values if value["kind"] == "worker"):
            self._heard(about)
        for value in values:
            if value["kind"] != "worker":
                result = from_row(value)
                if self._is_new(result.item.n):
                    yield from self._settled(result)
        for value in values:
            if value.get("error") is not None:
                error = ClusterError(value["error"])
                error.exit_code = value["exit_code"]
                raise error

    def _heard(self, about: dict[str, Any]) -> None:
        described = about["described"]
        if described and described not in self.described:
            self.away.described(*described)
            self.described.append(described)
        if "counts" in about:
            self.work.meter.more(counts_of(about), about["name"])

    def _is_new(self, n: int) -> bool:
        if n >= len(self.seen):
            self.seen.extend(bytes(n + 1 - len(self.seen)))
        new, self.seen[n] = not self.seen[n], 1
        return new

    def _settled(self, result: Result) -> Iterator[Result]:
        """The result, and those that waited for it: the same picture may be with two workers."""
        match result:
            case Captioned(_, caption):
                self.finished += 1
                yield result
                for item in self.waiting.pop(caption.picture.sha256, ()):
                    yield Repeated(item, caption.picture.sha256)
            case GaveUp(_, _, _, caption) if caption is not None:
                self.finished += 1
                sha256 = caption.picture.sha256
                self.failed[sha256] = GaveUp(result.item, result.where, result.reason)
                yield result
                for item in self.waiting.pop(sha256, ()):
                    yield self._failed_with(item, sha256)
            case Repeated(item, sha256) if not self.work.knows(item, sha256):
                if sha256 in self.failed:
                    yield self._failed_with(item, sha256)
                else:
                    self.waiting.setdefault(sha256, []).append(item)
            case _:
                yield result

    def _failed_with(self, item: Item, sha256: str) -> GaveUp:
        first = self.failed[sha256]
        return GaveUp(item, first.where, f"the same picture as {printable(first.item.key)}: {first.reason}")

    def close(self) -> None:
        """End what is under way, with no further call; the connection is closed by whoever opened it."""
        self.closed.set()
        if self.desk is not None:
            with suppress(Exception):  # the cluster may be gone
                self.ray.get(self.desk.halt.remote("the batch has ended", 1), timeout=2.0)
        if self.reader.is_alive():
            self.reader.join(2.0)
