"""Prevent new calls of models after an error that all calls would meet, or when the user stops.

    halt = Halt()
    with halting(halt):         # in each thread that makes calls
        ask(model, messages)    # core.net.remote.retrying raises CalledOff once `halt` is set

Code that calls a server checks `current_halt()` before each request and retry. A pool creates a `Halt(current_halt())`
for its threads, which is set together with the outer one.
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
    """A call was not started because its halt was set; an interruption, not a failure."""


class Halt(threading.Event):
    """An event that is set when no new call may start; `reason` is the first error it was set for."""

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
        """Whether this halt or an outer one is set."""
        return super().is_set() or (self._around is not None and self._around.is_set())

    def set(self, reason: BaseException | None = None) -> None:
        """Prevent new calls and wake waiting threads."""
        with self._guard:
            self.reason = self.reason or reason
            within = list(self._within)
        super().set()
        for one in within:
            one.set(reason)


_current: ContextVar[threading.Event | None] = ContextVar("halt", default=None)


def current_halt() -> threading.Event | None:
    """The halt of this thread's work, if any."""
    return _current.get()


@contextmanager
def halting(halt: threading.Event) -> Iterator[None]:
    """Let calls in this block start only while `halt` is not set."""
    token = _current.set(halt)
    try:
        yield
    finally:
        _current.reset(token)


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread; after a cancellation it starts no further call of a model."""
    halt = Halt(current_halt())

    def run() -> T:
        with halting(halt):
            return work()

    try:
        return await asyncio.to_thread(run)
    except asyncio.CancelledError:
        halt.set()
        raise
