"""The steps of a curation as processes of their own: started, watched, stopped, gone on with by who does not wait.

    start(CurationFolder("work"), "repair", ["--repairer", "rules"])  # `inquisight curate repair work --repairer rules`
    watch(Path("work"))                                       # who is at work there, and how far
    stop(Path("work"))                                        # it keeps what is done and leaves
    resume(Path("work"), "repair")

Each is the very command of the terminal, so either goes on where the other one stopped. A step that was started in a
terminal of this machine is watched and stopped just the same. Nothing here imports a model library.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which Ctrl-C may break off
    from core.launch import guard

    guard()

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from core.console.processes import ask_to_end, describe_process, is_running
from core.datasets.left_out import LeftOut
from core.errors import InquisightError, UsageError, printable
from training.curation.folder import OUTPUT, PROCESS, PROGRESS, CurationFolder, is_held
from training.curation.journal import read_json, write_json, write_whole
from training.curation.steps.generate import known_pictures
from training.curation.steps.pictures import list_pictures

Runnable = Literal["generate", "repair", "export"]
State = Literal["idle", "starting", "running", "stopping", "busy"]
ROOT: Final = Path(__file__).resolve().parents[2]
INSTRUCTIONS: Final = ".instructions.toml"  # those that were typed where there is no file
STARTING: Final = 600.0  # seconds in which a process that was started must have taken its folder
# Options that were for one time: going on leaves them out.
_ONCE: Final = frozenset({"--again", "--failed"})


@dataclass(frozen=True, slots=True)
class Doing:
    """Who is at work in a folder, and how far; of the last one where nobody is."""

    state: State = "idle"
    step: str = ""
    done: int = 0
    total: int = 0
    aside: int = 0
    note: str = ""  # what else is worth a word, such as the cost so far
    left: float | None = None  # seconds
    error: str = ""  # why the last one ended before its end, in a sentence

    @property
    def at_work(self) -> bool:
        """Whether another step has to wait."""
        return self.state != "idle"


# --- watching -------------------------------------------------------------------------------------------------------


def watch(path: Path) -> Doing:
    """Who is at work in the curation at `path`; `busy` is one who told nothing, for the moment."""
    process, held = _process(path), is_held(path)
    step = str(process.get("step", ""))
    here = process.get("host") == platform.node()
    alive = "ended" not in process and is_running(process)
    if held and (alive or (process and not here and "ended" not in process)):
        state: State = "stopping" if process.get("asked") else "running"
    elif held:
        state = "busy"
    elif alive and time.time() - process.get("begun", 0) < STARTING:
        state = "stopping" if process.get("asked") else "starting"
    else:
        error = str(process.get("error", ""))
        if process and not {"ended", "asked"} & process.keys():
            error = "it was ended from outside; everything it had done is kept"
        return Doing(step=step, error=error)
    told = _read(path / PROGRESS)
    if told.get("time", 0) < process.get("begun", 0):
        told = {}
    left = told.get("left")
    return Doing(
        state,
        step,
        int(told.get("done", 0)),
        int(told.get("total", 0)),
        int(told.get("rejected", 0)),
        str(told.get("note", "")),
        None if left is None else float(left),
    )


def last_option(path: Path, step: Runnable, name: str) -> str | None:
    """What the option was when the step was last started from here."""
    options = _options(_process(path), step)
    return options[options.index(name) + 1] if name in options[:-1] else None


def _process(path: Path) -> dict[str, Any]:
    return _read(path / PROCESS)


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path) or {}
    except InquisightError:  # torn by a kill, and only about who was at work
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
    """Begin a curation of the pictures in the folder, table or list `pictures`; how many they are.

    `left_out` counts what is not among them. `instructions` are texts that take turns, `options` the others of
    `inquisight curate generate`. Raises UsageError, ImageError or RegistryError, one sentence, before anything is
    written.
    """
    from training.curation.running import check_vision

    source = Path(pictures.strip()).expanduser().absolute()
    if not pictures.strip():
        raise UsageError("name the folder of the pictures; it lies on the disk of this machine.")
    if not source.exists():
        raise UsageError(f"'{printable(source)}' is not on this machine; name a folder, a table or a list of pictures.")
    entries = list_pictures([str(source)], sample=sample, seed=42, left_out=left_out)
    check_vision(vision, anyway=anyway)
    path = Path(path).expanduser().absolute()
    if (path / "generate.json").exists() or (path / "generated.jsonl").exists():
        raise UsageError(f"there is a curation in '{printable(path)}' already; go on with it, or name another folder.")
    folder = CurationFolder(path, create=True)
    options = ["--vision", vision, *(["--anyway"] if anyway else []), *options]
    if said := [line.strip() for line in instructions if line.strip()]:
        write_whole(path / INSTRUCTIONS, f"instructions = {json.dumps(said, ensure_ascii=False)}\n")
        options += ["--instructions", str(path / INSTRUCTIONS)]
    taken = [] if sample is None else ["--sample", str(sample)]
    start(folder, "generate", options, pictures=[str(source), *taken])
    return len(entries)


def start(folder: CurationFolder, step: Runnable, options: Sequence[str], *, pictures: Sequence[str] = ()) -> int:
    """Start a step with the options of its command, in a process of its own; its number.

    It outlives this one, and writes what it has to say to a hidden file of the folder. Raises UsageError where another
    one is at work there.
    """
    if step not in get_args(Runnable):
        raise UsageError(f"there is no step '{printable(step, 40)}': take {', '.join(get_args(Runnable))}.")
    doing = watch(folder.path)
    if doing.at_work:
        what = f"`{doing.step}`" if doing.step and doing.state != "busy" else "somebody"
        raise UsageError(f"{what} is at work in '{printable(folder.path)}'; wait for it, or stop it.")
    path = Path(os.path.abspath(folder.path))
    command = [sys.executable, "-m", "training.curation.processes", step, str(path), *pictures, *options]
    before = _process(path)
    kept = {**(before.get("options") or {}), step: [one for one in options if one not in _ONCE]}
    with (path / OUTPUT).open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))},
            start_new_session=True,  # a Ctrl-C that ends the one who started it is not for the step
        )
    sources = list(pictures) or before.get("pictures", [])
    about = {**describe_process(process.pid), "begun": time.time(), "step": step}
    if _process(path).get("pid") != process.pid:  # else it was quicker, and says more
        write_json(path / PROCESS, {**about, "options": kept, "pictures": sources})
    threading.Thread(target=process.wait, daemon=True).start()  # so that the system need not keep its end in mind
    return process.pid


def resume(path: Path, step: Runnable) -> int:
    """Go on with a step as it was last started, or, from a terminal, as its settings say; see `start`."""
    folder = CurationFolder(path)
    process = _process(folder.path)
    begun = step != "generate" or bool(known_pictures(folder))
    pictures = [] if begun else [str(one) for one in process.get("pictures", [])]
    return start(folder, step, _options(process, step), pictures=pictures)


def stop(path: Path) -> None:
    """Ask the step that is at work to keep what is done and leave; it is not waited for. Raises UsageError."""
    process, doing = _process(path), watch(path)
    if not doing.at_work:
        raise UsageError(f"no step is at work in '{printable(path)}'.")
    if doing.state == "busy":
        raise UsageError(
            f"'{printable(path)}' is in use by a process that {PROCESS} does not name; stop it where it was started."
        )
    if process.get("host") != platform.node():
        raise UsageError(f"`{doing.step}` runs on {printable(process.get('host'))}; stop it there.")
    if doing.state == "stopping":
        raise UsageError("it is stopping already: it keeps what is under way first.")
    write_json(Path(path) / PROCESS, {**process, "asked": time.time()})  # a second signal would leave at once
    if not ask_to_end(process):
        raise UsageError(f"`{doing.step}` has just ended, or belongs to somebody else.")


# --- the process ----------------------------------------------------------------------------------------------------


def _note(path: Path, error: str) -> None:
    """Leave word of the end, unless somebody else is at work there by now."""
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
    except Exception as problem:  # noqa: BLE001 - nobody stands above it who could tell
        said = problem.format_message() if hasattr(problem, "format_message") else ""
        error = said or printable(" ".join(f"unexpected {type(problem).__name__}: {problem}".split()), 500)
        code = int(getattr(problem, "exit_code", 1))
    if error:
        print(f"inquisight: {error}", file=sys.stderr, flush=True)
    if path.is_dir():
        _note(path, error)
    return code


if __name__ == "__main__":
    from core.launch import launch

    launch(main)
