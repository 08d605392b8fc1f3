"""A run's folder: checkpoints that are whole or not there, a log that fits them, and one process at a time.

    RUN/recipe.toml                      everything that shapes the run
    RUN/log.jsonl                        one line per step
    RUN/checkpoints/step-00000500/       projection.safetensors, optimizer.safetensors, state.json
    RUN/samples.jsonl                    what the model said at each checkpoint; pictures in samples/
    RUN/process.json                     who trains there, for as long as it does
    RUN/projection.safetensors           what was trained
    RUN/finished.json                    written last: a run that has it is complete

A checkpoint grows as `.partial` and gets its name when every byte of it is on the disk, so that a kill at any moment
leaves the one before or the new one. Nothing here is a pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.console.processes import describe_process
from core.entries import one_line
from core.errors import InquisightError, UsageError, printable, why
from core.files.atomic import replacing, sync_folder

if TYPE_CHECKING:
    from torch import Tensor

    from training.recipes import Recipe

RECIPE: Final = "recipe.toml"
LOG: Final = "log.jsonl"
STATUS: Final = "status.json"
CHECKPOINTS: Final = "checkpoints"
LEARNED: Final = "projection.safetensors"
OPTIMIZER: Final = "optimizer.safetensors"
STATE: Final = "state.json"
STOPPED: Final = "stopped.json"
BROKEN: Final = "broken.jsonl"
PLOT: Final = "loss.png"
SAMPLES: Final = "samples.jsonl"
PROCESS: Final = "process.json"
OUTPUT: Final = "output.txt"
_VERSION: Final = 1
PATIENCE: Final = 0.5  # seconds in which a run's lock may be held by one who only looks


class RunError(InquisightError):
    """A training that cannot go on: its numbers, its folder or its memory. The message is one line."""

    exit_code = 8


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One that was read back."""

    step: int  # steps done
    learned: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: Mapping[str, Any]


def write_whole(path: Path, content: bytes) -> None:
    """All of `content` or the file as it was. Raises RunError."""
    with replacing(path, RunError, part=f"{path.name}.part") as file:
        file.write(content)


def write_json(path: Path, value: Any) -> None:
    """JSON, whole or not at all. Raises RunError."""
    write_whole(path, (json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """An object; empty where there is none or it is damaged."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def save(run: Path, step: int, learned: Mapping[str, Tensor], optimizer: Mapping[str, Tensor], state: Any) -> Path:
    """Write the checkpoint of `step`. Raises RunError, and leaves the earlier ones as they are."""
    from safetensors.torch import save as to_bytes

    final = _folder(run, step)
    growing = final.with_name(f"{final.name}.partial")
    try:
        shutil.rmtree(growing, ignore_errors=True)
        growing.mkdir(parents=True)
        files = {}
        for name, tensors in ((LEARNED, learned), (OPTIMIZER, optimizer)):
            content = to_bytes({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
            write_whole(growing / name, content)
            files[name] = hashlib.sha256(content).hexdigest()
        write_json(growing / STATE, {"version": _VERSION, "step": step, "files": files, **state})
        sync_folder(growing)
        if final.exists():  # of a process that was killed after this very step
            shutil.rmtree(final)
        growing.rename(final)
        sync_folder(final.parent)
    except OSError as error:
        raise RunError(
            f"the checkpoint {printable(final)} cannot be written: {why(error)}; the one "
            "before it is whole: make room and start the same command again."
        ) from error
    return final


def latest(run: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole; None where there is none. Raises RunError where all are damaged."""
    from safetensors.torch import load

    damaged = []
    for folder in sorted((run / CHECKPOINTS).glob("step-*[0-9]"), reverse=True):
        state = read_json(folder / STATE)
        try:
            contents = {name: (folder / name).read_bytes() for name in (LEARNED, OPTIMIZER)}
        except OSError:
            contents = {}
        files = state.get("files", {})
        if (
            state.get("version") == _VERSION
            and {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()} == files
        ):
            return Checkpoint(int(state["step"]), load(contents[LEARNED]), load(contents[OPTIMIZER]), state)
        damaged.append(folder)
    if damaged:
        raise RunError(
            f"no checkpoint in {printable(run / CHECKPOINTS)} is whole (the newest is {damaged[0].name}): copy the run "
            "again, or remove that folder to begin anew."
        )
    return None


def steps_saved(run: Path) -> list[int]:
    """Steps of all checkpoints, oldest first, by their names alone."""
    return sorted(int(folder.name[5:]) for folder in (run / CHECKPOINTS).glob("step-*[0-9]"))


def prune(run: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, and what a kill left half written."""
    for step in steps_saved(run)[:-keep]:
        shutil.rmtree(_folder(run, step), ignore_errors=True)
    for partial in (run / CHECKPOINTS).glob("*.partial"):
        shutil.rmtree(partial, ignore_errors=True)


def truncate_log(run: Path, step: int) -> None:
    """Leave the lines of steps 1 to `step`; those of steps that will be done again go."""
    kept = [line for line in log_lines(run) if line["step"] <= step]
    if kept or (run / LOG).exists():
        write_whole(run / LOG, "".join(json.dumps(line) + "\n" for line in kept).encode())


def log_lines(run: Path) -> Iterator[dict[str, Any]]:
    """What the log says, without a last line that a kill cut off."""
    return log_entries(run / LOG)


def log_entries(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file that grows by one JSON object with a "step" each."""
    with suppress(FileNotFoundError), path.open(encoding="utf-8") as file:
        for line in file:
            with suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and "step" in entry and line.endswith("\n"):
                    yield entry


def check_claim(run: Path, recipe: Recipe) -> None:
    """Raise UsageError where `claim` would, or could not write; nothing is made."""
    place = next((one for one in (run, *run.parents) if one.exists()), run)
    if not place.is_dir():
        raise UsageError(f"--out {printable(run)} cannot be used: '{printable(place)}' is no folder.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"--out {printable(run)} cannot be used: '{printable(place)}' cannot be written to.")
    if run.is_dir():
        _check_theirs(run, recipe)


def claim(run: Path, recipe: Recipe) -> None:
    """Make the folder `recipe`'s, or see that it already is. Raises UsageError where another run lives there."""
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {printable(run)} cannot be used: {(error.strerror or 'unknown').lower()}.") from None
    _check_theirs(run, recipe)
    write_whole(run / RECIPE, recipe.to_toml().encode())


def _check_theirs(run: Path, recipe: Recipe) -> None:
    from training.recipes import differences, load_recipe

    try:
        strangers = [path.name for path in run.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise UsageError(f"--out {printable(run)} cannot be used: {(error.strerror or 'unknown').lower()}.") from None
    file = run / RECIPE
    if not file.is_file():
        if strangers:
            raise UsageError(
                f"--out {printable(run)} holds other things ({printable(strangers[0], 60)}): name a new folder."
            )
        return
    begun = bool(steps_saved(run)) or (run / LEARNED).exists()  # before that nothing would be lost
    if begun and (changed := differences(load_recipe(str(file)), recipe)):
        raise UsageError(
            f"--out {printable(run)} holds a run of another recipe ({'; '.join(changed[:3])}): name another folder, or "
            "go on with the same recipe."
        )


@contextmanager
def only_one(run: Path) -> Iterator[None]:
    """For as long as this lasts no other process trains in `run`. Raises UsageError. A kill frees it.

    An error that passes through is left in `stopped.json` for those who were not watching; an interruption is none.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(run / ".lock")
    try:
        lock.acquire(timeout=PATIENCE)  # somebody may just be looking whether it is free
    except Timeout:
        raise UsageError(f"another process trains in {printable(run)}: wait for it, or name another --out.") from None
    try:
        write_json(run / PROCESS, {**describe_process(), "begun": time.time()})
        yield
    except Exception as error:
        interrupted = getattr(error, "exit_code", 0) > 128  # by a signal; what was done is in a checkpoint
        if not interrupted and not (run / STOPPED).is_file():
            with suppress(RunError):
                reason = str(error) if isinstance(error, InquisightError) else one_line(error)
                write_json(run / STOPPED, {"reason": reason})
        raise
    finally:
        with suppress(OSError):
            (run / PROCESS).unlink(missing_ok=True)
        lock.release()


def is_running(run: Path) -> bool:
    """Whether a process of this machine trains there now."""
    from filelock import FileLock, Timeout

    if not (run / ".lock").exists():
        return False
    lock = FileLock(run / ".lock")
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def _folder(run: Path, step: int) -> Path:
    return run / CHECKPOINTS / f"step-{step:08d}"
