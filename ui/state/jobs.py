"""Long work: it belongs to a visitor, runs beside the page, survives a reload and can be stopped at any time.

    def work(job: Job) -> None:
        for number, picture in enumerate(pictures):
            job.check()                       # raises Halted once the visitor has pressed Stop
            job.tell("looking", number, len(pictures))
            ...

    job = visitor().jobs.start("interview", "3 pictures", work)
    visitor().jobs.start("interview", "cat.jpg", work, queue="interview")   # waits for earlier jobs of that queue

Each job is stopped by itself; the others of its queue keep their places. A page shows a job by reading its fields;
`watch` reruns a part of the page while it is going on.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from core.errors import UsageError
from core.stopping import halting
from ui.text import sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

State = Literal["waiting", "running", "stopping", "done", "stopped", "failed"]
AT_ONCE: Final = 6  # jobs of one visitor that run at the same time
KEPT: Final = 40  # finished jobs of one visitor that are remembered
POLL: Final = 1.0  # seconds between two looks at a job


class Halted(KeyboardInterrupt):
    """Raised inside a job that is to stop. What is interrupted by Ctrl-C saves itself after this one as well."""


@dataclass(slots=True, eq=False)
class Job:
    """One piece of work. Pages only read it and call `stop`; the work itself calls `tell` and `check`."""

    kind: str
    title: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: State = "running"
    doing: str = ""
    """What it is at, in words."""
    place: int = 0
    """How many others are served before it, while a model is busy; 0: it is its turn."""
    done: int = 0
    total: int = 0
    error: str = ""
    """A sentence, where `state` is "failed"."""
    began: float = field(default_factory=time.time)
    ended: float | None = None
    queue: str = ""
    """Jobs of the same queue run one after another; without one a job runs at once."""
    _before: tuple[Job, ...] = field(default=(), repr=False)
    _halt: threading.Event = field(default_factory=threading.Event, repr=False)
    _over: threading.Event = field(default_factory=threading.Event, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def active(self) -> bool:
        """Whether it works or waits for its turn."""
        return self.state in ("waiting", "running", "stopping")

    @property
    def ahead(self) -> int:
        """How many earlier jobs of its queue have not ended; 0 once it runs."""
        return sum(one.active for one in self._before)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return (self.ended or time.time()) - self.began

    def stop(self) -> None:
        """Ask it to stop; it does at its next `check`, and keeps what it has. One that waits ends at once."""
        with self._lock:
            if self.state == "waiting":
                self._end("stopped")
            elif self.state == "running":
                self.state = "stopping"
            self._halt.set()

    @property
    def halted(self) -> bool:
        """Whether somebody asked it to stop."""
        return self._halt.is_set()

    def check(self) -> None:
        """Raise Halted once the visitor wants no more."""
        if self._halt.is_set():
            raise Halted

    def tell(self, doing: str, done: int | None = None, total: int | None = None) -> None:
        """Say what it is at."""
        self.doing = doing
        self.done = self.done if done is None else done
        self.total = self.total if total is None else total

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is over; False where it takes longer than `timeout` seconds."""
        return self._over.wait(timeout)

    def _begin(self) -> bool:
        """Take its turn; False where it was stopped before."""
        with self._lock:
            if self.state != "waiting":
                return False
            self.state, self.began, self._before = "running", time.time(), ()
            return True

    def _end(self, state: State) -> None:
        self.place, self.doing, self.ended, self.state, self._before = 0, "", time.time(), state, ()
        self._over.set()

    def _run(self, work: Callable[[Job], None]) -> None:
        token = _current.set(self)
        state: State = "done"
        try:
            with halting(self._halt):  # Stop ends the waiting for a server's next try, too
                work(self)
            state = "stopped" if self.halted else "done"
        except KeyboardInterrupt:
            state = "stopped"
        except BaseException as error:  # noqa: BLE001 - a thread has nobody above it who could tell
            self.error = sentence(error)
            state = "failed"
        finally:
            _current.reset(token)
            with self._lock:
                self._end(state)


_current: ContextVar[Job | None] = ContextVar("current job", default=None)


def current_job() -> Job | None:
    """The job whose work calls this; None outside one."""
    return _current.get()


@contextmanager
def as_job(job: Job) -> Iterator[None]:
    """Count this thread's work as that of `job`: for work that starts threads of its own."""
    token = _current.set(job)
    try:
        yield
    finally:
        _current.reset(token)


class Jobs:
    """The work of one visitor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._waiting: list[tuple[Job, Callable[[Job], None]]] = []

    def start(self, kind: str, title: str, work: Callable[[Job], None], *, queue: str = "") -> Job:
        """Run `work(job)` in a thread of its own, at once or, in a queue, when its turn comes.

        Raises UsageError where too much of this visitor's runs already; a job with a queue waits instead.
        """
        job = Job(kind, title, state="waiting", queue=queue)
        with self._lock:
            if not queue and (busy := self._running()) >= AT_ONCE:
                raise UsageError(f"{busy} of your tasks are running; wait for one of them, or stop it")
            idle = [one for one in self._jobs.values() if not one.active]
            for old in idle[: max(0, len(idle) - KEPT)]:
                del self._jobs[old.id]
            if queue:
                job._before = tuple(one for one in self._jobs.values() if one.queue == queue and one.active)
            self._jobs[job.id] = job
            self._waiting.append((job, work))
        self._next()
        return job

    def _running(self) -> int:
        return sum(one.state in ("running", "stopping") for one in self._jobs.values())

    def _next(self) -> None:
        """Begin every job whose turn it is."""
        with self._lock:
            for one in list(self._waiting):
                job, work = one
                if job.active and (job.ahead or self._running() >= AT_ONCE):
                    continue
                self._waiting.remove(one)
                if job._begin():
                    threading.Thread(
                        target=self._go, args=(job, work), name=f"{job.kind}-{job.id}", daemon=True
                    ).start()

    def _go(self, job: Job, work: Callable[[Job], None]) -> None:
        job._run(work)
        self._next()

    def get(self, id: str | None) -> Job | None:
        """The job of that id, if it is one of this visitor's."""
        return self._jobs.get(id or "")

    def all(self, kind: str | None = None) -> list[Job]:
        """Jobs, the newest first."""
        with self._lock:
            jobs = list(self._jobs.values())
        return [job for job in reversed(jobs) if kind in (None, job.kind)]

    def active(self, kind: str | None = None) -> list[Job]:
        """Those still at work."""
        return [job for job in self.all(kind) if job.active]

    def stop_all(self) -> None:
        """Ask all to stop."""
        for job in self.active():
            job.stop()


def watch(
    job: Job | None,
    draw: Callable[[], None],
    *,
    every: float = POLL,
    key: str | None = None,
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Draw a part of the page, again and again while `job` is at work; when it ends, the whole page once more.

    `until`: draw the whole page earlier, as soon as this is true.

    Without work it is no fragment, on purpose. A browser's last look, under way when the page is drawn for the end of
    the work, would start another run, and Streamlit discards whatever it has not yet delivered of the run before: the
    answer, or what a click just did, would never show. A look at a fragment that is no more starts nothing.
    """
    import streamlit as st

    if job is None or not job.active:
        with st.container():  # a fragment has one, too: what follows stays in its place
            draw()
        return

    @st.fragment(run_every=every, key=key)
    def part() -> None:
        draw()
        if not job.active or until():
            st.rerun()

    part()


def queue_words(job: Job) -> str:
    """What a visitor reads about a job that waits or works."""
    if job.state == "stopping":
        return "stopping"
    if job.state == "waiting":
        return f"waiting, {job.ahead} before it" if job.ahead else "waiting"
    if job.place > 0:
        ahead = "1 question is" if job.place == 1 else f"{job.place} questions are"
        return f"the model is busy: {ahead} answered before yours"
    return job.doing or "starting"
