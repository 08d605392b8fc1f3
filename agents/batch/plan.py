"""Check the request of a batch, so errors are found before a model is loaded; guard its output."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agents.batch.cluster import Cluster, parse_cluster
from agents.batch.engine import Engine, ModelLoader, local
from agents.batch.outputs import check_parquet, kind_of, with_shard
from agents.batch.pipeline import PipelineConfig
from agents.batch.request import BatchRequest
from agents.batch.shard_output import existing_shards
from agents.interview.calls import described_options
from agents.interview.options import asking_options, audit_options
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from agents.interview.seeds import check_seed
from agents.styles.owner import context_of, joined_context
from agents.styles.request import style_options
from agents.text.caption_fields import targets_of
from agents.witnesses.choice import chosen
from core.captions.saving import SaveTargets
from core.datasets.pictures.inputs import PARQUET, SHARD, find_sources
from core.datasets.pictures.listing import Scope
from core.datasets.pictures.sources import BY_PATH, FolderSource, Item, PictureSource
from core.datasets.pictures.tables import ParquetTable
from core.datasets.pictures.tars import Shards
from core.errors import StoreError, UsageError, printable
from core.files.journal import read_json, write_json
from core.files.locking import only_process
from core.registry import get_registry
from core.settings import Settings, get_settings

_IDENTITY: Final = ("name", "model", "revision")  # of a model: what decides its replies, not where it runs


@dataclass(frozen=True, slots=True)
class ItemContext:
    """What the owner tells of one picture: in a column of its table, in a file beside it."""

    told: Mapping[str, str] = field(default_factory=dict)  # by key
    keywords: bool = False  # also those that other programs gave a picture

    def __call__(self, item: Item) -> str:
        """Raises ImageError for a file that cannot be read."""
        told = self.told.get(item.key, "")
        return context_of(item.key, told, keywords=self.keywords) if item.part == BY_PATH else joined_context([told])


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """A checked request."""

    request: BatchRequest
    sources: tuple[PictureSource, ...]
    outputs: tuple[Path, ...]
    folder: Path  # of the journal
    loader: ModelLoader
    config: PipelineConfig
    rate: float | None
    scope: Scope
    settings: Settings
    cluster: Cluster | None = None  # if the engine is not this process
    targets: SaveTargets = SaveTargets()  # noqa: RUF009 - it is frozen; where captions go beside the outputs
    context: Callable[[Item], str] = ItemContext()  # what is told of one picture

    @property
    def problems(self) -> list[str]:
        """Damaged inputs found so far."""
        return [problem for source in self.sources for problem in source.problems]

    def facts(self, vision: Mapping[str, str], questioner: Mapping[str, str]) -> dict[str, Any]:
        """Everything that decides the captions; only a batch with equal facts may resume an output.

        `vision` and `questioner` are the models' descriptions, empty before they are loaded.
        """
        return {
            "inputs": [source.name for source in self.sources],
            "column": self.request.column,
            **({"context_column": self.request.context_column} if self.request.context_column else {}),
            "shard": f"{self.scope.shard}/{self.scope.of}",
            "vision": {"spec": self.loader.vision, **{name: vision[name] for name in _IDENTITY if name in vision}},
            "questioner": {
                "spec": self.loader.questioner,
                **{name: questioner[name] for name in _IDENTITY if name in questioner},
            },
            "seed": self.config.seed,
            "witnesses": list(self.config.options.witnesses),
            **described_options(self.config.options, self.config.prompts),
        }


def make_plan(request: BatchRequest) -> BatchConfig:
    """Check the request. Raises InquisightError, one line."""
    settings = get_settings()
    if not request.out:
        raise UsageError(
            "say where the captions go: --out captions.jsonl (or .parquet, .json for COCO, .tar for shards)"
        )
    for name in ("concurrency", "batch", "vision_batches", "shard_size", "limit"):
        value = getattr(request, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be 1 or more, not {value}")
    for option, price in (("--price-in", request.price_in), ("--price-out", request.price_out)):
        if price is not None and not 0 <= price < 1e6:
            raise UsageError(f"{option} is a price for a million tokens, 0 or more, not {price}")
    rate = request.rate if request.rate is not None else settings.requests_per_second
    if rate is not None and not 0 < rate < 1e6:
        raise UsageError(f"--requests-per-second must be more than 0, not {rate}")
    targets = targets_of(request)
    if targets.metadata and any(path.suffix.lower() == SHARD for path in request.out):
        raise UsageError(
            "--write-metadata changes the pictures, and the shards of --out hold them as they were captioned; "
            "write the shards first, or leave one of them out"
        )
    seed = check_seed(request.seed if request.seed is not None else settings.seed)
    scope = _scope(request)
    outputs = _outputs(request, scope)
    find_engine(request.engine)
    cluster = _cluster(request)
    options = InterviewOptions(
        rounds=settings.rounds if request.rounds is None else request.rounds,
        history=settings.history if request.history is None else request.history,
        language=request.language,
        context=joined_context([request.context or ""]),
        **asking_options(request),
        **audit_options(request.audit, request.threshold, claims=request.claims),
        witnesses=tuple(chosen(settings.witness if request.witness is None else request.witness)),
    )
    vision = settings.vision if request.vision is None else request.vision
    questioner = settings.questioner if request.questioner is None else request.questioner
    get_registry().find("vision backend", vision.split(":", 1)[0])
    sources = find_sources(request.inputs, request.column)
    _check_apart(outputs, sources)
    for source in sources:
        if isinstance(source, FolderSource):
            source.own = frozenset(os.path.abspath(shard) for path in outputs for shard in existing_shards(path))
    prompts = Prompts.load(request.prompts)
    styles = style_options(request)
    styles.check(prompts.styles)
    return BatchConfig(
        request=request,
        sources=tuple(sources),
        outputs=outputs,
        folder=outputs[0].with_name(f"{outputs[0].name}.work"),
        loader=ModelLoader(vision, questioner, seed, options, settings),
        config=PipelineConfig(
            options, prompts, seed, request.batch, request.concurrency, request.vision_batches, styles=styles
        ),
        rate=rate,
        scope=scope,
        settings=settings,
        cluster=cluster,
        targets=targets,
        context=item_context(sources, request),
    )


def item_context(sources: Sequence[PictureSource], request: BatchRequest) -> ItemContext:
    """What is told of each picture alone. Raises UsageError for a column that no table has."""
    if request.context_column is None:
        return ItemContext(keywords=request.context_keywords)
    if request.engine != "local":
        raise UsageError("--context-column works with --engine local; write .context.txt files beside the pictures")
    tables = [source for source in sources if source.has_columns]
    if not tables:
        raise UsageError(
            f"--context-column '{printable(request.context_column, 40)}' names a column, and no table is among the "
            "inputs"
        )
    return ItemContext(
        dict(pair for table in tables for pair in table.texts(request.context_column)), request.context_keywords
    )


def find_engine(name: str) -> Engine:
    """The engine of this name. Raises UsageError."""
    if name == "ray":
        from agents.batch.ray.engine import on_ray

        return on_ray
    if name == "local":
        return local
    raise UsageError(f"there is no engine '{printable(name, 40)}'; there is local, ray")


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
        if kind_of(path) == "Parquet":
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
    """Raise UsageError if the next run would read the outputs of this one as pictures."""
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


class SettingsGuard:
    """Refuses to resume a batch with other settings, and to overwrite files of others."""

    def __init__(self, plan: BatchConfig) -> None:
        self.plan = plan
        self.path = plan.folder / "settings.json"
        self.saved = read_json(self.path)
        ours = set((self.saved or {}).get("outputs", ()))
        for output in plan.outputs:
            if output.name in ours:
                continue
            there = existing_shards(output)[:1] if output.suffix.lower() == ".tar" else [output]
            if there and there[0].exists():
                raise UsageError(
                    f"'{printable(there[0])}' exists already and is not of this batch; move it, or take another --out"
                )

    def check(self, facts: Mapping[str, Any], *, certain: bool) -> None:
        """Raise UsageError if the batch was begun with other facts. Not `certain`: no model is loaded yet."""
        for name, then in (self.saved or {}).get("facts", {}).items():
            now = facts.get(name)
            if not certain and isinstance(then, dict) and isinstance(now, dict):
                then = {key: value for key, value in then.items() if key in now}
            if then != now:
                raise UsageError(
                    f"'{printable(self.plan.outputs[0])}' was begun with {_shown(name, then)}, not with "
                    f"{_shown(name, now)}; take the same settings, or another --out"
                )

    def write(self, facts: Mapping[str, Any]) -> None:
        """Save the settings, and which files are this batch's. Raises StoreError."""
        known = list((self.saved or {}).get("outputs", ()))
        outputs = known + [path.name for path in self.plan.outputs if path.name not in known]
        value = {"version": 1, "facts": dict(facts), "outputs": outputs}
        if value != self.saved:
            write_json(self.path, value)
            self.saved = value


def _shown(name: str, value: Any) -> str:
    if value is None:
        return f"no {name}"
    if isinstance(value, dict):
        text = " ".join(dict.fromkeys(map(str, value.values())))
    else:
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{name} {printable(text, 100)}"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder and lock it for this process. Raises UsageError or StoreError."""
    with only_process(
        folder / "lock",
        UsageError(f"another process is at work on '{printable(folder)}'; wait for it, or name another --out"),
        lambda reason: StoreError(f"the folder '{printable(folder)}' cannot be made: {reason}; name another --out."),
    ):
        yield
