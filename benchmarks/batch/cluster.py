"""`inquisight batch --engine ray`: two workers against one, on this machine.

    python -m benchmarks.batch.cluster                          two to three minutes on two quiet cores
    python -m benchmarks.batch.cluster --seeing 400 --waiting 400
    python -m benchmarks.batch.cluster --workers 4              four against one

Two kinds of work, since a worker adds a core and a row of callers: *seeing* is the built-in vision model with
one core for each worker and a questioner that answers at once; *waiting* is a vision model that answers at once and a
questioner that answers after a fixed delay, each worker with so many calls at a time (both are fakes, see fakes.py).
The real command runs in a new process. The speed is that between the first and the last tenth of the captions,
without the start of Ray and the loading of models, which a long batch amortises; the time of the whole command is
beside it. Both runs must give the same bytes.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.batch.fakes import install
from benchmarks.batch.figures import add_out, check_out, keep, say
from benchmarks.batch.throughput import make_pictures
from core import InquisightError, find_pictures

ROOT = Path(__file__).resolve().parents[2]
OUT = "captions.jsonl"


@dataclass(frozen=True, slots=True)
class Run:
    """One command."""

    speed: float  # pictures per second, of the middle part
    seconds: float  # of the whole command


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of work."""

    name: str
    pictures: int
    options: tuple[str, ...]


def measure(folder: Path, kind: Kind, workers: int) -> Run:
    """The command with so many workers. Raises InquisightError where it fails."""
    place = folder / f"{kind.name}-{workers}"
    place.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("INQUISIGHT_", "RAY_"))}
    environment = kept | {
        "PYTHONPATH": os.pathsep.join([str(folder / "plugins"), str(ROOT)]),
        "INQUISIGHT_HOME": str(folder / "home"),
    }
    command = [sys.executable, "-m", "agents.batch", str(folder / "pictures"), "--out", OUT, "--witness", "none"]
    command += ["--engine", "ray", "--workers", str(workers), "--limit", str(kind.pictures), *kind.options]
    start = time.perf_counter()
    quiet = subprocess.DEVNULL
    done = subprocess.run(command, cwd=place, env=environment, stdin=quiet, stdout=quiet, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise InquisightError(f"the batch with {workers} workers ended with exit code {done.returncode}")
    times = []
    with (place / f"{OUT}.work" / "journal.jsonl").open(encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            if record["kind"] == "done":
                times.append(datetime.fromisoformat(record["caption"]["created"]).timestamp())
    times.sort()
    tenth = max(1, len(times) // 10)
    return Run((len(times) - 2 * tenth) / max(times[-tenth - 1] - times[tenth - 1], 1e-9), seconds)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or one line on standard error and the error's own code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.batch.cluster", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeing", type=int, default=100, help="pictures for the vision model; 0: leave it out")
    parser.add_argument("--waiting", type=int, default=200, help="pictures for the slow questioner; 0: leave it out")
    parser.add_argument("--delay", type=float, default=0.5, help="delay of the slow questioner in seconds")
    parser.add_argument("--concurrency", type=int, default=16, help="concurrent calls per worker")
    parser.add_argument("--rounds", type=int, default=4)
    add_out(parser)
    options = parser.parse_args(argv)
    if options.workers < 2:
        parser.error("--workers must be 2 or more")
    common = ("--rounds", str(options.rounds), "--batch", "8")
    slow = ("--vision", "hash", "--questioner", f"fixed:{options.delay:g}", "--concurrency", str(options.concurrency))
    kinds = [
        Kind("seeing", options.seeing, ("--vision", "pocket", "--questioner", "fixed:0", *common)),
        Kind("waiting", options.waiting, (*slow, *common)),
    ]
    kinds = [kind for kind in kinds if kind.pictures]
    try:
        check_out(options)
        if not kinds or any(kind.pictures < 20 for kind in kinds):
            raise InquisightError("--seeing and --waiting must be 20 or more, or one of them 0")
        with tempfile.TemporaryDirectory(prefix="inquisight-") as name:
            folder = Path(name)
            install(folder / "plugins")
            say("making pictures")
            (folder / "pictures").mkdir()
            photos = find_pictures([ROOT / "examples" / "photos"])
            make_pictures(folder / "pictures", photos, max(kind.pictures for kind in kinds))
            rows = []
            for kind in kinds:
                say(f"{kind.name}, 1 worker")
                alone = measure(folder, kind, 1)
                say(f"{kind.name}, {options.workers} workers")
                many = measure(folder, kind, options.workers)
                one, other = (folder / f"{kind.name}-{workers}" / OUT for workers in (1, options.workers))
                if not filecmp.cmp(one, other, shallow=False):
                    raise InquisightError(f"THE CAPTIONS DIFFER ({kind.name}): the runs cannot be compared")
                rows.append((kind, alone, many))
        print(report(rows, options))
        facts = [
            {"work": kind.name, "pictures": kind.pictures, "one": asdict(one), "many": asdict(many),
             "scaling": many.speed / one.speed}
            for kind, one, many in rows
        ]  # fmt: skip
        keep(options, rows=facts)
    except InquisightError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def report(rows: Sequence[tuple[Kind, Run, Run]], options: argparse.Namespace) -> str:
    """The Markdown."""
    table = [
        f"| work | pictures | 1 worker, pictures/s | {options.workers} workers, pictures/s | scaling "
        "| whole command, s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    table += [
        f"| {kind.name} | {kind.pictures} | {one.speed:.2f} | {many.speed:.2f} | {many.speed / one.speed:.2f}x | "
        f"{one.seconds:.0f} and {many.seconds:.0f} |"
        for kind, one, many in rows
    ]
    return "\n".join(
        [
            *table,
            "",
            f"Ray on one machine with {os.cpu_count()} CPU cores; {options.rounds} questions. Seeing: `pocket`, one "
            f"core for each worker. Waiting: fakes, a questioner that answers after {options.delay:g} s, "
            f"{options.concurrency} calls at a time for each worker. The same bytes with 1 and with {options.workers} "
            "workers.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
