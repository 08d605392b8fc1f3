"""Run a long batch: constant memory, constant speed, and the same result after kills.

    python -m benchmarks.batch.long                           20,000 small pictures, killed ten times
    python -m benchmarks.batch.long --pictures 2000 --kills 3
    python -m benchmarks.batch.long --vision pocket --questioner scripted --pictures 2000

By default both models are fakes that answer at once (see fakes.py), so that what is measured is the machinery
around them. The real command runs in a process of its own: once undisturbed, then into another folder, ended by
`kill -9` at random moments and begun again each time. The outputs (JSON Lines, COCO captions, webdataset shards) must
be the same, byte by byte, and no picture may be in a journal twice.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import psutil
from PIL import Image

from benchmarks.batch.fakes import install
from benchmarks.batch.figures import add_out, check_out, keep, say
from core import InquisightError

ROOT = Path(__file__).resolve().parents[2]
STEP = 1000  # pictures in a line of the table, fewer in a short run
OUTPUTS = ("captions.jsonl", "captions.json", "captions.tar")


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What was seen of the undisturbed run."""

    seconds: float
    memory: list[tuple[float, float]]  # (time, MB)

    @property
    def peak(self) -> float:
        """MB."""
        return max((held for _, held in self.memory), default=float("nan"))


@dataclass(frozen=True, slots=True)
class Piece:
    """So many captions of a run, one after the other."""

    first: int  # counted from 1
    last: int
    speed: float  # pictures per second
    memory: float  # the most there was, MB; nan where nobody looked in that time


def make_pictures(folder: Path, count: int) -> None:
    """Small pictures, no two alike, but for each hundredth, which is a copy of the one before it."""
    folder.mkdir(parents=True)
    for number in range(count):
        kind = number - 1 if number % 100 == 99 else number
        colour = (kind % 256, kind // 256 % 256, kind // 65536 % 256)
        Image.new("RGB", (32, 24), colour).save(folder / f"{number:06d}.png")


class Command:
    """`inquisight batch`, started as a user would."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.options = options
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("INQUISIGHT_")}
        plugins = install(folder / "plugins")
        self.environment = kept | {
            "PYTHONPATH": os.pathsep.join([str(plugins), str(ROOT)]),
            "INQUISIGHT_HOME": str(folder / "home"),
        }

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """A run into the folder `name`."""
        (self.folder / name).mkdir(exist_ok=True)
        outs = [part for output in OUTPUTS for part in ("--out", f"{name}/{output}")]
        options = self.options
        command = [sys.executable, "-m", "agents.batch", "pictures", *outs, "--json", "--witness", "none"]
        command += ["--vision", options.vision, "--questioner", options.questioner, "--rounds", str(options.rounds)]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=quiet, stdin=quiet)

    def undisturbed(self, name: str) -> Undisturbed:
        """A run to its end, its memory watched. Raises InquisightError where it fails."""
        memory = []
        start = time.perf_counter()
        with self.start(name) as process:
            watched = psutil.Process(process.pid)
            while process.poll() is None:
                try:
                    memory.append((time.time(), watched.memory_info().rss / 1e6))
                except psutil.NoSuchProcess:
                    break
                time.sleep(0.25)
        if process.wait():
            raise InquisightError(f"the batch ended with exit code {process.returncode}")
        return Undisturbed(time.perf_counter() - start, memory)

    def killed(self, name: str, kills: int, seconds: float, chance: random.Random) -> int:
        """A run that is killed again and again, and then left alone; how often it was hit before its end."""
        hit = 0
        for _ in range(kills):
            with self.start(name) as process:
                try:
                    process.wait(chance.uniform(0, 2 * seconds / kills))
                except subprocess.TimeoutExpired:
                    process.kill()
                    hit += 1
        with self.start(name) as process:
            if process.wait():
                raise InquisightError(f"the batch ended with exit code {process.returncode} after it was killed")
        return hit


def settled(folder: Path) -> list[tuple[str, float | None]]:
    """(key, when its caption was made) of everything in the journal, in its order."""
    found: list[tuple[str, float | None]] = []
    with (folder / f"{OUTPUTS[0]}.work" / "journal.jsonl").open(encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            if record["kind"] == "done":
                found.append((record["key"], datetime.fromisoformat(record["caption"]["created"]).timestamp()))
            elif record["kind"] in ("same", "failed"):
                found.append((record["key"], None))
    return found


def compare(folder: Path, one: str, other: str, count: int) -> list[str]:
    """What differs between two runs; nothing where all is well."""
    wrong = []
    for name in (one, other):
        keys = [key for key, _ in settled(folder / name)]
        if len(keys) != len(set(keys)):
            wrong.append(f"{len(keys) - len(set(keys))} pictures are in the journal of {name} twice")
        if len(set(keys)) != count:
            wrong.append(f"{count - len(set(keys))} pictures are missing from {name}")
    first, second = (sorted(path.name for path in (folder / name).iterdir() if path.is_file()) for name in (one, other))
    if first != second:
        wrong.append(f"different files: {sorted(set(first) ^ set(second))}")
    wrong += [
        f"{name} differs"
        for name in first
        if not filecmp.cmp(folder / one / name, folder / other / name, shallow=False)
    ]
    return wrong


def pieces(times: Sequence[float], memory: Sequence[tuple[float, float]]) -> list[Piece]:
    """A run, cut into pieces of `STEP` captions each, a short run into four; what is left over belongs to none.

    `times` and those of `memory` (time, MB) are seconds of the same clock.
    """
    size = max(2, min(STEP, len(times) // 4))
    found = []
    for first in range(0, len(times) - size + 1, size):
        begin, end = times[first], times[first + size - 1]
        most = max((held for moment, held in memory if begin <= moment <= end), default=float("nan"))
        found.append(Piece(first + 1, first + size, (size - 1) / max(end - begin, 1e-9), most))
    return found


def report(found: Sequence[Piece], run: Undisturbed, hit: int, wrong: list[str], options: argparse.Namespace) -> str:
    """The Markdown."""
    lines = ["| pictures | pictures/s | memory, MB |", "|---:|---:|---:|"]
    lines += [f"| {one.first:,} to {one.last:,} | {one.speed:.0f} | {one.memory:.0f} |" for one in found]
    if len(found) > 1:
        first, second, last = found[0], found[1], found[-1]
        lines += [
            "",
            f"The last {last.last - last.first + 1:,} at {last.speed / first.speed:.2f} of the speed of the first; "
            f"memory in these {last.memory - second.memory:+.0f} MB against the second (the peak of the whole run, "
            f"its outputs included: {run.peak:.0f} MB).",
        ]
    same = "the same bytes in every output" if not wrong else f"DIFFERENT: {'; '.join(wrong)}"
    lines += [
        f"Killed {hit} times at random moments of a run of {run.seconds:.0f} s: {same}.",
        "",
        f"{options.pictures:,} pictures of 32 x 24, {options.vision} looks, {options.questioner} asks, "
        f"{options.rounds} questions; {os.cpu_count()} CPU cores.",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 where something differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch.long", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--vision", default="hash")
    parser.add_argument("--questioner", default="fixed:0")
    parser.add_argument("--seed", type=int, default=1, help="seed of the kill times")
    add_out(parser)
    options = parser.parse_args(argv)
    try:
        check_out(options)
        if options.pictures < 8 or options.kills < 0:
            raise InquisightError("--pictures must be 8 or more, and --kills 0 or more")
        with tempfile.TemporaryDirectory(prefix="inquisight-") as name:
            folder = Path(name)
            say(f"making {options.pictures} pictures")
            make_pictures(folder / "pictures", options.pictures)
            command = Command(folder, options)
            say("undisturbed")
            run = command.undisturbed("undisturbed")
            say(f"killed {options.kills} times")
            hit = command.killed("killed", options.kills, run.seconds, random.Random(options.seed))
            wrong = compare(folder, "undisturbed", "killed", options.pictures)
            times = [moment for _, moment in settled(folder / "undisturbed") if moment is not None]
            found = pieces(times, run.memory)
            print(report(found, run, hit, wrong, options))
            rows = [asdict(one) for one in found]
            keep(options, rows=rows, seconds=run.seconds, peak_memory=run.peak, killed=hit, differences=wrong)
    except InquisightError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return error.exit_code
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
