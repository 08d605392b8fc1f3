"""`inquisight train status RUN`: what a run's folder says, without changing it and without a model library."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from core.console.processes import is_running as runs_here
from core.errors import UsageError, printable
from core.text import duration
from training.checkpoints import (
    BROKEN,
    LOG,
    OUTPUT,
    PLOT,
    PROCESS,
    RECIPE,
    STATUS,
    STOPPED,
    is_running,
    log_lines,
    read_json,
    steps_saved,
)
from training.recipes import load_recipe

FINISHED = "finished.json"
_STARTING: Final = 600.0  # seconds in which a new process must have locked its folder
_SILENT: Final = 300  # seconds without a step after which that is reported


def describe(run: Path) -> dict[str, Any]:
    """Return the facts about a run, for people and for `--json`. Raises UsageError if there is none."""
    run = run.expanduser()
    if not (run / RECIPE).is_file():
        what = "holds no training" if run.is_dir() else "does not exist"
        raise UsageError(f"{printable(run)} {what}: name the folder given as --out.")
    recipe = load_recipe(str(run / RECIPE))
    now = time.time()
    status, stopped, finished, process = (read_json(run / name) for name in (STATUS, STOPPED, FINISHED, PROCESS))
    lines = list(log_lines(run))
    last = lines[-1] if lines else {}
    running, reason = is_running(run), None
    if running:
        # The process locks the folder at its start, and writes its status once the model is loaded.
        trains = status.get("state") == "running" and status.get("time", 0) >= process.get("begun", 0)
        state = "stopping" if process.get("asked") else "running" if trains else "starting"
    elif is_starting(process):
        state = "starting"
    else:
        error = _last_error(run / OUTPUT) if _modified(run / OUTPUT) >= _modified(run / LOG) else None
        failed = stopped or (error and not error.startswith("stopped after"))
        state = "finished" if finished else "failed" if failed else "interrupted"
        reason = None if finished else stopped.get("reason") or error
    recent = [line["loss"] for line in lines[-50:]]
    facts: dict[str, Any] = {
        "run": str(run),
        "state": state,
        "title": recipe.title,
        "stage": recipe.stage,
        "trains": recipe.label,
        "step": last.get("step", 0),
        "steps": status.get("steps") or recipe.steps,
        "loss": last.get("loss"),
        "loss_last_50": sum(recent) / len(recent) if recent else None,
        "samples": last.get("samples", 0),
        "seconds": last.get("seconds", 0.0),
        "checkpoints": steps_saved(run),
        "broken": _count(run / BROKEN),
        "plot": str(run / PLOT) if (run / PLOT).is_file() else None,
    }
    if running and "time" in status:
        facts |= {name: status.get(name) for name in ("rate", "share")}
        facts["left"] = max(status.get("left", 0) - (now - status["time"]), 0)
        facts["last_sign"] = now - max(status["time"], _modified(run / LOG))
    return {**facts, "reason": reason} if reason else facts


def is_starting(process: dict[str, Any]) -> bool:
    """Whether process.json describes a process that was started and has not locked the folder yet."""
    return time.time() - process.get("begun", 0) < _STARTING and runs_here(process)


def _last_error(output: Path) -> str | None:
    """Return why a background process ended: the line that a terminal would have shown."""
    try:
        lines = output.read_text("utf-8", errors="replace").splitlines()[-20:]
    except OSError:
        return None
    marked = [line.removeprefix("inquisight: ") for line in lines if line.startswith("inquisight: ")]
    return marked[-1] if marked else None


def in_words(facts: dict[str, Any]) -> list[str]:
    """Return the facts as lines for a person."""
    stage = facts["trains"] + (f", {facts['title']}" if facts["title"] else "")
    lines = [f"{printable(facts['run'])}: {facts['state']} ({printable(stage)})"]
    steps = f"/{facts['steps']}" if facts["steps"] else ""
    progress = f"step {facts['step']}{steps}, {facts['samples']} samples"
    if facts["loss"] is not None:
        progress += f", loss {facts['loss']:.4f} (mean of the last 50 steps {facts['loss_last_50']:.4f})"
    lines.append(progress)
    if facts.get("rate"):
        share = f", {facts['share']:.0%} of the peak" if facts.get("share") else ""
        lines.append(f"{facts['rate']:.3g} samples/s{share}, {duration(facts['left'])} left")
    if facts.get("last_sign", 0) > _SILENT:
        lines.append(f"no step for {duration(facts['last_sign'])}")
    saved = facts["checkpoints"]
    lines.append(f"checkpoints: {', '.join(map(str, saved))}" if saved else "no checkpoint yet")
    if facts["broken"]:
        lines.append(f"{facts['broken']} broken samples were skipped; see {BROKEN}")
    if facts["plot"]:
        lines.append(f"plot: {printable(facts['plot'])}")
    if facts.get("reason"):
        lines.append(f"why it stopped: {printable(facts['reason'], None)}")
    if facts["state"] in ("interrupted", "failed"):
        after = f"the same command resumes after step {saved[-1]}" if saved else "the same command begins again"
        lines.append(after)
    if facts["state"] == "finished":
        name = "blip2" if facts["stage"] == "blip2" else "trained"
        lines.append(f"use it: inquisight caption PICTURE --vision {name}:{printable(facts['run'])}")
    return lines


def _count(file: Path) -> int:
    try:
        with file.open("rb") as opened:
            return sum(1 for _ in opened)
    except OSError:
        return 0


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
