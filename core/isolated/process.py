"""Run one worker process: frames in both directions, time limits, a log. Used by `core.isolated.backend`."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import re
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from core.errors import BackendError, printable, why
from core.isolated import worker
from core.isolated.environment import foreign_environment
from core.isolated.worker import ProtocolError, read_frame, write_frame

LOGS_KEPT = 20
GRACE = worker.GRACE + 2  # seconds that the process gets to exit by itself
TAIL_BYTES = 16_384
_log_numbers = itertools.count(1)


class WorkerDiedError(Exception):
    """The process ended during a request; the text says how."""


class WorkerLateError(Exception):
    """The process did not reply in time and was killed."""


class WorkerProcess:
    """A process and the two pipes to it. Not thread-safe: one request at a time."""

    def __init__(self, command: Sequence[str], log: Path, variables: Mapping[str, str] | None = None) -> None:
        """Start `command` with its output in `log`. Raises OSError."""
        self.log = log
        with log.open("ab") as opened:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=opened,
                env=foreign_environment(os.environ, variables),
                start_new_session=os.name == "posix",  # Ctrl-C in the terminal must not reach it
            )
        self._numbers = itertools.count(1)
        self._inbox: queue.Queue[dict[str, Any] | ProtocolError | None] = queue.Queue()
        # The thread does not hold `self`, so that garbage collection of `self` ends the process.
        threading.Thread(target=_receive, args=(self._process.stdout, self._inbox), daemon=True).start()
        self._end = weakref.finalize(self, _end, self._process, os.getpid())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def request(self, operation: str, timeout: float, payload: Sequence[bytes] = (), **fields: Any) -> dict[str, Any]:
        """Send a request and wait for its reply. Raises WorkerDiedError, WorkerLateError, ProtocolError."""
        number = self._send(operation, payload, fields)
        deadline = time.monotonic() + timeout
        while True:
            try:
                reply = self._inbox.get(timeout=max(deadline - time.monotonic(), 0.0))
            except queue.Empty:
                self.kill()
                raise WorkerLateError(operation) from None
            if reply is None:
                raise WorkerDiedError(self._how_it_ended())
            if isinstance(reply, ProtocolError):
                self.kill()
                raise reply
            if reply.get("id") == number:  # a reply to an interrupted request (Ctrl-C) may come first
                return reply

    def _send(self, operation: str, payload: Sequence[bytes], fields: Mapping[str, Any]) -> int:
        """Write a request and return its number; a broken pipe is detected by the receiving thread."""
        number = next(self._numbers)
        with contextlib.suppress(OSError, ValueError):
            write_frame(cast(BinaryIO, self._process.stdin), {"id": number, "op": operation, **fields}, payload)
        return number

    def close(self) -> None:
        """Ask the process to exit, and make sure that it does."""
        if self._end.alive:
            self._send("close", (), {})
            self._end()

    def kill(self) -> None:
        """Kill the process and its children."""
        _kill(self._process)

    def tail(self) -> str:
        """The last three lines of the log, as one line."""
        try:
            with self.log.open("rb") as opened:
                opened.seek(max(self.log.stat().st_size - TAIL_BYTES, 0))
                text = opened.read().decode("utf-8", "replace")
        except OSError:
            return ""
        kept = [printable(line.strip(), limit=160) for line in text.splitlines() if line.strip()]
        return " | ".join(kept[-3:])

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
            return "it closed its pipe"
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name
        return f"ended by {name}" + (", perhaps for lack of memory" if name == "SIGKILL" else "")


def new_log(folder: Path, name: str) -> Path:
    """Create a log file in `folder` and delete the oldest ones of the same name. Raises BackendError."""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:40] or "worker"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        earlier = sorted(folder.glob(f"{stem}-*.log"), key=lambda file: file.stat().st_mtime)
        for file in earlier[: max(len(earlier) - LOGS_KEPT + 1, 0)]:
            file.unlink(missing_ok=True)
        log = folder / f"{stem}-{os.getpid()}-{next(_log_numbers)}.log"
        log.write_bytes(b"")
    except OSError as error:
        raise BackendError(
            f"no log can be written in '{printable(folder)}': {why(error)}; set INQUISIGHT_HOME to a folder that can."
        ) from None
    return log


def _receive(pipe: BinaryIO, inbox: queue.Queue[dict[str, Any] | ProtocolError | None]) -> None:
    """Read frames into `inbox`; None at the end of the pipe."""
    try:
        while (frame := read_frame(pipe)) is not None:
            inbox.put(frame[0])
    except ProtocolError as error:
        inbox.put(error)
    except (OSError, ValueError):
        pass
    inbox.put(None)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(OSError):
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    """Close the worker's pipe, and kill the worker if it does not exit. Runs at close, collection or exit."""
    if os.getpid() != owner:  # a forked child does not own the worker
        return
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    _kill(process)
