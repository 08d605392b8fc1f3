"""`--engine ray`: caption a batch on a cluster with Ray Data.

    inquisight batch photos --out captions.jsonl --engine ray --workers 2
    inquisight batch photos --out captions.jsonl --engine ray --workers 1:8 --gpus-per-worker 1 --ray-address auto

The remaining pictures become a dataset of small blocks. A pool of actors, each with its models, maps over it
(https://docs.ray.io/en/latest/data/batch_inference.html). The journal is the checkpoint: only this process writes it,
when a block returns, so a kill costs the blocks under way.
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

from agents.batch.cluster import Cluster, ClusterError, connected, ray_error, shortage
from agents.batch.engine import AHEAD, Captioned, CaptionFailed, Duplicate, EngineConfig, RemoteConfig, Result
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

BLOCKS: Final = 8  # that make up the interviews in flight of a worker
LARGEST: Final = 64  # pictures in a block
MANY: Final = 20_000  # blocks in a dataset; more pictures make larger blocks
CHUNK: Final = 10_000


def on_ray(work: EngineConfig) -> Generator[Result, None, None]:
    """Run on a cluster, or on a temporary Ray of this machine; the same results as `local`, in any order."""
    assert work.remote is not None
    with connected(work.remote.cluster) as ray:
        batch = _Batch(work, work.remote, ray)
        try:
            yield from batch.results()
        finally:
            batch.close()


def block_size(config: PipelineConfig, count: int, workers: int) -> int:
    """Pictures in a block: a part of those in flight, so blocks finish one after the other."""
    few = -(-count // (2 * workers))  # all workers share a small batch
    return max(1, min(max(config.in_flight // BLOCKS, count // MANY), few, LARGEST))


class _Batch:
    def __init__(self, work: EngineConfig, remote: RemoteConfig, ray: Any) -> None:
        self.work, self.remote, self.ray = work, remote, ray
        self.returned: queue.Queue[Any] = queue.Queue(maxsize=4)
        self.closed = threading.Event()
        self.seen = bytearray()  # a byte for each n: a block that Ray repeats after a machine was lost comes twice
        self.finished = 0  # interviews
        self.waiting: dict[str, list[Item]] = {}  # duplicates that returned before their caption
        self.failed: dict[str, CaptionFailed] = {}  # by sha256
        self.described: list[Any] = []
        self.coordinator: Any = None
        self.reader = threading.Thread(target=self._read, daemon=True, name="ray-results")

    # --- what goes out --------------------------------------------------------------------------------------------

    def results(self) -> Iterator[Result]:
        work, remote, ray = self.work, self.remote, self.ray
        cluster = remote.cluster
        workers = f"{cluster.most} worker{'s' if cluster.most > 1 else ''}"
        remote.busy(f"starting {workers}")
        if note := shortage(ray, cluster):
            remote.say(note)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=True
        )
        self.coordinator = ray.remote(Coordinator).options(num_cpus=0, scheduling_strategy=here).remote(work.rate)
        known = remote.known()
        while some := list(islice(known, CHUNK)):
            ray.get(self.coordinator.know.remote(some))
        self.dataset = self._dataset(cluster)
        self.reader.start()
        begun: int | None = None
        while begun is None or self.finished < begun:
            if begun is None and work.stop.is_set():
                begun = ray.get(self.coordinator.stop.remote())
                continue
            try:
                rows = self.returned.get(timeout=0.2)
            except queue.Empty:
                continue
            if rows is None:
                return
            if isinstance(rows, BaseException):
                raise ray_error(rows) from rows
            remote.busy("")
            yield from self._results(rows)

    def _dataset(self, cluster: Cluster) -> Any:
        import ray.data

        work = self.work
        size = block_size(work.config, self.remote.count, cluster.most)
        calls = -(-(work.config.in_flight + AHEAD) // size) + 1  # one returns while a worker is busy
        context = ray.data.DataContext.get_current()
        context.autoscaling_config.actor_pool_util_upscaling_threshold = 0.75  # add workers while all are busy
        context.execution_no_progress_timeout_s = -1  # a slow model is no failure
        if cluster.where == "local":
            context.wait_for_min_actors_s = 3600  # or the first worker would take all of a small batch
        from agents.llm.providers import key_variables

        variables = key_variables()
        here = environment(variables)
        job = WorkerConfig(
            self.remote.load, work.open, work.config, work.rate is not None, os.getcwd(), here, variables, work.context
        )
        return ray.data.from_blocks(list(self._blocks(size))).map_batches(
            Interviewer,
            batch_size=size,
            batch_format="numpy",
            fn_constructor_args=(job, self.coordinator),
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
        """Runs in a thread, since waiting for Ray cannot be interrupted."""
        end: BaseException | None = None
        try:
            for table in self.dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
                self._put(table.column(ROW).to_pylist())
                if self.closed.is_set():
                    break
        except Exception as error:  # noqa: BLE001 - raised in the main thread
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
            self._note_worker(about)
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

    def _note_worker(self, about: dict[str, Any]) -> None:
        described = about["described"]
        if described and described not in self.described:
            self.remote.described(*described)
            self.described.append(described)
        if "counts" in about:
            self.work.meter.more(counts_of(about), about["name"])

    def _is_new(self, n: int) -> bool:
        if n >= len(self.seen):
            self.seen.extend(bytes(n + 1 - len(self.seen)))
        new, self.seen[n] = not self.seen[n], 1
        return new

    def _settled(self, result: Result) -> Iterator[Result]:
        """The result, and its duplicates that waited for it; two workers may have the same picture."""
        match result:
            case Captioned(_, caption):
                self.finished += 1
                yield result
                for item in self.waiting.pop(caption.picture.sha256, ()):
                    yield Duplicate(item, caption.picture.sha256)
            case CaptionFailed(_, _, _, caption) if caption is not None:
                self.finished += 1
                sha256 = caption.picture.sha256
                self.failed[sha256] = CaptionFailed(result.item, result.where, result.reason)
                yield result
                for item in self.waiting.pop(sha256, ()):
                    yield result.of_duplicate(item)
            case Duplicate(item, sha256) if not self.work.knows(item, sha256):
                if sha256 in self.failed:
                    yield self.failed[sha256].of_duplicate(item)
                else:
                    self.waiting.setdefault(sha256, []).append(item)
            case _:
                yield result

    def close(self) -> None:
        """End the work under way, without further calls."""
        self.closed.set()
        if self.coordinator is not None:
            with suppress(Exception):  # the cluster may be gone
                self.ray.get(self.coordinator.halt.remote("the batch has ended", 1), timeout=2.0)
        if self.reader.is_alive():
            self.reader.join(2.0)
