"""Repeat the paper's measurements on the built-in model: both stages, curation, and ablations.

    python -m benchmarks.pocket_small SOURCES OUT
    python -m benchmarks.pocket_small SOURCES OUT --features FEATURES --docs docs

SOURCES is what `training.pocket.sources` filled, FEATURES what `training.pocket.foundation` wrote (it saves looking at
the pictures again). `--docs docs` writes docs/pocket-small.json and the tables of docs/pocket-small.md. Everything is
done by the commands of Inquisight, `train stage1`, `train stage2` and `curate`, and each line is printed. Interrupted
in any way, the same command goes on: what is finished is kept in OUT.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from core.errors import InquisightError, UsageError

SHARES: Final = (10, 30, 50, 100)  # per cent of the data of stage 1
DEEP: Final = 3
HINTS: Final = "colours"  # the names of things must pass the projection


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything: pictures, and steps of stage 2."""

    pictures: int = 6000  # with captions, for stage 1
    described: int = 1500  # by stage 1, to be curated
    checked: int = 500  # of these, as in the paper
    measured: int = 200  # held out
    steps: int = 400  # of stage 2; stage 1 has the epochs of its recipe


@dataclass(frozen=True, slots=True)
class Run:
    """One training, and how the table calls what came out of it."""

    name: str
    title: str
    recipe: str
    changes: dict[str, Any]


def first_runs(out: Path) -> list[Run]:
    """Stage 1: all data, less of them, a deeper projection."""
    runs = [
        Run(f"stage1-{share}", f"stage 1, {share} % of the data", "pocket-stage1", {"data.0.share": share / 100})
        for share in SHARES
    ]
    runs.append(Run("stage1-deep", f"stage 1, {DEEP} layers", "pocket-stage1", {"projection_layers": DEEP}))
    return [
        Run(run.name, run.title, run.recipe, {**_places(out, "captions/captions.jsonl"), **run.changes}) for run in runs
    ]


def second_runs(out: Path, steps: int) -> list[Run]:
    """Stage 2 on the curated pairs behind each stage 1 and alone; and on true descriptions, as the upper end."""
    found = []
    for share in SHARES:
        begin = {"projection": str(out / "runs" / f"stage1-{share}")}
        title = "stages 1 and 2" if share == 100 else f"stages 1 and 2, {share} % of stage 1's data"
        found.append(Run(f"stage2-{share}", title, "pocket-stage2", begin))
    deep = {"projection": str(out / "runs" / "stage1-deep"), "projection_layers": DEEP}
    found.append(Run("stage2-deep", f"stages 1 and 2, {DEEP} layers", "pocket-stage2", deep))
    found.append(Run("stage2-alone", "stage 2 alone", "pocket-stage2", {"projection": "fresh"}))
    true = {"projection": str(out / "runs" / "stage1-100"), "data.0.path": str(out / "true")}
    found.append(Run("stage2-true", "stages 1 and 2, on true descriptions", "pocket-stage2", true))
    common = {**_places(out, "curated"), "steps": steps, "warmup": steps // 10}
    return [Run(run.name, run.title, run.recipe, {**common, **run.changes}) for run in found]


def _places(out: Path, data: str) -> dict[str, Any]:
    return {"model": str(out / "model"), "features": str(out / "features"), "data.0.path": str(out / data)}


def inquisight(*arguments: object) -> None:
    """Run a command of Inquisight and show its line. Raises InquisightError."""
    import typer

    from training.commands import add_to as add_train
    from training.curation.commands import add_to as add_curate

    words = [str(argument) for argument in arguments]
    print(f"$ inquisight {shlex.join(words)}", flush=True)
    app = typer.Typer(add_completion=False)
    add_train(app)
    add_curate(app)
    typer.main.get_command(app).main(args=words, prog_name="inquisight", standalone_mode=False)


def train(run: Run, out: Path) -> None:
    changes = [part for name, value in run.changes.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    stage = "stage1" if run.recipe.endswith("1") else "stage2"
    inquisight("train", stage, "--recipe", run.recipe, *changes, "--out", out / "runs" / run.name)


def spec_of(out: Path, projection: str = "", hints: str = HINTS) -> str:
    """The backend's name for a projection of OUT, or for pocket's own."""
    chosen = f"&projection={_escaped(out / 'runs' / projection)}" if projection else ""
    return f"pocket:{out / 'model'}?hints={hints}{chosen}"


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%25").replace("&", "%26")


def go(sources: Path, out: Path, model: Path, size: Size, features: Path | None) -> dict[str, Any]:
    """Everything, from where OUT says it was left; the report. Raises InquisightError."""
    from benchmarks.pocket_small import curation, world
    from benchmarks.pocket_small.measure import held_out, measure
    from core.files.journal import read_json, write_json
    from training.pocket.scenes import Composer

    out = out.absolute()
    _begin(out, model, size)
    world.write_model(model, out / "model")
    composer = Composer(sources)
    captions = world.compose(composer, out / "captions", size.pictures, 0, "png", _told("composing", size.pictures))
    first = world.DESCRIBED_FROM
    true = world.compose(composer, out / "true", size.described, first, "jpg", _told("composing", size.described))
    world.write_captions(captions, out / "captions")
    world.write_descriptions(true, out / "true")
    sets = [(out / "captions", captions), (out / "true", true)]
    cached = world.Cached.open(features) if features else None
    done = _told("looking", size.pictures + size.described)
    world.keep_features(world.Reader(out / "model"), out / "features", sets, cached, done)

    for run in first_runs(out):
        train(run, out)
    work = out / "curation"
    spec = spec_of(out, "stage1-100")
    curation.curate(inquisight, spec, out / "true" / "image", true, work, out / "curated", sample=size.checked)
    for run in second_runs(out, size.steps):
        train(run, out)

    scenes = held_out(sources, size.measured)
    rows = []
    for name, title, spec in projections(out, size):
        kept = out / "measured" / f"{name}.json"
        found = read_json(kept)
        if found is None:
            print(f"measuring: {title}", flush=True)
            found = measure(spec, scenes)
            kept.parent.mkdir(exist_ok=True)
            write_json(kept, found)
        rows.append({"name": name, "title": title, **found})
    return report(out, size, rows, curation.figures(work), scenes)


def all_runs(out: Path, size: Size) -> list[Run]:
    return [*first_runs(out), *second_runs(out, size.steps)]


def projections(out: Path, size: Size) -> Iterator[tuple[str, str, str]]:
    """(name, title, backend) of everything that is measured."""
    yield "pocket", "pocket as it ships, all hints", spec_of(out, hints="all")
    yield "pocket-nameless", "pocket as it ships, without the names in its hints", spec_of(out)
    for run in all_runs(out, size):
        yield run.name, run.title, spec_of(out, run.name)


def report(
    out: Path, size: Size, rows: list[dict[str, Any]], curated: dict[str, Any], scenes: list[Any]
) -> dict[str, Any]:
    """Everything that the tables show, as JSON."""
    import torch

    from benchmarks.pocket_small.world import described
    from core.files.journal import read_json
    from training.pocket.features import truth

    number = next(
        (i for i, scene in enumerate(scenes) if len(scene.things) == 3 and all(t.name for t in scene.things)), 0
    )
    for row in rows:
        del row["vision"]  # it names folders of this machine
        for manner in ("greedy", "sampled"):
            row[manner]["example"] = row[manner].pop("texts")[number]
    runs = {}
    for run in all_runs(out, size):
        facts = read_json(out / "runs" / run.name / "finished.json") or {}
        own = [f"{key}={_shown(value, out)}" for key, value in run.changes.items() if key not in ("model", "features")]
        kept = {key: facts.get(key, 0) for key in ("steps", "samples", "target_tokens", "loss", "seconds", "versions")}
        runs[run.name] = {"recipe": run.recipe, "changes": own, **kept}
    return {
        "model": (read_json(out / "small.json") or {})["model"],
        "size": asdict(size),
        "threads": torch.get_num_threads(),
        "rows": rows,
        "curation": curated,
        "runs": runs,
        "example": {"scene": number, "truth": described(truth(scenes[number]))},
    }


def _shown(value: Any, out: Path) -> str:
    return str(value).replace(f"{out}/", "")


def _begin(out: Path, model: Path, size: Size) -> None:
    """Note what OUT is made with. Raises UsageError where it was begun with something else."""
    import hashlib

    from core.errors import printable
    from core.files.journal import read_json, write_json

    weights = model / "model.safetensors"
    if not weights.is_file():
        raise UsageError(f"--model {printable(model)} is no directory of pocket's: it has no {weights.name}.")
    named = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    facts = {"model": f"pocket {named}", "hints": HINTS, **asdict(size)}
    out.mkdir(parents=True, exist_ok=True)
    before = read_json(out / "small.json")
    if before is None and any(out.iterdir()):
        raise UsageError(f"{printable(out)} holds other things: name a new or an empty folder.")
    if before is not None and before != facts:
        changed = next(name for name in facts if before.get(name) != facts[name])
        raise UsageError(
            f"{printable(out)} was begun with {changed} {before.get(changed)}, not {facts[changed]}: name another one."
        )
    write_json(out / "small.json", facts)


def _told(doing: str, total: int) -> Callable[[int], None]:
    """A line every ten seconds."""
    last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if time.monotonic() - last > 10:
            last = time.monotonic()
            print(f"{doing}: {done} of {total} pictures", file=sys.stderr, flush=True)

    return tell


def main(argv: list[str] | None = None) -> int:
    import typer

    from benchmarks.pocket_small.report import fill, tables
    from plugins.pocket.backend import MODEL

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, help="folder filled by training.pocket.sources")
    parser.add_argument("out", type=Path, help="output folder; resumable (1 GB)")
    parser.add_argument("--model", type=Path, default=MODEL, help="directory of a pocket model [built-in]")
    parser.add_argument("--features", type=Path, help="folder of training.pocket.foundation, of the same vision model")
    for name, default in asdict(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"number, see the page [{default}]")
    parser.add_argument("--docs", type=Path, help="output folder of pocket-small.json and pocket-small.md")
    options = parser.parse_args(argv)
    size = Size(**{name: getattr(options, name) for name in asdict(Size())})
    try:
        found = go(options.sources, options.out, options.model, size, options.features)
    except InquisightError as error:
        print(f"inquisight: {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("inquisight: stopped; the same command goes on", file=sys.stderr)
        return 130
    parts = tables(found)
    print("\n\n".join(["", *parts.values()]))
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (options.out / "report.json").write_text(text, encoding="utf-8")
    if options.docs:
        (options.docs / "pocket-small.json").write_text(text, encoding="utf-8")
        page = options.docs / "pocket-small.md"
        page.write_text(fill(page.read_text("utf-8"), parts), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
