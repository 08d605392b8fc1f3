"""Several inputs of a chat model answered together: who needs an answer first has all of them answered.

LangChain calls a model once per input, with callbacks, caches and errors of its own around each call. That stays so;
only what the eye is asked is put together, when the first of these calls gets as far as asking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

A = TypeVar("A")


class JoinedCall(Generic[A]):
    """Rows that `answer` answers together, once; None stands for a row that has to be answered alone.

    Where that fails, every row is answered alone, so that only those fail that would by themselves. An error that says
    that it is one `for_all` is every row's error.
    """

    def __init__(self, answer: Callable[[], Sequence[A | None]]) -> None:
        self._answer = answer
        self._rows: Sequence[A | None] | None = None
        self._error: Exception | None = None

    def get(self, place: int) -> A | None:
        """Row `place`. Raises the error of all."""
        if self._rows is None and self._error is None:
            try:
                self._rows = self._answer()
            except Exception as error:  # noqa: BLE001 - raised again where a row is answered alone
                self._error = error
        if self._error is not None and getattr(self._error, "for_all", False):
            raise self._error
        return self._rows[place] if self._rows is not None else None


@dataclass(slots=True)
class CallRow(Generic[A]):
    """One of them, for one call of `owner`."""

    owner: object
    joined: JoinedCall[A]
    place: int
    _taken: bool = field(default=False, init=False)

    def take(self, owner: object) -> A | None:
        """The answer, once and for the model it is meant for: a callback may ask others, or the same one again."""
        if self._taken or owner is not self.owner:
            return None
        self._taken = True
        return self.joined.get(self.place)

    @contextmanager
    def served(self, failures: list[Any] | None) -> Iterator[None]:
        """The call inside finds this row in `CURRENT`. An exception is appended to `failures` where that is a list."""
        token = CURRENT.set(self)
        try:
            yield
        except Exception as error:
            if failures is None:
                raise
            failures.append(error)
        finally:
            CURRENT.reset(token)


CURRENT: ContextVar[CallRow[Any] | None] = ContextVar("row of a batch", default=None)
