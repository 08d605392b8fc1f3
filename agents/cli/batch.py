"""The declaration of `inquisight batch`; the work is in other modules, imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.console.options import Context, OverwriteBeside, Prompts, Vision, number, whole_number


def batch(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DIR_OR_LIST...",
            help="Folders, patterns in quotes, lists of paths (.txt, or - for standard input), tables (.csv, .tsv, "
            ".jsonl, .parquet), webdataset shards (.tar).",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Where the captions go: .jsonl, .parquet, .json (COCO captions) or .tar (webdataset shards with the "
            "pictures); may be repeated.",
            show_default=False,
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", metavar="NAME", help="Table column that holds the images.")
    ] = None,
    vision: Vision = None,
    questioner: Annotated[
        str | None,
        typer.Option(
            "--questioner", metavar="NAME", help="Model that asks the questions [INQUISIGHT_QUESTIONER; scripted]."
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds", metavar="N", parser=whole_number, help="Number of questions, including the first [10]."
        ),
    ] = None,
    context: Context = None,
    prompts: Prompts = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="N", parser=whole_number, help="Random seed; captions equal those of `caption --seed N`."
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option("--language", metavar="NAME", help="Language of the descriptions, if the questioner supports it."),
    ] = None,
    save_beside: Annotated[
        bool, typer.Option("--save-beside", help="Also write each description to PICTURE.txt beside its picture.")
    ] = False,
    overwrite: OverwriteBeside = False,
    concurrency: Annotated[
        int,
        typer.Option("--concurrency", metavar="N", parser=whole_number, help="Concurrent questioner calls."),
    ] = 32,
    requests_per_second: Annotated[
        float | None,
        typer.Option(
            "--requests-per-second",
            metavar="X",
            parser=number,
            help="Maximum questioner calls per second [INQUISIGHT_REQUESTS_PER_SECOND; no limit].",
        ),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            "--batch", metavar="N", parser=whole_number, help="Images or questions per batch of the vision model."
        ),
    ] = 32,
    vision_batches: Annotated[
        int | None,
        typer.Option(
            "--vision-batches",
            metavar="N",
            parser=whole_number,
            help="Concurrent vision batches; servers take more [the model's own number].",
        ),
    ] = None,
    price_in: Annotated[
        float | None,
        typer.Option(
            "--price-in", metavar="X", parser=number, help="Price per million input tokens of the questioner."
        ),
    ] = None,
    price_out: Annotated[
        float | None,
        typer.Option(
            "--price-out", metavar="X", parser=number, help="Price per million output tokens of the questioner."
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", parser=whole_number, help="Maximum number of images (of the shard)."),
    ] = None,
    shard: Annotated[
        str, typer.Option("--shard", metavar="I/N", help="Every N-th image, starting at the I-th, from 0.")
    ] = "0/1",
    shard_size: Annotated[
        int,
        typer.Option("--shard-size", metavar="N", parser=whole_number, help="Images per output .tar."),
    ] = 1000,
    failed: Annotated[bool, typer.Option("--failed", help="Retry failed images only.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print an estimate of calls, tokens, cost and time; load no model.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
    engine: Annotated[
        str,
        typer.Option("--engine", metavar="NAME", help="Execution engine: local, or ray for a Ray cluster."),
    ] = "local",
    workers: Annotated[
        str | None,
        typer.Option("--workers", metavar="MIN[:MAX]", help="Ray workers, each with its own models [1]."),
    ] = None,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            "--gpus-per-worker", metavar="X", parser=number, help="GPUs per worker; 0.5 means two share one [0]."
        ),
    ] = None,
    cpus_per_worker: Annotated[
        float | None, typer.Option("--cpus-per-worker", metavar="X", parser=number, help="CPU cores per worker [1].")
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="HOST:PORT",
            help="Cluster address; auto for the local cluster [RAY_ADDRESS; a temporary local Ray].",
        ),
    ] = None,
) -> None:
    """Caption folders, tables or shards of images; resumable."""
    from agents.batch.plan import BatchRequest
    from agents.cli.batch_run import run_batch

    request = BatchRequest(
        inputs=tuple(inputs or ()),
        out=tuple(out or ()),
        column=column,
        vision=vision,
        questioner=questioner,
        rounds=rounds,
        context=context,
        prompts=prompts,
        seed=seed,
        language=language,
        save_beside=save_beside,
        overwrite=overwrite,
        concurrency=concurrency,
        batch=batch_size,
        eyes=vision_batches,
        rate=requests_per_second,
        price_in=price_in,
        price_out=price_out,
        limit=limit,
        shard=shard,
        shard_size=shard_size,
        failed=failed,
        dry_run=dry_run,
        json=json,
        engine=engine,
        workers=workers,
        gpus_per_worker=gpus_per_worker,
        cpus_per_worker=cpus_per_worker,
        ray_address=ray_address,
    )
    raise typer.Exit(run_batch(request))


def add_to(cli: typer.Typer) -> None:
    """Put `batch` on the command line, once."""
    if not any(command.callback is batch for command in cli.registered_commands):
        cli.command("batch")(batch)
