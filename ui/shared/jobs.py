"""Long work: it belongs to a visitor, runs beside the page, survives a reload and can be stopped at any time.

    def work(job: Job) -> None:
        for number, picture in enumerate(pictures):
            job.check()                       # raises Halted once the visitor has pressed Stop
            job.tell("looking", number, len(pictures))
            ...

    job = visitor().jobs.start("interview", "3 pictures", work)

A page shows a job by reading its fields; `watch` reruns a part of the page while it is going on.
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
from ui.shared.words import sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

State = Literal["running", "stopping", "done", "stopped", "failed"]
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
    _halt: threading.Event = field(default_factory=threading.Event, repr=False)
    _over: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def active(self) -> bool:
        """Whether it is still at work."""
        return self.state in ("running", "stopping")

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return (self.ended or time.time()) - self.began

    def stop(self) -> None:
        """Ask it to stop; it does at its next `check`, and keeps what it has."""
        if self.state == "running":
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

    def _run(self, work: Callable[[Job], None]) -> None:
        token = _current.set(self)
        state: State = "done"
        try:
            work(self)
            state = "stopped" if self.halted else "done"
        except KeyboardInterrupt:
            state = "stopped"
        except BaseException as error:  # noqa: BLE001 - a thread has nobody above it who could tell
            self.error = sentence(error)
            state = "failed"
        finally:
            _current.reset(token)
            self.place, self.doing, self.ended, self.state = 0, "", time.time(), state
            self._over.set()


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

    def start(self, kind: str, title: str, work: Callable[[Job], None]) -> Job:
        """Run `work(job)` in a thread of its own. Raises UsageError where too much of this visitor's runs already."""
        job = Job(kind, title)
        with self._lock:
            busy = [one for one in self._jobs.values() if one.active]
            if len(busy) >= AT_ONCE:
                raise UsageError(f"{len(busy)} of your tasks are running; wait for one of them, or stop it")
            idle = [one for one in self._jobs.values() if not one.active]
            for old in idle[: max(0, len(idle) - KEPT)]:
                del self._jobs[old.id]
            self._jobs[job.id] = job
        threading.Thread(target=job._run, args=(work,), name=f"{kind}-{job.id}", daemon=True).start()
        return job

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


def watch(job: Job | None, draw: Callable[[], None], *, every: float = POLL, key: str | None = None) -> None:
    """Draw a part of the page, again and again while `job` is at work; when it ends, the whole page once more.

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
        if not job.active:
            st.rerun()

    part()


def queue_words(job: Job) -> str:
    """What a visitor reads about a job that waits or works."""
    if job.state == "stopping":
        return "stopping"
    if job.place > 0:
        ahead = "1 question is" if job.place == 1 else f"{job.place} questions are"
        return f"the model is busy: {ahead} answered before yours"
    return job.doing or "starting"
