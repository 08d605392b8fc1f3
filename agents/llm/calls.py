"""Limit the questioner's calls: how many at once, and how many per second."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agents.llm.usage import Meter, count_calls
from core.net.remote import Pace, for_all
from core.stopping import CalledOff, Halt, current_halt, halting

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


def metered(
    model: BaseChatModel, meter: Meter, *, rate: float | None = None, pace: Pace | None = None
) -> BaseChatModel:
    """Count the model's calls with `meter` and limit them to `rate` per second, retries included.

    `pace`: one shared with others, in place of a rate. A call whose halt is set while it waits raises CalledOff.
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


class Callers:
    """Threads that make calls; each result goes to `report(key, result or error, seconds)` in its thread.

    Once `halt` is set, no call and no retry begins; waiting calls get CalledOff. An error that any other call would
    meet sets it.
    """

    def __init__(self, report: Callable[[Any, Any, float], None], count: int, halt: Halt | None = None) -> None:
        self._report = report
        self._halt = halt or Halt()
        self._closed = Halt(self._halt)
        self._lock = threading.Lock()
        self._active = 0
        self._waiting: queue.SimpleQueue[tuple[Any, Callable[[], Any]] | None] = queue.SimpleQueue()
        # Daemons: an interrupted program must not wait for a server.
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=f"questioner-{number}") for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, key: Any, call: Callable[[], Any]) -> None:
        """Make this call when its turn comes."""
        self._waiting.put((key, call))

    @property
    def at_work(self) -> int:
        """Calls that have begun and were not reported yet."""
        with self._lock:
            return self._active

    def close(self) -> None:
        """Begin no more calls; those under way are not waited for."""
        self._closed.set()
        for _ in self._threads:
            self._waiting.put(None)

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            key, call = item
            start = time.perf_counter()
            result: Any
            with self._lock:
                self._active += 1
            try:
                with halting(self._closed):
                    try:
                        if self._closed.is_set():
                            raise CalledOff
                        result = call()
                    except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                        result = error
                        if ends_all(error):
                            self._halt.set(error)  # before another thread begins the next one
                    self._report(key, result, time.perf_counter() - start)
            finally:
                with self._lock:
                    self._active -= 1


def may_overlap(model: BaseChatModel) -> bool:
    """Whether calls of a model may run at once: a pipeline in this process has one random generator for all."""
    from agents.llm.providers import PROVIDER

    return (model.metadata or {}).get(PROVIDER) != "huggingface"


def ends_all(error: BaseException) -> bool:
    """Whether an error of one call means that no other call should begin."""
    return not isinstance(error, CalledOff) and (not isinstance(error, Exception) or for_all(error))
