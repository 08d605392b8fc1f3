"""Several inputs of a chat model answered together: the first call that needs an answer computes all of them.

LangChain calls a model once per input, with callbacks, caches and errors around each call. That stays so; only the
vision model's work is joined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

A = TypeVar("A")


@dataclass(slots=True)
class CallRow(Generic[A]):
    """The answer for one call of `owner`: entry `place` of what `answers` returns, None to answer it alone."""

    owner: object
    answers: Callable[[], Sequence[A | Exception | None]]
    place: int
    _taken: bool = field(default=False, init=False)

    def take(self, owner: object) -> A | None:
        """The answer, once and for its owner only: a callback may call other models, or the same one again."""
        if self._taken or owner is not self.owner:
            return None
        self._taken = True
        answer = self.answers()[self.place]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @contextmanager
    def served(self, failures: list[Any] | None) -> Iterator[None]:
        """Make this the row in `CURRENT`. An exception is appended to `failures` if that is a list."""
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
