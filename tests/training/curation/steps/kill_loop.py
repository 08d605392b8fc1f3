"""Run a step of a curation, kill it (-9) at random moments several times, then let it finish.

    python -m tests.training.curation.steps.kill_loop STEP FOLDER KILLS SEED

Run as a process of its own: it imports what is needed once and forks for every run, so that a kill costs milliseconds.
The moments are drawn among all writes, waits for the disk and renames; a write that is hit is done in part.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from core.vision import VisualQuestion
from tests.training.curation.fakes import FakeMender, FakeVision, settings
from training.curation.folder import CurationFolder
from training.curation.report.export import export
from training.curation.review.labels import Kinds, Label, Labels, draw_sample
from training.curation.rules.rules import Rules, judge, write_verdict
from training.curation.steps.checking import Repair
from training.curation.steps.generate import generate
from training.curation.steps.repair import RepairConfig, RepairSettings, prompts_digest, repair

CALL = 0.001  # seconds a call of a model takes, so that some are under way when the process dies


class SlowVision(FakeVision):
    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        time.sleep(CALL)
        return super().answer(questions)


def mend(text: str, seed: int) -> str:
    time.sleep(CALL * (seed % 3))
    return "I apologize." if "cat" in text.split()[:4] else text


def run_generate(folder: CurationFolder) -> Iterator[object]:
    return generate(folder, settings(batch=2), SlowVision)


def run_repair(folder: CurationFolder) -> Iterator[object]:
    files = Repair.load()
    chosen = RepairSettings(repairer="fake-repairer", prompts=prompts_digest(files))
    return repair(folder, chosen, files, FakeMender(mend), RepairConfig())


def run_verify(folder: CurationFolder) -> Iterator[object]:
    kinds = Kinds.load().names
    labels = Labels(folder)
    for item in draw_sample(folder, stage="repair", size=12, seed=1):
        for reviewer in ("anna", "ben"):
            if labels.get(reviewer, item) is None:
                chance = random.Random(f"{reviewer}{item.id}")
                labels.add(Label(item.id, reviewer, item.of, tuple(one for one in kinds if chance.random() < 0.1)))
                yield item


def run_rules(folder: CurationFolder) -> Iterator[object]:
    rules = Rules.load()
    write_verdict(folder, rules, judge(folder, rules))
    yield rules


def run_export(folder: CurationFolder) -> Iterator[object]:
    out = folder.path.parent / "out"
    return iter(()) if out.exists() else export(folder, out, max_pixels=10**6)


STEPS: dict[str, Callable[[CurationFolder], Iterator[object]]] = {
    "generate": run_generate,
    "repair": run_repair,
    "verify": run_verify,
    "rules": run_rules,
    "export": run_export,
}
BEGINS_ANEW = {"rules", "export"}  # a moment anywhere in the whole step; the others get on between two kills


class Moments:
    """Counts what touches the disk, and kills the process at one of them."""

    def __init__(self, deadly: int, chance: random.Random) -> None:
        self.count = 0
        self.deadly = deadly
        self.chance = chance

    def next(self) -> bool:
        """Whether this is the one."""
        self.count += 1
        return self.count == self.deadly

    def watch(self) -> None:
        write = os.write  # what `core.files.journal` appends with

        def torn(handle: int, data: bytes) -> int:
            if self.next():
                write(handle, data[: self.chance.randrange(len(data) + 1)])
                die()
            return write(handle, data)

        os.write = torn  # type: ignore[assignment]
        for name in ("fsync", "replace", "rename"):
            setattr(os, name, self.before(getattr(os, name)))

    def before(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            if self.next():
                die()
            return real(*arguments, **options)

        return watched


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run(step: str, path: Path) -> None:
    with (folder := CurationFolder(path)).at_work():
        for _ in STEPS[step](folder):
            pass


def attempt(step: str, path: Path, deadly: int, chance: random.Random) -> tuple[bool, int]:
    """(killed, moments passed, where it was not) of one run in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        moments = Moments(deadly, chance)
        moments.watch()
        code = 1
        try:
            run(step, path)
            os.write(writer, str(moments.count).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        said = told.read()
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not killed and status:
        sys.exit(f"the step {step} failed")
    return killed, int(said or 0)


def main(step: str, path: Path, kills: int, seed: int) -> None:
    """Print how many runs were killed."""
    chance = random.Random(seed)
    if not kills:
        run(step, path)
        print(0)
        return
    trial = path.parent / "trial"
    shutil.copytree(path, trial / path.name)
    _, total = attempt(step, trial / path.name, 0, chance)
    hit = 0
    for _ in range(kills):
        if step in BEGINS_ANEW:
            for made in ("out", "out.partial"):
                shutil.rmtree(path.parent / made, ignore_errors=True)
        deadly = chance.randint(1, total if step in BEGINS_ANEW else max(1, total // (kills + 2)))
        hit += attempt(step, path, deadly, chance)[0]
    run(step, path)
    shutil.rmtree(trial)
    print(hit)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
