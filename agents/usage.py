"""Calls of a language model: how many, how many tokens they took, and what that costs."""

from __future__ import annotations

import threading
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING, Any, Final

from core.records import TokenUsage

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler
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

    def as_record(self) -> TokenUsage:
        """To be kept with an answer."""
        return TokenUsage(**asdict(self))

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


def count_calls(model: BaseChatModel, meter: Meter) -> None:
    """Have `meter` count each call of the model from now on, whoever makes it."""
    kept = list(model.callbacks) if isinstance(model.callbacks, list) else []
    model.callbacks = [*kept, counting(meter)]


def counting(meter: Meter) -> BaseCallbackHandler:
    """A LangChain callback that counts each call by `meter`, those that failed or were repeated too."""
    from langchain_core.callbacks import BaseCallbackHandler

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

    return Counting()
