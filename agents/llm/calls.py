"""Calls of the questioner: how many at once, and how many in a second."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agents.llm.usage import Meter, count_calls
from core.net.remote import Pace, for_all
from core.stopping import CalledOff, Halt, current_halt, halting

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from core.vision import Reply


def metered(
    model: BaseChatModel, meter: Meter, *, rate: float | None = None, pace: Pace | None = None
) -> BaseChatModel:
    """The model, counted by `meter` and held to `rate` calls per second, repeated ones included.

    `pace`: one that is shared with others, in place of a rate. A call whose halt is set while it waits raises
    CalledOff.
    """
    from langchain_core.rate_limiters import BaseRateLimiter

    class Paced(BaseRateLimiter):
        def __init__(self, pace: Pace) -> None:
            self.pace = pace

        def acquire(self, *, blocking: bool = True) -> bool:
            halt = current_halt()
            self.pace.wait(halt)
            if halt is not None and halt.is_set():
                raise CalledOff
            return True

        async def aacquire(self, *, blocking: bool = True) -> bool:
            return self.acquire()

    count_calls(model, meter)
    if pace is not None or rate is not None:
        model.rate_limiter = Paced(pace or Pace(rate))
    return model


Heard = Callable[[Any, "Reply | BaseException", float], None]


class Callers:
    """Threads that make calls; `tell(who, reply or error, seconds)` is called from one of them for each.

    Once `halt` is set no call begins, nor any further try of one; those that wait are told CalledOff. An error that
    any other call would meet sets it.
    """

    def __init__(self, tell: Heard, count: int, halt: Halt | None = None) -> None:
        self._tell = tell
        self._halt = halt or Halt()
        self._closed = Halt(self._halt)
        self._lock = threading.Lock()
        self._at_work = 0
        self._waiting: queue.SimpleQueue[tuple[Any, Callable[[], Reply]] | None] = queue.SimpleQueue()
        # Daemons: who interrupts the program must not wait for a server.
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=f"questioner-{number}") for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, who: Any, call: Callable[[], Reply]) -> None:
        """Make this call when its turn comes."""
        self._waiting.put((who, call))

    @property
    def at_work(self) -> int:
        """Calls that have begun and were not told yet."""
        with self._lock:
            return self._at_work

    def close(self) -> None:
        """No more calls; those that wait do not begin, and those under way are not waited for."""
        self._closed.set()
        for _ in self._threads:
            self._waiting.put(None)

    def _work(self) -> None:
        while (taken := self._waiting.get()) is not None:
            who, call = taken
            start = time.perf_counter()
            said: Reply | BaseException
            with self._counted(), halting(self._closed):
                try:
                    if self._closed.is_set():
                        raise CalledOff
                    said = call()
                except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                    said = error
                    if ends_all(error):
                        self._halt.set(error)  # before another thread takes the next one
                self._tell(who, said, time.perf_counter() - start)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._at_work += 1
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1


def ends_all(error: BaseException) -> bool:
    """Whether an error of a call means that no other call need begin."""
    return not isinstance(error, CalledOff) and (not isinstance(error, Exception) or for_all(error))
