"""The options of `inquisight batch`; the docstring below a field is its help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agents.styles.request import OwnerRequest
from core.console.options import (
    Asking,
    Audit,
    Claims,
    ExistingCaptions,
    Fallback,
    History,
    MinRounds,
    OverwriteBeside,
    Prompts,
    SaveXmp,
    Threshold,
    Vision,
    Witness,
    WriteMetadata,
    XmpNames,
    number,
    whole_number,
)


@dataclass(frozen=True, slots=True)
class BatchRequest(OwnerRequest):
    """Caption folders, tables or shards of images; resumable."""

    inputs: Annotated[tuple[str, ...], typer.Argument(metavar="DIR_OR_LIST...")] = ()
    """Folders, patterns in quotes, lists of paths (.txt, or - for standard input), tables (.csv, .tsv,
    .jsonl, .parquet), webdataset shards (.tar)."""
    out: tuple[Path, ...] = ()
    """Where the captions go: .jsonl, .parquet, .json (COCO captions) or .tar (webdataset shards with the
    pictures); may be repeated."""
    column: str | None = None
    """Table column that holds the images."""
    context_column: str | None = None
    """Table column that holds what you know of each image; adds to --context."""
    vision: Vision = None
    questioner: str | None = None
    """Questioner: a name, or provider:model [INQUISIGHT_QUESTIONER; scripted]."""
    witness: Witness = None
    rounds: int | None = None
    """Number of questions, including the first [10]."""
    min_rounds: MinRounds = None
    fallback: Fallback = None
    asking: Asking = None
    audit: Audit = None
    threshold: Threshold = None
    claims: Claims = None
    history: History = None
    prompts: Prompts = None
    seed: int | None = None
    """Random seed; captions equal those of `caption --seed N`."""
    language: str | None = None
    """Language of the descriptions, if the questioner supports it."""
    save_beside: bool = False
    """Also write each description, or the first style, to PICTURE.txt beside its picture."""
    xmp: SaveXmp = False
    xmp_name: XmpNames = None
    write_metadata: WriteMetadata = False
    existing: ExistingCaptions = None
    overwrite: OverwriteBeside = False
    concurrency: int = 32
    """Concurrent questioner calls."""
    rate: Annotated[float | None, typer.Option("--requests-per-second", metavar="X", parser=number)] = None
    """Maximum questioner calls per second [INQUISIGHT_REQUESTS_PER_SECOND; no limit]."""
    batch: Annotated[int, typer.Option("--batch", metavar="N", parser=whole_number)] = 32
    """Images or questions per batch of the vision model."""
    vision_batches: int | None = None
    """Concurrent vision batches; servers take more [the model's own number]."""
    price_in: float | None = None
    """Price per million input tokens of the questioner."""
    price_out: float | None = None
    """Price per million output tokens of the questioner."""
    limit: int | None = None
    """Maximum number of images (of the shard)."""
    shard: Annotated[str, typer.Option("--shard", metavar="I/N")] = "0/1"
    """Every N-th image, starting at the I-th, from 0."""
    shard_size: int = 1000
    """Images per output .tar."""
    failed: bool = False
    """Retry failed images only."""
    dry_run: bool = False
    """Print an estimate of calls, tokens, cost and time; load no model."""
    json: bool = False
    """Print the result as one JSON object."""
    engine: str = "local"
    """Execution engine: local, or ray for a Ray cluster."""
    workers: Annotated[str | None, typer.Option("--workers", metavar="MIN[:MAX]")] = None
    """Ray workers, each with its own models [1]."""
    gpus_per_worker: float | None = None
    """GPUs per worker; 0.5 means two share one [0]."""
    cpus_per_worker: float | None = None
    """CPU cores per worker [1]."""
    ray_address: Annotated[str | None, typer.Option("--ray-address", metavar="HOST:PORT")] = None
    """Cluster address; auto for the local cluster [RAY_ADDRESS; a temporary local Ray]."""
