"""Trainings on this disk: found, watched, started, stopped and resumed by somebody who does not wait for them.

    recipe = ready_recipe("own-data", {"model": "minigpt4-7b", "data": "my-pictures"})
    start(recipe, Path("mine"))                    # a process of its own; it outlives the one that started it
    describe(Path("mine")), curve(Path("mine")), said(Path("mine"))
    stop(Path("mine"))                             # it ends its step, writes a checkpoint and leaves
    resume(Path("mine"))                           # goes on from there

Nothing here imports a model library.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from core.console.processes import ask_to_end, describe_process, start_detached
from core.console.processes import is_running as runs_here
from core.errors import UsageError, printable
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
    write_json,
)
from training.preflight import require
from training.recipes import Recipe, load_recipe
from training.runs.discovery import find
from training.runs.status import FINISHED, describe, is_starting

__all__ = ["SampledText", "curve", "describe", "find_runs", "resume", "said", "start", "stop"]

POINTS: Final = 400  # of a curve that is drawn


def find_runs(root: Path) -> list[Path]:
    """Folders of trainings at or below `root`, the newest first. Raises UsageError where `root` is no folder."""
    return find(root, lambda folder: (folder / RECIPE).is_file())


# --- starting and stopping -------------------------------------------------------------------------------------------


def start(recipe: Recipe, out: Path) -> int:
    """Begin or go on with `recipe` in `out`, in a process of its own; its number.

    It outlives this one and writes what it has to say to `out/output.txt`. Raises UsageError where a process trains
    there, where the run is finished, or where another recipe's lives there; NotReadyError where something is known to
    keep the training from working (`training.preflight`).
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
    """Go on with the training in `run` from its newest checkpoint; see `start`. Raises UsageError."""
    describe(run)  # says what is wrong where there is none
    return start(load_recipe(str(run.expanduser() / RECIPE)), run)


def stop(run: Path) -> None:
    """Ask the training in `run` to end its step, write a checkpoint and leave; it is not waited for.

    Raises UsageError where none is at work there, where another machine or a process that is not known does the work,
    or where it was asked already.
    """
    describe(run)
    run = run.expanduser()
    process = read_json(run / PROCESS)
    if not (is_running(run) or is_starting(process)):
        raise UsageError(f"no training is at work in {printable(run)}.")
    host = process.get("host", "another machine")
    if host != platform.node():
        raise UsageError(f"the training in {printable(run)} runs on {printable(host)}; stop it there.")
    if not runs_here(process):
        raise UsageError(
            f"the training in {printable(run)} is not the process that {PROCESS} names; stop it where it was started."
        )
    if process.get("asked"):
        raise UsageError(f"the training in {printable(run)} is stopping already: it ends its step first.")
    write_json(run / PROCESS, {**process, "asked": time.time()})  # a second signal would end it before its checkpoint
    if not ask_to_end(process):
        raise UsageError(f"the training in {printable(run)} has just ended, or belongs to somebody else.")


# --- watching --------------------------------------------------------------------------------------------------------


def curve(run: Path, *, name: str = "loss", points: int = POINTS) -> list[tuple[int, float]]:
    """(step, mean) of a number in the log, from its beginning to its end, in at most `points` pieces."""
    values = _values(run / LOG, name, *_stamp(run / LOG))
    size = max(1, -(-len(values) // points))
    pieces = [values[first : first + size] for first in range(0, len(values), size)]
    return [(piece[-1][0], sum(value for _, value in piece) / len(piece)) for piece in pieces]


@lru_cache(maxsize=16)
def _values(log: Path, name: str, *_: int) -> tuple[tuple[int, float], ...]:
    entries = ((entry["step"], entry.get(name)) for entry in log_entries(log))
    return tuple((int(step), float(value)) for step, value in entries if isinstance(value, int | float))


def _stamp(file: Path) -> tuple[int, int]:
    """Another one when the file has changed."""
    try:
        facts = file.stat()
    except OSError:
        return (0, 0)
    return (facts.st_mtime_ns, facts.st_size)


@dataclass(frozen=True, slots=True)
class SampledText:
    """What the model said of one picture as it learned."""

    number: int
    key: str
    text: str  # what is to be learned
    picture: Path | None
    says: dict[int, str]  # step -> words


def said(run: Path) -> list[SampledText]:
    """What `samples.jsonl` says, by picture; nothing where the recipe wanted none."""
    found: dict[int, dict[str, Any]] = {}
    for entry in log_entries(run / SAMPLES):
        one = found.setdefault(int(entry.get("number", 0)), {"key": "", "text": "", "says": {}})
        one["key"], one["text"] = str(entry.get("key", "")), str(entry.get("text", ""))
        one["says"][int(entry["step"])] = str(entry.get("says", ""))
    told = []
    for number, one in sorted(found.items()):
        picture = run / "samples" / f"{number}.jpg"
        told.append(SampledText(number, one["key"], one["text"], picture if picture.is_file() else None, one["says"]))
    return told
