"""Run a batch and kill it, -9, at random moments of its writing, again and again; then let it finish.

    python -m tests.agents.batch.kill_loop PICTURES OUT KILLS SEED [append]

With `append`, captions go into XMP sidecars, too, and are added to those that exist.

Run as a process of its own: it imports what is needed once and forks for every run, so that a kill costs milliseconds.
The moments are drawn among all writes, waits for the disk and renames; a write that is hit is done in part.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import langchain_core.language_models  # noqa: F401 - once, not in every child

from agents.batch.request import BatchRequest
from agents.cli import batch as running
from core.entries import Entry
from core.registry import get_registry
from core.vision import VisualQuestion
from plugins.scripted import ScriptedQuestioner  # noqa: F401
from tests.agents.batch.making import HashedEye

APPEND = sys.argv[5:] == ["append"]
CRASHED = 3
WRITES = 40  # within so many of them from its start a run is killed


class SlowEye(HashedEye):
    """Takes its time, so that interviews are under way when the process dies."""

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        time.sleep(0.002)
        return super().answer(questions)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Moments:
    """Counts what touches the disk, and kills the process at one of them."""

    def __init__(self, deadly: int, chance: random.Random) -> None:
        self.count, self.deadly, self.chance = 0, deadly, chance

    def next(self) -> bool:
        self.count += 1
        return self.count == self.deadly

    def watch(self) -> None:
        write = os.write

        def torn(file: int, data: bytes) -> int:
            if file > 2 and self.next():
                write(file, data[: self.chance.randrange(len(data) + 1)])
                die()
            return write(file, data)

        os.write = torn
        for name in ("fsync", "replace"):
            setattr(os, name, self.before(getattr(os, name)))

    def before(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            if self.next():
                die()
            return real(*arguments, **options)

        return watched


def run(pictures: str, out: Path) -> int:
    outs = (out, out.with_suffix(".json"), out.with_suffix(".tar"))
    return running.run_batch(
        BatchRequest(
            inputs=(pictures,), out=outs, vision="slow", questioner="scripted", rounds=4, seed=5, batch=4,
            concurrency=4, shard_size=10, save_beside=True, json=True, xmp=APPEND,
            existing="append" if APPEND else None,
        )
    )  # fmt: skip


def attempt(pictures: str, out: Path, deadly: int, chance: random.Random) -> bool:
    """One run in a process of its own; whether it was killed."""
    child = os.fork()
    if child == 0:
        code = CRASHED
        try:
            if deadly:
                Moments(deadly, chance).watch()
            code = run(pictures, out)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (-signal.SIGKILL, 0, running.EXIT_SOME_FAILED):
        sys.exit(f"the batch failed with {code}")
    return code == -signal.SIGKILL


def main(pictures: str, out: Path, kills: int, seed: int) -> None:
    """Print how many runs were killed."""
    entry = Entry("vision backend", "slow", SlowEye, "for tests", {}, "tests", "tests")
    get_registry().vision_backends["slow"] = entry
    chance = random.Random(seed)
    killed = 0
    while killed < kills and attempt(pictures, out, chance.randrange(1, WRITES), chance):
        killed += 1
    attempt(pictures, out, 0, chance)
    print(killed)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
