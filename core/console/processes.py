"""Identify a process in a file and find it again, never another process that later got the same id.

    write_json(file, {**describe_process(), ...})   # by the process itself, or by its parent
    if is_running(read_json(file)): ...
    request_stop(file, read_json(file), "the run")  # SIGTERM, once

The system reuses process ids, so start time and command have to match as well.
"""

from __future__ import annotations

import hashlib
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.errors import UsageError, printable
from core.files.journal import write_json

if TYPE_CHECKING:
    import psutil

ROOT: Final = Path(__file__).resolve().parents[2]
ACCURACY: Final = 1.0  # seconds; clocks are adjusted now and then
ATTEMPTS: Final = 200  # at reading the command line of a starting process
PAUSE: Final = 0.005  # seconds between attempts


def describe_process(pid: int | None = None) -> dict[str, Any]:
    """What tells the process `pid`, by default this one, from every other: `is_running` reads it."""
    import psutil

    pid = os.getpid() if pid is None else pid
    found: dict[str, Any] = {"pid": pid, "host": platform.node()}
    try:
        process = psutil.Process(pid)
        return {**found, "started": _started(process), "command": _command(process)}
    except psutil.Error:  # it has ended already: nothing to be found again
        return found


def is_running(record: Mapping[str, Any]) -> bool:
    """Whether the very process that `record` describes runs on this machine, as far as this user may know."""
    return _find(record) is not None


def ask_to_end(record: Mapping[str, Any]) -> bool:
    """Send SIGTERM to the process that `record` describes; False if it is gone or not ours."""
    import psutil

    process = _find(record)
    try:
        if process is not None:
            process.send_signal(signal.SIGTERM)  # checks again that the id was not reused
            return True
    except psutil.Error:
        pass
    return False


def request_stop(file: Path, record: Mapping[str, Any], name: str) -> None:
    """Ask the process that `record` describes to end, once, and note that in `file`. Raises UsageError."""
    if (host := record.get("host", "another machine")) != platform.node():
        raise UsageError(f"{name} runs on {printable(host)}; stop it there.")
    if not is_running(record):
        raise UsageError(f"{name} is not the process that {file.name} names; stop it where it was started.")
    if record.get("asked"):
        raise UsageError(f"{name} is stopping already; it finishes what it has begun first.")
    write_json(file, {**record, "asked": time.time()})  # a second signal would end it at once
    if not ask_to_end(record):
        raise UsageError(f"{name} has just ended, or belongs to another user.")


def start_detached(module: str, arguments: Sequence[str], output: Path) -> int:
    """Start `python -m module` in a new session, writing to `output`; return its process id.

    It outlives this process, and Ctrl-C here does not reach it.
    """
    paths = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # reaps it when it ends
    return process.pid


def _find(record: Mapping[str, Any]) -> psutil.Process | None:
    import psutil

    pid, started, command = (record.get(name) for name in ("pid", "started", "command"))
    if os.name == "nt" or record.get("host") != platform.node():  # Windows has no signal that asks
        return None
    if type(pid) is not int or pid <= 0 or type(started) is not float or not command:
        return None
    try:
        process = psutil.Process(pid)
        same = abs(_started(process) - started) < ACCURACY and _command(process) == command
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, OverflowError):
        return None


def _started(process: psutil.Process) -> float:
    """Seconds since boot, which do not change when the clock is set."""
    import psutil

    return float(process.create_time() - psutil.boot_time())


def _command(process: psutil.Process) -> str:
    """A digest of the command line, which may contain private values."""
    import psutil

    words = process.cmdline()
    for _ in range(ATTEMPTS):
        if words or process.status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(PAUSE)  # a starting process has none yet
        words = process.cmdline()
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:16]
