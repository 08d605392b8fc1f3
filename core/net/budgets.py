"""Token budgets of a model's replies, and when a truncated reply is requested again with a larger one.

A reply is useless if the model spends all tokens on reasoning, or if its text breaks off. The first kind gets
`REASONING_TOKENS` more, the second as many as its caller allows, unless it repeats itself. The result is remembered
for later replies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from core.net.remote import origin
from core.net.replies import ReplyReader
from core.text import repeats_itself

REASONING_TOKENS: Final = 2000
MORE: Final = 4  # factor on the tokens, for a text that breaks off


class Budgets:
    """The budgets of one model. Thread-safe, because facts are only added."""

    def __init__(self) -> None:
        self.careful = False
        """The model writes reasoning without an opening tag, so nothing is shown before the reply is complete."""
        self._reasons = False
        self._cut: set[int] = set()  # budgets that were too small

    def reader(self) -> ReplyReader:
        """A reader for the next reply."""
        return ReplyReader(careful=self.careful)

    def first(self, asked: int, more: int | None = None) -> int:
        """Tokens for the first attempt at a reply of `asked` tokens; `more` as in `again`."""
        if self._reasons:
            return asked + REASONING_TOKENS
        return max(asked, more or 0) if asked in self._cut else asked

    def again(
        self,
        reader: ReplyReader,
        asked: int,
        budget: int,
        more: int | None = None,
        enough: Callable[[str], bool] | None = None,
    ) -> int | None:
        """Tokens for another attempt after the reply in `reader`, which had `budget`; None: keep the reply.

        `more`: the limit for a truncated text; None keeps it. `enough`: whether a truncated text is acceptable. A text
        that repeats itself is kept: it would go on repeating.
        """
        if reader.answer.unopened:
            self.careful = self._reasons = True
        if reader.reason != "length":
            return None
        larger = asked + REASONING_TOKENS
        text = reader.reply.text
        if not text:
            self._reasons = True
            return larger if budget < larger else None
        if more is None or budget >= more or (enough is not None and enough(text)) or repeats_itself(text):
            return None
        if reader.answer.deliberates:
            return larger
        self._cut.add(asked)
        return more


_known: dict[tuple[str, str], Budgets] = {}
_known_lock = threading.Lock()


def budgets_of(server: str, model: str) -> Budgets:
    """The budgets of a model on a server (address or other name), shared by all callers in this process."""
    with _known_lock:
        return _known.setdefault((origin(server), model), Budgets())
