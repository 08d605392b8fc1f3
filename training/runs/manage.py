"""Trainings on this disk: find, watch, start, stop and resume them in the background.

    recipe = ready_recipe("own-data", {"model": "minigpt4-7b", "data": "my-pictures"})
    start(recipe, Path("mine"))                    # a background process, which outlives this one
    describe(Path("mine")), curve(Path("mine")), sampled_texts(Path("mine"))
    stop(Path("mine"))                             # it finishes its step, writes a checkpoint and ends
    resume(Path("mine"))                           # continues from there

Nothing here imports a model library.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from core.console.processes import describe_process, request_stop, start_detached
from core.errors import UsageError, printable
from core.files.journal import write_json
from training.checkpoints import (
    LOG,
    OUTPUT,
    PROCESS,
    RECIPE,
    SAMPLES,
    STOPPED,
    claim,
    is_running,
    log_entries,
    read_json,
)
from training.preflight import require
from training.recipes import Recipe, load_recipe
from training.runs.discovery import find
from training.runs.status import FINISHED, describe, is_starting

__all__ = ["SampledText", "curve", "describe", "find_runs", "resume", "sampled_texts", "start", "stop"]

POINTS: Final = 400  # of a curve


def find_runs(root: Path) -> list[Path]:
    """Return the folders of trainings at or below `root`, newest first. Raises UsageError if `root` is no folder."""
    return find(root, lambda folder: (folder / RECIPE).is_file())


# --- starting and stopping -------------------------------------------------------------------------------------------


def start(recipe: Recipe, out: Path) -> int:
    """Begin or resume `recipe` in `out`, as a background process; returns its process id.

    Its output goes to `out/output.txt`. Raises UsageError if a process trains there, if the run is finished, or if
    another recipe's is there; NotReadyError if the training is known not to work (`training.preflight`).
    """
    out = Path(os.path.abspath(out.expanduser()))
    if is_running(out) or is_starting(read_json(out / PROCESS)):
        raise UsageError(f"a training is at work in {printable(out)} already; wait for it, or name another folder.")
    if (out / FINISHED).is_file():
        raise UsageError(f"the training in {printable(out)} is finished already; name another folder to train again.")
    require(recipe, out)
    claim(out, recipe)
    (out / STOPPED).unlink(missing_ok=True)  # of an earlier try
    pid = start_detached("training.run", [recipe.name, "--recipe", str(out / RECIPE), "--out", str(out)], out / OUTPUT)
    write_json(out / PROCESS, {**describe_process(pid), "begun": time.time()})
    return pid


def resume(run: Path) -> int:
    """Resume the training in `run` from its newest checkpoint; see `start`. Raises UsageError."""
    describe(run)  # reports what is wrong if there is none
    return start(load_recipe(str(run.expanduser() / RECIPE)), run)


def stop(run: Path) -> None:
    """Ask the training in `run` to finish its step, write a checkpoint and end; does not wait for it.

    Raises UsageError if none runs there, if it runs on another machine or as an unknown process, or if it was asked
    already.
    """
    describe(run)
    run = run.expanduser()
    process = read_json(run / PROCESS)
    if not (is_running(run) or is_starting(process)):
        raise UsageError(f"no training is at work in {printable(run)}.")
    request_stop(run / PROCESS, process, f"the training in {printable(run)}")


# --- watching --------------------------------------------------------------------------------------------------------


def curve(run: Path, *, points: int = POINTS) -> list[tuple[int, float]]:
    """Return (step, mean loss) from the log, from beginning to end, in at most `points` pieces."""
    try:
        facts = (run / LOG).stat()
    except OSError:
        return []
    values = _losses(run / LOG, facts.st_mtime_ns, facts.st_size)
    size = max(1, -(-len(values) // points))
    pieces = [values[first : first + size] for first in range(0, len(values), size)]
    return [(piece[-1][0], sum(value for _, value in piece) / len(piece)) for piece in pieces]


@lru_cache(maxsize=16)
def _losses(log: Path, *_: int) -> tuple[tuple[int, float], ...]:
    entries = ((entry["step"], entry.get("loss")) for entry in log_entries(log))
    return tuple((int(step), float(value)) for step, value in entries if isinstance(value, int | float))


@dataclass(slots=True)
class SampledText:
    """What the model generated for one picture as it learned."""

    number: int
    key: str = ""
    text: str = ""  # the target
    picture: Path | None = None
    says: dict[int, str] = field(default_factory=dict)  # step -> text


def sampled_texts(run: Path) -> list[SampledText]:
    """Return what `samples.jsonl` holds, by picture."""
    found: dict[int, SampledText] = {}
    for entry in log_entries(run / SAMPLES):
        number = int(entry.get("number", 0))
        one = found.setdefault(number, SampledText(number))
        one.key, one.text = str(entry.get("key", "")), str(entry.get("text", ""))
        one.says[int(entry["step"])] = str(entry.get("says", ""))
    for number, one in found.items():
        picture = run / "samples" / f"{number}.jpg"
        one.picture = picture if picture.is_file() else None
    return [one for _, one in sorted(found.items())]
