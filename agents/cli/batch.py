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
        str | None, typer.Option("--column", metavar="NAME", help="The column of a table that holds the pictures.")
    ] = None,
    vision: Vision = None,
    questioner: Annotated[
        str | None,
        typer.Option("--questioner", metavar="NAME", help="The model that asks [INQUISIGHT_QUESTIONER; scripted]."),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", metavar="N", parser=whole_number, help="Questions, the opening one included [10]."),
    ] = None,
    context: Context = None,
    prompts: Prompts = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", parser=whole_number, help="The same captions as `caption --seed N`."),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option("--language", metavar="NAME", help="Language of the descriptions, where the questioner can."),
    ] = None,
    save_beside: Annotated[
        bool, typer.Option("--save-beside", help="Also write each description to PICTURE.txt beside its picture.")
    ] = False,
    overwrite: OverwriteBeside = False,
    concurrency: Annotated[
        int,
        typer.Option("--concurrency", metavar="N", parser=whole_number, help="Calls of the questioner at a time."),
    ] = 32,
    requests_per_second: Annotated[
        float | None,
        typer.Option(
            "--requests-per-second",
            metavar="X",
            parser=number,
            help="Calls of the questioner per second, at most [INQUISIGHT_REQUESTS_PER_SECOND; no limit].",
        ),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            "--batch", metavar="N", parser=whole_number, help="Pictures or questions that the eye gets at a time."
        ),
    ] = 32,
    vision_batches: Annotated[
        int | None,
        typer.Option(
            "--vision-batches",
            metavar="N",
            parser=whole_number,
            help="Batches that are with the eye at a time [as many as it does best with]; a server takes more.",
        ),
    ] = None,
    price_in: Annotated[
        float | None,
        typer.Option(
            "--price-in", metavar="X", parser=number, help="Price of a million tokens that the questioner reads."
        ),
    ] = None,
    price_out: Annotated[
        float | None,
        typer.Option("--price-out", metavar="X", parser=number, help="Price of a million tokens that it writes."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", parser=whole_number, help="Only the first N pictures (of the shard)."),
    ] = None,
    shard: Annotated[
        str, typer.Option("--shard", metavar="I/N", help="Every N-th picture from the I-th on, counted from 0.")
    ] = "0/1",
    shard_size: Annotated[
        int,
        typer.Option("--shard-size", metavar="N", parser=whole_number, help="Pictures in each .tar that is written."),
    ] = 1000,
    failed: Annotated[bool, typer.Option("--failed", help="Try those again that failed, and only those.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take, and do nothing: no model is loaded.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
    engine: Annotated[
        str,
        typer.Option(
            "--engine", metavar="NAME", help="Where the work is done: local, or ray: by workers of a Ray cluster."
        ),
    ] = "local",
    workers: Annotated[
        str | None,
        typer.Option("--workers", metavar="MIN[:MAX]", help="Of --engine ray: workers, each with its own models [1]."),
    ] = None,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            "--gpus-per-worker", metavar="X", parser=number, help="GPUs of each worker, 0.5: two share one [0]."
        ),
    ] = None,
    cpus_per_worker: Annotated[
        float | None, typer.Option("--cpus-per-worker", metavar="X", parser=number, help="Cores of each worker [1].")
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="HOST:PORT",
            help="The cluster, auto for that of this machine [RAY_ADDRESS; a Ray of our own for this run].",
        ),
    ] = None,
) -> None:
    """Describe very many pictures; interrupt it, kill it, start it again: nothing is lost or done twice."""
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
