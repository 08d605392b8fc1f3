"""A run's folder: checkpoints that are complete or absent, a log that matches them, and one process at a time.

    RUN/recipe.toml                      everything that shapes the run
    RUN/log.jsonl                        one line per step
    RUN/checkpoints/step-00000500/       projection.safetensors, optimizer.safetensors, state.json
    RUN/samples.jsonl                    what the model generated at each checkpoint; pictures in samples/
    RUN/process.json                     the process that trains there, while it does
    RUN/projection.safetensors           what was trained
    RUN/finished.json                    written last: a run that has it is complete

A checkpoint is written as `.partial` and renamed when every byte of it is on the disk, so that a kill at any moment
leaves the one before or the new one. No file is a pickle.
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

from filelock import FileLock, Timeout

from core.console.processes import describe_process
from core.entries import one_line
from core.errors import InquisightError, StoreError, UsageError, printable, why
from core.files import journal
from core.files.atomic import sync_folder
from core.files.journal import clear_torn, write_json, write_lines, write_whole
from core.files.locking import only_process

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
PATIENCE: Final = 0.5  # seconds in which another process may hold the lock only to see whether it is free


class RunError(InquisightError):
    """A training that cannot continue: its numbers, its folder or its memory. The message is one line."""

    exit_code = 8


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was read."""

    step: int  # steps done
    learned: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: Mapping[str, Any]


def read_json(path: Path) -> dict[str, Any]:
    """Return an object; an empty one if the file is missing or damaged."""
    with suppress(StoreError):
        return journal.read_json(path) or {}
    return {}


def as_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors as the content of a safetensors file."""
    from safetensors.torch import save as to_bytes

    return to_bytes({name: value.detach().cpu().contiguous() for name, value in tensors.items()})


def save(run: Path, step: int, learned: Mapping[str, Tensor], optimizer: Mapping[str, Tensor], state: Any) -> Path:
    """Write the checkpoint of `step`. Raises RunError, and leaves the earlier ones as they are."""
    final = _folder(run, step)
    growing = final.with_name(f"{final.name}.partial")
    try:
        shutil.rmtree(growing, ignore_errors=True)
        growing.mkdir(parents=True)
        files = {}
        for name, tensors in ((LEARNED, learned), (OPTIMIZER, optimizer)):
            content = as_bytes(tensors)
            write_whole(growing / name, content)
            files[name] = hashlib.sha256(content).hexdigest()
        facts = {"version": _VERSION, "step": step, "files": files, **state}
        write_whole(growing / STATE, json.dumps(facts, indent=1).encode())
        sync_folder(growing)
        if final.exists():  # of a process that was killed after this very step
            shutil.rmtree(final)
        growing.rename(final)
        sync_folder(final.parent)
    except (OSError, StoreError) as error:
        reason = why(error) if isinstance(error, OSError) else str(error)
        raise RunError(
            f"the checkpoint {printable(final)} cannot be written: {reason}; the one before it is complete: free disk "
            "space and start the same command again."
        ) from error
    return final


def latest(run: Path) -> Checkpoint | None:
    """Return the newest complete checkpoint; None if there is none. Raises RunError if all are damaged."""
    from safetensors.torch import load

    damaged = []
    for folder in sorted((run / CHECKPOINTS).glob("step-*[0-9]"), reverse=True):
        state = read_json(folder / STATE)
        try:
            contents = {name: (folder / name).read_bytes() for name in (LEARNED, OPTIMIZER)}
        except OSError:
            contents = {}
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        if state.get("version") == _VERSION and digests == state.get("files", {}):
            return Checkpoint(int(state["step"]), load(contents[LEARNED]), load(contents[OPTIMIZER]), state)
        damaged.append(folder)
    if damaged:
        raise RunError(
            f"no checkpoint in {printable(run / CHECKPOINTS)} is complete (the newest is {damaged[0].name}): copy the "
            "run again, or remove that folder to begin anew."
        )
    return None


def steps_saved(run: Path) -> list[int]:
    """Return the steps of all checkpoints, oldest first, by their names."""
    return sorted(int(folder.name[5:]) for folder in (run / CHECKPOINTS).glob("step-*[0-9]"))


def prune(run: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, and incomplete ones that a kill left."""
    for step in steps_saved(run)[:-keep]:
        shutil.rmtree(_folder(run, step), ignore_errors=True)
    for partial in (run / CHECKPOINTS).glob("*.partial"):
        shutil.rmtree(partial, ignore_errors=True)


def truncate(file: Path, step: int) -> None:
    """Keep the lines of steps 1 to `step` of a file such as the log; the later steps will be done again."""
    if file.exists():
        write_lines(file, [line for line in log_entries(file) if line["step"] <= step])


def log_lines(run: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of the log, without a last line that a kill truncated."""
    return log_entries(run / LOG)


def log_entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of an append-only file, one JSON object with a "step" per line."""
    with suppress(FileNotFoundError), path.open(encoding="utf-8") as file:
        for line in file:
            with suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and "step" in entry and line.endswith("\n"):
                    yield entry


def check_claim(run: Path, recipe: Recipe) -> None:
    """Raise UsageError if `claim` would, or could not write; writes nothing."""
    place = next((one for one in (run, *run.parents) if one.exists()), run)
    if not place.is_dir():
        raise UsageError(f"--out {printable(run)} cannot be used: '{printable(place)}' is no folder.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"--out {printable(run)} cannot be used: '{printable(place)}' cannot be written to.")
    if run.is_dir():
        _check_own(run, recipe)


def claim(run: Path, recipe: Recipe) -> None:
    """Make the folder `recipe`'s, or check that it already is. Raises UsageError if it holds another run."""
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {printable(run)} cannot be used: {why(error)}.") from None
    _check_own(run, recipe)
    write_whole(run / RECIPE, recipe.to_toml())


def _check_own(run: Path, recipe: Recipe) -> None:
    from training.recipes import differences, load_recipe

    try:
        others = [path.name for path in run.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise UsageError(f"--out {printable(run)} cannot be used: {why(error)}.") from None
    if not (run / RECIPE).is_file():
        if others:
            raise UsageError(
                f"--out {printable(run)} holds other things ({printable(others[0], 60)}): name a new folder."
            )
        return
    begun = bool(steps_saved(run)) or (run / LEARNED).exists()  # before that nothing would be lost
    if begun and (changed := differences(load_recipe(str(run / RECIPE)), recipe)):
        raise UsageError(
            f"--out {printable(run)} holds a run of another recipe ({'; '.join(changed[:3])}): name another folder, or "
            "use the same recipe."
        )


@contextmanager
def only_one(run: Path) -> Iterator[None]:
    """Lock `run` against other processes that train. Raises UsageError. A kill frees it.

    An error that passes through is recorded in `stopped.json`; an interruption is not.
    """
    with only_process(
        run / ".lock",
        UsageError(f"another process trains in {printable(run)}: wait for it, or name another --out."),
        lambda reason: UsageError(f"--out {printable(run)} cannot be written: {reason}."),
        wait=PATIENCE,
    ):
        try:
            clear_torn(run)
            write_json(run / PROCESS, {**describe_process(), "begun": time.time()})
            yield
        except Exception as error:
            interrupted = getattr(error, "exit_code", 0) > 128  # by a signal; a checkpoint was written
            if not interrupted and not (run / STOPPED).is_file():
                with suppress(StoreError):
                    reason = str(error) if isinstance(error, InquisightError) else one_line(error)
                    write_json(run / STOPPED, {"reason": reason})
            raise
        finally:
            with suppress(OSError):
                (run / PROCESS).unlink(missing_ok=True)


def is_running(run: Path) -> bool:
    """Whether a process of this machine trains there now."""
    if not (run / ".lock").exists():
        return False
    try:
        with FileLock(run / ".lock").acquire(blocking=False):
            return False
    except (Timeout, OSError):
        return True


def _folder(run: Path, step: int) -> Path:
    return run / CHECKPOINTS / f"step-{step:08d}"
