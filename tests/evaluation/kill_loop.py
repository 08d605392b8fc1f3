"""Run an evaluation and kill it, -9, at random moments of its writing, again and again; then let it finish.

    python -m tests.evaluation.kill_loop DATA OUT KILLS SEED

Prints how many runs were killed. Each run is a fork of one process that has imported what is needed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import evaluation.tasks.telling
from core.entries import Entry
from core.registry import get_registry
from evaluation.command import run_evaluate
from evaluation.request import EvaluateRequest
from tests.agents.batch.kill_loop import CRASHED, Moments
from tests.evaluation.knowing import KnowingVision

WRITES = 12  # within so many of them from its start a run is killed


def attempt(data: Path, out: Path, deadly: int, chance: random.Random) -> bool:
    """One run in a process of its own; whether it was killed."""
    child = os.fork()
    if child == 0:
        code = CRASHED
        try:
            if deadly:
                Moments(deadly, chance).watch()
            request = EvaluateRequest("telling", data, out, vision="knowing", captions="plain,interview",
                                      questioner="scripted", witness="none", rounds=3, seed=1, batch=2)  # fmt: skip
            code = run_evaluate(request)
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (-signal.SIGKILL, 0):
        sys.exit(f"the evaluation failed with {code}")
    return code == -signal.SIGKILL


def main(data: Path, out: Path, kills: int, seed: int) -> None:
    """Print how many runs were killed."""
    entry = Entry("vision backend", "knowing", lambda _: KnowingVision(), "for tests", {}, "tests", "tests")
    get_registry().vision_backends["knowing"] = entry
    assert evaluation.tasks.telling.Telling.captioned
    chance = random.Random(seed)
    killed = 0
    while killed < kills and attempt(data, out, chance.randrange(1, WRITES), chance):
        killed += 1
    attempt(data, out, 0, chance)
    print(f"\n{killed}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
