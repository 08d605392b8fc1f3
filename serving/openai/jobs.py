"""Requests under way: admitted up to a limit, each in a thread, called off when its client leaves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from core.stopping import CalledOff, Halt, halting
from serving.openai.metrics import Metrics
from serving.openai.work import Accepted, Answer, Delta, Emit

Work = Callable[[Emit], list[Answer]]
Step = Accepted | Delta | list[Answer]
_UNREAD: Final = 256  # pieces of an answer that wait for a slow reader
_LOOK: Final = 0.5  # seconds between two looks whether the reader has left
_RECENT: Final = 64  # requests whose seconds tell how long a place is taken


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


class Busy(Exception):  # noqa: N818 - it is no fault
    """All places are taken; `seconds` is when it is worth trying again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class ShutDownError(Exception):
    """The server is being stopped, so the request was called off."""


class Jobs:
    """Admits requests and runs them. Used from one event loop."""

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self.limit, self.metrics = limit, metrics
        self.active = 0
        self._pool = ThreadPoolExecutor(limit, thread_name_prefix="request")
        self._halt = Halt()
        self._seconds: deque[float] = deque(maxlen=_RECENT)
        self._lock = threading.Lock()

    def start(self, work: Work) -> Job:
        """Start `work` in a thread. Raises Busy if all places are taken."""
        with self._lock:
            if self.active >= self.limit or self._halt.is_set():
                raise Busy(self._wait())
            self.active += 1
        self.metrics.active.inc()
        job = Job(Halt(self._halt))
        self._pool.submit(self._run, job, work)
        return job

    def _wait(self) -> int:
        mean = sum(self._seconds) / len(self._seconds) if self._seconds else 1.0
        return max(1, min(60, round(mean)))

    def _run(self, job: Job, work: Work) -> None:
        start = time.monotonic()
        try:
            with halting(job.halt):
                if job.halt.is_set():
                    raise CalledOff
                job.put(work(job.put))
        except (
            KeyboardInterrupt
        ):  # CalledOff, or an interview that it stopped; raised there it would end the event loop
            job.put(_Failed(ShutDownError()))
        except BaseException as error:  # noqa: BLE001 - raised again where the answer is sent
            job.put(_Failed(error))
        finally:
            with self._lock:
                self.active -= 1
                self._seconds.append(time.monotonic() - start)
            self.metrics.active.dec()

    def close(self) -> None:
        """Call off what is under way."""
        self._halt.set()
        self._pool.shutdown(wait=False, cancel_futures=True)


class Job:
    """One request: its steps, which end with the answers."""

    def __init__(self, halt: Halt) -> None:
        self.halt = halt
        self._loop = asyncio.get_running_loop()
        self._unread = threading.Semaphore(_UNREAD)
        self._steps: asyncio.Queue[Step | _Failed] = asyncio.Queue()

    def put(self, step: Step | _Failed) -> None:
        """Add a step, from any thread."""
        while isinstance(step, Delta) and not self._unread.acquire(timeout=_LOOK):  # a slow reader holds the writer up
            if self.halt.is_set():
                raise CalledOff
        if isinstance(step, Accepted | Delta) and self.halt.is_set():
            raise CalledOff
        try:
            self._loop.call_soon_threadsafe(self._steps.put_nowait, step)
        except RuntimeError:  # the loop is closed: nobody is left to receive it
            self.halt.set()

    def leave(self) -> None:
        """The client has left: the thread stops at its next call of a model."""
        self.halt.set()

    async def step(self, seconds: float | None = None) -> Step | None:
        """The next step, or None if none came within `seconds`. Raises the error that ended the work."""
        try:
            step = await asyncio.wait_for(self._steps.get(), seconds)
        except TimeoutError:
            return None
        if isinstance(step, Delta):
            self._unread.release()
        if isinstance(step, _Failed):
            raise step.error
        return step

    async def steps(self, beat: float) -> AsyncIterator[Step | None]:
        """Each step until the answers; None after every `beat` seconds without one."""
        while True:
            step = await self.step(beat)
            yield step
            if isinstance(step, list):
                return


async def while_connected(receive: Callable[[], Any], job: Job, work: Any) -> Any:
    """The result of the coroutine `work`, or None if the client leaves before that."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        if not task.done():
            job.leave()
            task.cancel()
        gone.cancel()


async def _disconnected(receive: Callable[[], Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
