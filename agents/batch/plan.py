"""A batch that was asked for, checked: everything that can be known to be wrong before a model is loaded is not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agents.batch.cluster import Cluster, parse_cluster
from agents.batch.engines import find_engine
from agents.batch.outputs import check_parquet, kind_of, with_shard
from agents.batch.pipeline import PipelineConfig
from agents.batch.request import BatchRequest
from agents.batch.shard_output import existing_shards
from agents.interview.calls import described_options
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from agents.interview.seeds import check_seed
from core.datasets.pictures.inputs import PARQUET, SHARD, find_sources
from core.datasets.pictures.listing import Scope
from core.datasets.pictures.sources import FolderSource, PictureSource
from core.datasets.pictures.tables import ParquetTable
from core.datasets.pictures.tars import Shards
from core.errors import StoreError, UsageError, printable
from core.files.journal import read_json, write_json
from core.registry import get_registry
from core.settings import Settings, get_settings

_IDENTITY: Final = ("name", "model", "revision")  # of a model: what decides what it says, not where it runs


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """A request that was checked."""

    request: BatchRequest
    sources: tuple[PictureSource, ...]
    outputs: tuple[Path, ...]
    folder: Path  # of the journal
    vision: str
    questioner: str
    config: PipelineConfig
    rate: float | None
    scope: Scope
    settings: Settings
    cluster: Cluster | None = None  # where the engine is not this process

    def facts(self, vision: Mapping[str, str], questioner: Mapping[str, str]) -> dict[str, Any]:
        """Everything that decides what a caption says; only a batch with equal facts may go on with an output.

        `vision` and `questioner` are what the models say of themselves, empty as long as none is loaded.
        """
        config = self.config
        return {
            "inputs": [source.name for source in self.sources],
            "column": self.request.column,
            "shard": f"{self.scope.shard}/{self.scope.of}",
            "vision": {"spec": self.vision, **{name: vision[name] for name in _IDENTITY if name in vision}},
            "questioner": {
                "spec": self.questioner,
                **{name: questioner[name] for name in _IDENTITY if name in questioner},
            },
            "seed": config.seed,
            **described_options(config.options, config.prompts),
        }


def make_plan(request: BatchRequest) -> BatchConfig:
    """Check the request. Raises InquisightError, one line."""
    settings = get_settings()
    if not request.out:
        raise UsageError(
            "say where the captions go: --out captions.jsonl (or .parquet, .json for COCO, .tar for shards)"
        )
    for name, least in (("concurrency", 1), ("batch", 1), ("vision_batches", 1), ("shard_size", 1), ("limit", 1)):
        value = getattr(request, name)
        if value is not None and value < least:
            raise UsageError(f"--{name.replace('_', '-')} must be {least} or more, not {value}")
    for option, price in (("--price-in", request.price_in), ("--price-out", request.price_out)):
        if price is not None and not 0 <= price < 1e6:
            raise UsageError(f"{option} is a price for a million tokens, 0 or more, not {price}")
    rate = request.rate if request.rate is not None else settings.requests_per_second
    if rate is not None and not 0 < rate < 1e6:
        raise UsageError(f"--requests-per-second must be more than 0, not {rate}")
    if request.overwrite and not request.save_beside:
        raise UsageError("--overwrite only means something together with --save-beside")
    seed = check_seed(request.seed if request.seed is not None else settings.seed)
    scope = _scope(request)
    outputs = _outputs(request, scope)
    find_engine(request.engine)
    cluster = _cluster(request)
    options = InterviewOptions(
        rounds=settings.rounds if request.rounds is None else request.rounds,
        context=settings.context if request.context is None else request.context,
        language=request.language,
    )
    vision = settings.vision if request.vision is None else request.vision
    get_registry().find("vision backend", vision.split(":", 1)[0])
    sources = find_sources(request.inputs, request.column)
    _check_apart(outputs, sources)
    for source in sources:
        if isinstance(source, FolderSource):
            source.own = frozenset(os.path.abspath(shard) for path in outputs for shard in existing_shards(path))
    config = PipelineConfig(
        options, Prompts.load(request.prompts), seed, request.batch, request.concurrency, request.vision_batches
    )
    return BatchConfig(
        request=request,
        sources=tuple(sources),
        outputs=outputs,
        folder=outputs[0].with_name(f"{outputs[0].name}.work"),
        vision=vision,
        questioner=settings.questioner if request.questioner is None else request.questioner,
        config=config,
        rate=rate,
        scope=scope,
        settings=settings,
        cluster=cluster,
    )


def _cluster(request: BatchRequest) -> Cluster | None:
    given = (request.workers, request.gpus_per_worker, request.cpus_per_worker, request.ray_address)
    if request.engine == "ray":
        return parse_cluster(*given)
    for name, value in zip(("workers", "gpus-per-worker", "cpus-per-worker", "ray-address"), given, strict=True):
        if value is not None:
            raise UsageError(f"--{name} only means something together with --engine ray")
    return None


def _scope(request: BatchRequest) -> Scope:
    shard, slash, of = request.shard.partition("/")
    if not (slash and shard.isdecimal() and of.isdecimal() and int(shard) < int(of)):
        raise UsageError(
            f"--shard '{printable(request.shard, 40)}': write I/N, the I-th of N machines counted from 0, such as 0/4"
        )
    return Scope(int(shard), int(of), request.limit)


def _outputs(request: BatchRequest, scope: Scope) -> tuple[Path, ...]:
    paths = []
    for path in request.out:
        kind = kind_of(path)
        if kind == "Parquet":
            check_parquet()
        if path.is_dir():
            raise UsageError(f"--out '{printable(path)}' is a folder; name a file in it, such as captions.jsonl")
        above = next(parent for parent in path.absolute().parents if parent.exists())
        if not above.is_dir():
            raise UsageError(f"--out '{printable(path)}': '{printable(above)}' is a file; name another --out")
        path = with_shard(path, scope.shard, scope.of)
        if path in paths:
            raise UsageError(f"--out '{printable(path)}' is named twice")
        paths.append(path)
    return tuple(paths)


def _check_apart(outputs: Sequence[Path], sources: Sequence[PictureSource]) -> None:
    """Raise UsageError where the next run would take what this one writes for pictures to caption."""
    folders = [one.name for one in sources if isinstance(one, Shards | ParquetTable) and os.path.isdir(one.name)]
    for output in outputs:
        if output.suffix.lower() not in (SHARD, PARQUET):
            continue
        for folder in folders:
            if output.resolve().is_relative_to(Path(folder).resolve()):
                raise UsageError(
                    f"--out '{printable(output)}' lies in '{printable(folder)}', all of which is read; name a place "
                    "outside of it"
                )


# --- what guards the output -------------------------------------------------------------------------------------------


class Guard:
    """Keeps a batch from going on with other settings, and from writing over files that are none of its own."""

    def __init__(self, plan: BatchConfig) -> None:
        self.plan = plan
        self.path = plan.folder / "settings.json"
        self.kept = read_json(self.path)
        ours = set((self.kept or {}).get("outputs", ()))
        for output in plan.outputs:
            if output.name in ours:
                continue
            there = existing_shards(output)[:1] if output.suffix.lower() == ".tar" else [output]
            if there and there[0].exists():
                raise UsageError(
                    f"'{printable(there[0])}' exists already and is not of this batch; move it, or take another --out"
                )

    def check(self, facts: Mapping[str, Any], *, certain: bool) -> None:
        """Raise UsageError where the batch was begun with something else. Not `certain`: no model is loaded yet."""
        for name, then in (self.kept or {}).get("facts", {}).items():
            now = facts.get(name)
            if not certain and isinstance(then, dict) and isinstance(now, dict):
                then = {key: value for key, value in then.items() if key in now}
            if then != now:
                raise UsageError(
                    f"'{printable(self.plan.outputs[0])}' was begun with {_shown(name, then)}, not with "
                    f"{_shown(name, now)}; take the same settings, or another --out"
                )

    def write(self, facts: Mapping[str, Any]) -> None:
        """Remember the settings, and which files are this batch's. Raises StoreError."""
        known = list((self.kept or {}).get("outputs", ()))
        outputs = known + [path.name for path in self.plan.outputs if path.name not in known]
        value = {"version": 1, "facts": dict(facts), "outputs": outputs}
        if value != self.kept:
            write_json(self.path, value)
            self.kept = value


def _shown(name: str, value: Any) -> str:
    if value is None:
        return f"no {name}"
    if isinstance(value, dict):
        text = " ".join(dict.fromkeys(map(str, value.values())))
    else:
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{name} {printable(text, 100)}"


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """The folder, made where it does not exist, for this process alone. Raises UsageError or StoreError."""
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"another process is at work on '{printable(folder)}'; wait for it, or name another --out"
        ) from None
    except OSError as error:
        raise StoreError(
            f"the folder '{printable(folder)}' cannot be made: {(error.strerror or 'unknown error').lower()}; name "
            "another --out."
        ) from None
    try:
        yield
    finally:
        lock.release()
