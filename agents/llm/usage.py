"""Count a language model's calls and tokens."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from core.records import TokenUsage

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.language_models import BaseChatModel

LETTERS: Final = 4  # per token, if a provider does not count


class Meter:
    """Counts, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.workers: set[str] = set()  # elsewhere, whose counts are included

    def add(self, *, failed: bool = False, read: int = 0, written: int = 0, guessed: bool = False) -> None:
        """One call."""
        with self._lock:
            self._counts.update(calls=1, failed=failed, input_tokens=read, output_tokens=written, guessed=guessed)

    @property
    def counts(self) -> TokenUsage:
        with self._lock:
            return TokenUsage(**self._counts)

    def more(self, counts: TokenUsage, worker: str) -> None:
        """Add the counts of a worker's meter."""
        with self._lock:
            self.workers.add(worker)
            self._counts.update(counts.model_dump())

    def take(self) -> TokenUsage:
        """Return the counts and reset them."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            return TokenUsage(**counts)


def count_calls(model: BaseChatModel, meter: Meter) -> None:
    """Count each further call of the model with `meter`, whoever makes it."""
    kept = list(model.callbacks) if isinstance(model.callbacks, list) else []
    model.callbacks = [*kept, counting(meter)]


def counting(meter: Meter) -> BaseCallbackHandler:
    """A LangChain callback that counts each call with `meter`, failed and repeated ones too."""
    from langchain_core.callbacks import BaseCallbackHandler

    class Counting(BaseCallbackHandler):
        def __init__(self) -> None:
            self.lengths: dict[Any, int] = {}

        def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: Any, **kwargs: Any) -> None:
            self.lengths[run_id] = sum(len(str(message.content)) for batch in messages for message in batch)

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
