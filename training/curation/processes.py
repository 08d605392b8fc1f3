"""The steps of a curation as background processes: start, watch, stop, resume.

    start(CurationFolder("work"), "repair", ["--repairer", "rules"])  # `inquisight curate repair work --repairer rules`
    watch(Path("work"))                                               # which step runs there, and its progress
    stop(Path("work"))                                                # the step keeps what is done and ends
    resume(Path("work"), "repair")

Each process is the command of the terminal, so either resumes what the other one left. A step that was started in a
terminal of this machine can be watched and stopped, too. Nothing here imports a model library.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which Ctrl-C may interrupt
    from core.launch import guard

    guard()

import json
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from core.console.processes import describe_process, is_running, request_stop, start_detached
from core.datasets.left_out import LeftOut
from core.errors import InquisightError, UsageError, printable
from core.files.journal import read_json, write_json, write_whole
from training.curation.folder import OUTPUT, PROCESS, PROGRESS, CurationFolder, is_held
from training.curation.steps.generate import check_vision, known_pictures
from training.curation.steps.pictures import list_pictures

Runnable = Literal["generate", "repair", "export"]
State = Literal["idle", "starting", "running", "stopping", "busy"]
INSTRUCTIONS: Final = ".instructions.toml"  # instructions that were typed, not read from a file
STARTING: Final = 600.0  # seconds in which a new process must have locked its folder
_ONCE: Final = frozenset({"--again", "--failed"})  # options that a resumed step leaves out


@dataclass(frozen=True, slots=True)
class StepStatus:
    """Which step runs in a folder, and its progress; or how the last one ended."""

    state: State = "idle"
    step: str = ""
    done: int = 0
    total: int = 0
    aside: int = 0
    note: str = ""  # such as the cost so far
    left: float | None = None  # seconds
    error: str = ""  # why the last one failed, in a sentence

    @property
    def at_work(self) -> bool:
        """Whether another step has to wait."""
        return self.state != "idle"


# --- watching -------------------------------------------------------------------------------------------------------


def watch(path: Path) -> StepStatus:
    """Which step runs in the curation at `path`; `busy` if its process is unknown."""
    process, held = _process(path), is_held(path)
    step = str(process.get("step", ""))
    here = process.get("host") == platform.node()
    alive = "ended" not in process and is_running(process)
    stopping = "asked" in process
    if held and (alive or (process and not here and "ended" not in process)):
        state: State = "stopping" if stopping else "running"
    elif held:
        state = "busy"
    elif alive and time.time() - process.get("begun", 0) < STARTING:
        state = "stopping" if stopping else "starting"
    else:
        error = str(process.get("error", ""))
        if process and not {"ended", "asked"} & process.keys():
            error = "it was killed; everything it had done is kept"
        return StepStatus(step=step, error=error)
    progress = _read(path / PROGRESS)
    if progress.get("time", 0) < process.get("begun", 0):
        return StepStatus(state, step)
    done, total, aside = (int(progress.get(name, 0)) for name in ("done", "total", "rejected"))
    return StepStatus(state, step, done, total, aside, str(progress.get("note", "")), progress.get("left"))


def last_option(path: Path, step: Runnable, name: str) -> str | None:
    """The value of an option when the step was last started by `start`."""
    options = _options(_process(path), step)
    return options[options.index(name) + 1] if name in options[:-1] else None


def _process(path: Path) -> dict[str, Any]:
    return _read(path / PROCESS)


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path) or {}
    except InquisightError:  # damaged; it only says who is at work
        return {}


def _options(process: dict[str, Any], step: str) -> list[str]:
    found = (process.get("options") or {}).get(step)
    return [str(one) for one in found] if isinstance(found, list) else []


# --- starting and stopping ------------------------------------------------------------------------------------------


def begin(
    path: Path,
    pictures: str,
    vision: str,
    *,
    sample: int | None = None,
    anyway: bool = False,
    instructions: Sequence[str] = (),
    options: Sequence[str] = (),
    left_out: LeftOut | None = None,
) -> int:
    """Begin a curation of the pictures in the folder, table or list `pictures`; returns their number.

    `left_out` counts what is skipped. `instructions` are used in turn; `options` are further ones of
    `inquisight curate generate`. Raises UsageError, ImageError or RegistryError before anything is written.
    """
    source = Path(pictures.strip()).expanduser().absolute()
    if not pictures.strip():
        raise UsageError("name the folder of the pictures; it lies on the disk of this machine.")
    if not source.exists():
        raise UsageError(f"'{printable(source)}' is not on this machine; name a folder, a table or a list of pictures.")
    entries = list_pictures([str(source)], sample=sample, seed=42, left_out=left_out)
    check_vision(vision, anyway=anyway)
    path = Path(path).expanduser().absolute()
    if (path / "generate.json").exists() or (path / "generated.jsonl").exists():
        raise UsageError(f"there is a curation in '{printable(path)}' already; resume it, or name another folder.")
    folder = CurationFolder(path, create=True)
    options = ["--vision", vision, *(["--anyway"] if anyway else []), *options]
    if texts := [line.strip() for line in instructions if line.strip()]:
        write_whole(path / INSTRUCTIONS, f"instructions = {json.dumps(texts, ensure_ascii=False)}\n")
        options += ["--instructions", str(path / INSTRUCTIONS)]
    drawn = [] if sample is None else ["--sample", str(sample)]
    start(folder, "generate", options, pictures=[str(source), *drawn])
    return len(entries)


def start(folder: CurationFolder, step: Runnable, options: Sequence[str], *, pictures: Sequence[str] = ()) -> int:
    """Start a step with the options of its command, as a background process; its process id.

    Its output goes to a hidden file of the folder. Raises UsageError if another step runs there.
    """
    if step not in get_args(Runnable):
        raise UsageError(f"there is no step '{printable(step, 40)}': take {', '.join(get_args(Runnable))}.")
    running = watch(folder.path)
    if running.at_work:
        what = f"`{running.step}`" if running.step and running.state != "busy" else "somebody"
        raise UsageError(f"{what} is at work in '{printable(folder.path)}'; wait for it, or stop it.")
    path = Path(os.path.abspath(folder.path))
    before = _process(path)
    kept = {**(before.get("options") or {}), step: [one for one in options if one not in _ONCE]}
    sources = list(pictures) or before.get("pictures", [])
    pid = start_detached("training.curation.processes", [step, str(path), *pictures, *options], path / OUTPUT)
    if _process(path).get("pid") != pid:  # else it was quicker, and its own record says more
        about = {**describe_process(pid), "begun": time.time(), "step": step}
        write_json(path / PROCESS, {**about, "options": kept, "pictures": sources})
    return pid


def resume(path: Path, step: Runnable) -> int:
    """Resume a step with the options it was last started with; see `start`."""
    folder = CurationFolder(path)
    process = _process(folder.path)
    begun = step != "generate" or bool(known_pictures(folder))
    pictures = [] if begun else [str(one) for one in process.get("pictures", [])]
    return start(folder, step, _options(process, step), pictures=pictures)


def stop(path: Path) -> None:
    """Ask the running step to keep what is done and end, without waiting for it. Raises UsageError."""
    process, running = _process(path), watch(path)
    if not running.at_work:
        raise UsageError(f"no step is at work in '{printable(path)}'.")
    if running.state == "busy":
        raise UsageError(
            f"'{printable(path)}' is in use by a process that {PROCESS} does not name; stop it where it was started."
        )
    request_stop(Path(path) / PROCESS, process, f"`{running.step}`")


# --- the process ----------------------------------------------------------------------------------------------------


def _note(path: Path, error: str) -> None:
    """Record the end of this process, unless another one is at work there by now."""
    process = _process(path)
    if process.get("pid") in (None, os.getpid()):
        write_json(path / PROCESS, {**process, "ended": time.time(), **({"error": error} if error else {})})


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m training.curation.processes STEP DIR ...`: SIGTERM works as Ctrl-C; returns the exit code."""
    import typer

    from training.curation.commands import curate

    arguments = list(sys.argv[1:] if argv is None else argv)
    path = Path(arguments[1])

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)
    error, code = "", 0
    try:
        runner: Any = typer.main.get_command(curate)
        runner.main(args=arguments, prog_name="inquisight curate", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except InquisightError as problem:
        error, code = str(problem), problem.exit_code
    except Exception as problem:  # noqa: BLE001 - the record is the only place where it can be seen
        shown = problem.format_message() if hasattr(problem, "format_message") else ""
        error = shown or printable(" ".join(f"unexpected {type(problem).__name__}: {problem}".split()), 500)
        code = int(getattr(problem, "exit_code", 1))
    if error:
        print(f"inquisight: {error}", file=sys.stderr, flush=True)
    if path.is_dir():
        _note(path, error)
    return code


if __name__ == "__main__":
    from core.launch import launch

    launch(main)
