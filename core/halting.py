"""No new calls: after an error that any other call would meet, or once a person wants no more.

    halt = Halt()
    with halting(halt):         # in each thread that makes calls
        ask(model, messages)    # core.remote.retrying raises CalledOff instead of beginning once `halt` is set

What calls a server asks `current_halt()` before each request, also before one that is tried again. A pool makes a
`Halt(current_halt())` for its threads: it is set along with the one around it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar
from weakref import WeakSet

T = TypeVar("T")


class CalledOff(KeyboardInterrupt):
    """A call was not begun because its halt was set: an interruption to whoever drives a model, not a failure."""


class Halt(threading.Event):
    """Set once nothing new may begin, by anybody, from any thread; `reason` is the first error that it was set for."""

    def __init__(self, around: threading.Event | None = None) -> None:
        super().__init__()
        self.reason: BaseException | None = None
        self._around = around
        self._guard = threading.Lock()
        self._within: WeakSet[Halt] = WeakSet()
        if isinstance(around, Halt):
            with around._guard:
                around._within.add(self)

    def is_set(self) -> bool:
        """Also where the one around it is set."""
        return super().is_set() or (self._around is not None and self._around.is_set())

    def set(self, reason: BaseException | None = None) -> None:
        """Let nothing more begin, and wake those who wait for their turn."""
        with self._guard:
            self.reason = self.reason or reason
            within = list(self._within)
        super().set()
        for one in within:
            one.set(reason)


_current: ContextVar[threading.Event | None] = ContextVar("halt", default=None)


def current_halt() -> threading.Event | None:
    """The halt of the work that this thread does; None where there is none."""
    return _current.get()


@contextmanager
def halting(halt: threading.Event) -> Iterator[None]:
    """Calls made in here begin only while `halt` is not set."""
    token = _current.set(halt)
    try:
        yield
    finally:
        _current.reset(token)


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread. After a cancellation, no further call of a model begins in it."""
    halt = Halt(current_halt())

    def run() -> T:
        with halting(halt):
            return work()

    try:
        return await asyncio.to_thread(run)
    except asyncio.CancelledError:
        halt.set()
        raise
