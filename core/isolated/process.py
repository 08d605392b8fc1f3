"""One run of a worker process: frames both ways, time limits, a log. Started by `core.isolated.backend`."""

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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import BackendError, printable
from core.isolated.environment import foreign_environment
from core.isolated.worker import GRACE as EYE_GRACE
from core.isolated.worker import ProtocolError, read_frame, write_frame

LOGS_KEPT = 20
GRACE = EYE_GRACE + 2  # seconds the process gets to leave by itself
TAIL_BYTES = 16_384
_numbers = itertools.count(1)


class WorkerDiedError(Exception):
    """The process ended while something was asked of it; the text says how."""


class WorkerLateError(Exception):
    """The process did not reply in time, and was ended."""


class WorkerProcess:
    """A process and the two pipes to it. Not thread-safe: one request at a time."""

    def __init__(self, command: Sequence[str], log: Path, variables: Mapping[str, str] | None = None) -> None:
        """Start `command`; what it prints goes to `log`. Raises OSError."""
        self.log = log
        with log.open("ab") as opened:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=opened,
                env=foreign_environment(os.environ, variables),
                start_new_session=os.name == "posix",  # Ctrl-C in the terminal is for us alone; we end it
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._numbers = itertools.count(1)
        self._outbox: queue.Queue[tuple[dict[str, Any], tuple[bytes, ...]] | None] = queue.Queue()
        self._inbox: queue.Queue[dict[str, Any] | ProtocolError | None] = queue.Queue()
        # The threads hold the pipes and the queues, never `self`, which can so be collected and take the process along.
        threading.Thread(target=_send, args=(self._process.stdin, self._outbox), daemon=True).start()
        threading.Thread(target=_receive, args=(self._process.stdout, self._inbox), daemon=True).start()
        self._end = weakref.finalize(self, _end, self._process, self._outbox, os.getpid())

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def request(self, operation: str, timeout: float, payload: Iterable[bytes] = (), **fields: Any) -> dict[str, Any]:
        """Send a request and wait for its reply. Raises WorkerDiedError, WorkerLateError, ProtocolError."""
        number = next(self._numbers)
        self._outbox.put(({"id": number, "op": operation, **fields}, tuple(payload)))
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
            # A reply to a question that was given up (Ctrl-C) may still come first.
            if reply.get("id") == number:
                return reply

    def close(self) -> None:
        """Ask the process to leave, and see that it does."""
        if self._end.alive:
            self._outbox.put(({"id": next(self._numbers), "op": "close"}, ()))
            self._end()

    def kill(self) -> None:
        """End the process now, with whatever it started itself."""
        _kill(self._process)

    def tail(self, lines: int = 3) -> str:
        """The last lines of the log, as one line."""
        try:
            with self.log.open("rb") as opened:
                opened.seek(max(self.log.stat().st_size - TAIL_BYTES, 0))
                text = opened.read().decode("utf-8", "replace")
        except OSError:
            return ""
        kept = [printable(line.strip(), limit=160) for line in text.splitlines() if line.strip()]
        return " | ".join(kept[-lines:])

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
            return "it closed its pipe"
        if code >= 0:
            return f"exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"ended by {name}" + (", perhaps for lack of memory" if name == "SIGKILL" else "")


def new_log(folder: Path, name: str) -> Path:
    """A fresh log file in `folder`; of the same name's earlier ones the newest stay. Raises BackendError."""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:40] or "worker"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        earlier = sorted(folder.glob(f"{stem}-*.log"), key=lambda file: file.stat().st_mtime)
        for file in earlier[: max(len(earlier) - LOGS_KEPT + 1, 0)]:
            file.unlink(missing_ok=True)
        log = folder / f"{stem}-{os.getpid()}-{next(_numbers)}.log"
        log.write_bytes(b"")
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise BackendError(
            f"no log can be written in '{printable(folder)}': {reason}; set INQUISIGHT_HOME to a folder that can."
        ) from None
    return log


def _send(pipe: BinaryIO, outbox: queue.Queue[tuple[dict[str, Any], tuple[bytes, ...]] | None]) -> None:
    """Write what is put into `outbox` until None comes; a broken pipe shows on the receiving side."""
    with contextlib.suppress(OSError, ValueError):
        while (message := outbox.get()) is not None:
            write_frame(pipe, message[0], message[1])
    with contextlib.suppress(OSError):
        pipe.close()


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


def _end(process: subprocess.Popen[bytes], outbox: queue.Queue[Any], owner: int) -> None:
    """Close the worker's pipe, at which it leaves; kill it where it does not. Runs at close, collection or exit."""
    if os.getpid() != owner:  # a forked copy of us: the worker is not its own
        return
    outbox.put(None)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    _kill(process)
