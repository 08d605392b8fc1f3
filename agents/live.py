"""Work that one thread drives while others read its state: the base of live interviews, videos and chats."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Generic, TypeVar

from core.entries import one_line
from core.errors import InquisightError, UsageError

State = TypeVar("State")


class Live(Generic[State]):
    """A frozen state that any thread reads, and a lock that only one driving thread holds.

    `busy` is the error for a second driver. Subclasses say in `_ended` how an interruption or error changes the state.
    """

    busy = "this is running already; wait for its end, or stop it"

    def _begin(self, state: State) -> None:
        self._lock = threading.RLock()
        self._driving = threading.Lock()
        self._view = state

    @property
    def view(self) -> State:
        """The current state."""
        return self._view

    @property
    def running(self) -> bool:
        """Whether a thread drives it."""
        return self._driving.locked()

    @contextmanager
    def _driven(self) -> Iterator[None]:
        """Drive in this thread for the time of the block. Raises UsageError if another thread does."""
        if not self._driving.acquire(blocking=False):
            raise UsageError(self.busy)
        try:
            yield
        except (KeyboardInterrupt, GeneratorExit):
            self._ended(None)
            raise
        except Exception as error:
            self._ended(str(error) if isinstance(error, InquisightError) else one_line(error))
            raise
        finally:
            self._driving.release()

    def _ended(self, error: str | None) -> None:
        """Driving was interrupted (None) or failed."""

    def _set(self, **changes: Any) -> None:
        with self._lock:
            self._view = replace(self._view, **changes)  # type: ignore[type-var]
