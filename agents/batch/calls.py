"""Calls of the questioner: how many at once, how many in a second, and what they cost."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Final

from core.remote import Pace

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

LETTERS: Final = 4  # per token, where a provider does not count


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls of a questioner and the tokens they took, those of failed and repeated calls included."""

    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    guessed: int = 0  # calls whose tokens were not counted by the provider, so that they are a guess

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def cost(self, price_in: float | None, price_out: float | None) -> float | None:
        """At these prices for a million tokens; None without prices."""
        if price_in is None and price_out is None:
            return None
        return (self.input_tokens * (price_in or 0.0) + self.output_tokens * (price_out or 0.0)) / 1e6


class Meter:
    """Counts, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0, 0, 0, 0, 0]
        self.workers: set[str] = set()  # elsewhere, whose counts are among these; empty where this process does it all

    def add(self, *, failed: bool = False, read: int = 0, written: int = 0, guessed: bool = False) -> None:
        """One call."""
        with self._lock:
            for place, more in enumerate((1, failed, read, written, guessed)):
                self._counts[place] += more

    @property
    def counts(self) -> Counts:
        with self._lock:
            return Counts(*self._counts)

    def more(self, counts: Counts, worker: str) -> None:
        """What the meter of a worker has counted."""
        with self._lock:
            self.workers.add(worker)
            for place, more in enumerate(astuple(counts)):
                self._counts[place] += more

    def take(self) -> Counts:
        """The counts, and begin at nothing again."""
        with self._lock:
            counts, self._counts = Counts(*self._counts), [0, 0, 0, 0, 0]
            return counts


def metered(
    model: BaseChatModel, meter: Meter, *, rate: float | None = None, pace: Pace | None = None, stop: threading.Event
) -> BaseChatModel:
    """The model, counted by `meter` and held to `rate` calls per second, repeated ones included.

    `pace`: one that is shared with others, in place of a rate. `stop` ends a wait for one's turn.
    """
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.rate_limiters import BaseRateLimiter

    class Counting(BaseCallbackHandler):
        def __init__(self) -> None:
            self.lengths: dict[Any, int] = {}

        def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: Any, **kwargs: Any) -> None:
            self.lengths[run_id] = sum(len(str(message.content)) for talk in messages for message in talk)

        def on_llm_end(self, response: Any, *, run_id: Any, **kwargs: Any) -> None:
            length = self.lengths.pop(run_id, 0)
            message = getattr(response.generations[0][0], "message", None) if response.generations else None
            usage = getattr(message, "usage_metadata", None)
            if usage:
                meter.add(read=usage["input_tokens"], written=usage["output_tokens"])
            else:
                words = len(str(getattr(message, "content", "")))
                meter.add(read=-(-length // LETTERS), written=-(-words // LETTERS), guessed=True)

        def on_llm_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
            self.lengths.pop(run_id, None)
            meter.add(failed=True)

    class Paced(BaseRateLimiter):
        def __init__(self, pace: Pace) -> None:
            self.pace = pace

        def acquire(self, *, blocking: bool = True) -> bool:
            self.pace.wait(stop)
            return True

        async def aacquire(self, *, blocking: bool = True) -> bool:
            return self.acquire()

    kept = list(model.callbacks) if isinstance(model.callbacks, list) else []
    model.callbacks = [*kept, Counting()]
    if pace is not None or rate is not None:
        model.rate_limiter = Paced(pace or Pace(rate))
    return model


Heard = Callable[[Any, "str | BaseException", float], None]


class Callers:
    """Threads that make calls; `tell(who, text or error, seconds)` is called from one of them for each."""

    def __init__(self, tell: Heard, count: int) -> None:
        self._tell = tell
        self._waiting: queue.SimpleQueue[tuple[Any, Callable[[], str]] | None] = queue.SimpleQueue()
        # Daemons: who interrupts the program must not wait for a server.
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=f"questioner-{number}") for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, who: Any, call: Callable[[], str]) -> None:
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
            said: str | BaseException
            try:
                said = call()
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                said = error
            self._tell(who, said, time.perf_counter() - start)
