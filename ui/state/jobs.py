"""Background jobs of a visitor: each runs in its own thread, survives a page reload and can be stopped.

    def work(job: Job) -> None:
        for image in images:
            job.check()                       # raises KeyboardInterrupt after Stop
            ...

    visitor().jobs.start("cat.jpg", work)
    visitor().jobs.start("dog.jpg", work, queue="interview")   # starts when earlier jobs of that queue have ended

Pages read a job's fields and call `stop`; stopping one job leaves the others of its queue in place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Literal

from core.errors import UsageError
from core.stopping import halting
from ui.text import error_message

State = Literal["waiting", "running", "stopping", "done", "stopped", "failed"]
MAX_RUNNING: Final = 6  # jobs of one visitor that run at the same time


@dataclass(slots=True, eq=False)
class Job:
    """One piece of work."""

    title: str
    work: Callable[[Job], object] = field(default=lambda job: None, repr=False)
    queue: str = ""
    """Jobs of the same queue run one after another; a job without one starts at once."""
    before: tuple[Job, ...] = field(default=(), repr=False)
    """Earlier jobs of its queue."""
    state: State = "waiting"
    doing: str = ""
    """The current activity, in words."""
    place: int = 0
    """Number of requests ahead of this job while a model is busy."""
    error: str = ""
    """A sentence, if `state` is "failed"."""
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _over: threading.Event = field(default_factory=threading.Event, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def active(self) -> bool:
        """Whether it runs or waits for its turn."""
        return self.state in ("waiting", "running", "stopping")

    @property
    def ahead(self) -> int:
        """Number of earlier jobs of its queue that have not ended."""
        return sum(job.active for job in self.before)

    @property
    def stop_requested(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask a running job to stop at its next `check`, with its results kept; a waiting one ends at once."""
        with self._lock:
            if self.state == "waiting":
                self._end("stopped")
            elif self.state == "running":
                self.state = "stopping"
            self._stop.set()

    def check(self) -> None:
        """Raise KeyboardInterrupt after `stop`: what Ctrl-C interrupts cleanly is interrupted in the same way."""
        if self.stop_requested:
            raise KeyboardInterrupt

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the job has ended; False after `timeout` seconds."""
        return self._over.wait(timeout)

    def begin(self) -> bool:
        """Change from waiting to running; False if the job was stopped before."""
        with self._lock:
            if self.state != "waiting":
                return False
            self.state, self.before = "running", ()
            return True

    def run(self) -> None:
        """Do the work in this thread."""
        token = _current.set(self)
        state: State = "failed"
        try:
            with halting(self._stop):  # also ends the wait before a retried request
                self.work(self)
            state = "stopped" if self.stop_requested else "done"
        except KeyboardInterrupt:
            state = "stopped"
        except BaseException as error:  # noqa: BLE001 - the last frame of the thread
            self.error = error_message(error)
        finally:
            _current.reset(token)
            with self._lock:
                self._end(state)

    def _end(self, state: State) -> None:
        self.place, self.doing, self.state, self.before = 0, "", state, ()
        self._over.set()


_current: ContextVar[Job | None] = ContextVar("current job", default=None)


def current_job() -> Job | None:
    """The job that runs the calling code; None outside a job."""
    return _current.get()


class Jobs:
    """The jobs of one visitor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: list[Job] = []

    def start(self, title: str, work: Callable[[Job], object], *, queue: str = "") -> Job:
        """Run `work(job)` in its own thread: at once or, with a queue, in turn.

        Raises UsageError if MAX_RUNNING jobs run already; a job with a queue waits instead.
        """
        with self._lock:
            self._jobs = self.active()
            if not queue and (busy := self._running()) >= MAX_RUNNING:
                raise UsageError(f"{busy} of your tasks are running; wait for one of them, or stop it")
            job = Job(title, work, queue, tuple(one for one in self._jobs if queue and one.queue == queue))
            self._jobs.append(job)
        self._start_waiting()
        return job

    def all(self) -> list[Job]:
        """Jobs that are active or ended a short time ago."""
        return list(self._jobs)

    def active(self) -> list[Job]:
        """Jobs that run or wait."""
        return [job for job in self._jobs if job.active]

    def _running(self) -> int:
        return sum(job.state in ("running", "stopping") for job in self._jobs)

    def _start_waiting(self) -> None:
        """Start every job whose turn it is."""
        with self._lock:
            for job in self._jobs:
                if not job.ahead and self._running() < MAX_RUNNING and job.begin():
                    threading.Thread(target=self._run, args=(job,), name=job.title, daemon=True).start()

    def _run(self, job: Job) -> None:
        job.run()
        self._start_waiting()


def busiest(jobs: Iterable[Job | None]) -> Job | None:
    """An active job, preferably one that does not wait."""
    active = sorted((job for job in jobs if job is not None and job.active), key=lambda job: job.state == "waiting")
    return active[0] if active else None


def job_status(job: Job) -> str:
    """What a visitor reads about a job that waits or runs."""
    if job.state == "stopping":
        return "stopping"
    if job.state == "waiting":
        return f"waiting, {job.ahead} ahead" if job.ahead else "waiting"
    if job.place:
        return f"model busy, {job.place} {'question' if job.place == 1 else 'questions'} ahead of yours"
    return job.doing or "starting"
