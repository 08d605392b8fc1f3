"""Calls of the questioner: how many at once, and how many in a second."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agents.usage import Meter, count_calls
from core.remote import Pace

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from core.vision import Reply


def metered(
    model: BaseChatModel, meter: Meter, *, rate: float | None = None, pace: Pace | None = None, stop: threading.Event
) -> BaseChatModel:
    """The model, counted by `meter` and held to `rate` calls per second, repeated ones included.

    `pace`: one that is shared with others, in place of a rate. `stop` ends a wait for one's turn.
    """
    from langchain_core.rate_limiters import BaseRateLimiter

    class Paced(BaseRateLimiter):
        def __init__(self, pace: Pace) -> None:
            self.pace = pace

        def acquire(self, *, blocking: bool = True) -> bool:
            self.pace.wait(stop)
            return True

        async def aacquire(self, *, blocking: bool = True) -> bool:
            return self.acquire()

    count_calls(model, meter)
    if pace is not None or rate is not None:
        model.rate_limiter = Paced(pace or Pace(rate))
    return model


Heard = Callable[[Any, "Reply | BaseException", float], None]


class Callers:
    """Threads that make calls; `tell(who, reply or error, seconds)` is called from one of them for each."""

    def __init__(self, tell: Heard, count: int) -> None:
        self._tell = tell
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

    def close(self) -> None:
        """No more calls; those under way are not waited for."""
        for _ in self._threads:
            self._waiting.put(None)

    def _work(self) -> None:
        while (taken := self._waiting.get()) is not None:
            who, call = taken
            start = time.perf_counter()
            said: Reply | BaseException
            try:
                said = call()
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                said = error
            self._tell(who, said, time.perf_counter() - start)
