"""How many tokens a model's reply may have, and when it is asked once more with more.

Two kinds of reply are cut by `max_tokens` before they are of use: that of a model that spends all of them on reasoning,
and one whose text breaks off. The first gets `REASONING_TOKENS` more, the second as many as its caller allows.
What was learned holds for later replies, so that they are not asked for twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from core.net.remote import origin
from core.net.replies import ReplyReader

REASONING_TOKENS: Final = 2000
MORE: Final = 4  # times the tokens, for a text that breaks off


class Budgets:
    """Those of one model. Thread-safe: what is learned is only ever added."""

    def __init__(self) -> None:
        self.careful = False
        """The model leaves its reasoning in the text, without an opening tag: nothing is shown before its end."""
        self._reasons = False
        self._cut: set[int] = set()  # budgets that were too small

    def reader(self) -> ReplyReader:
        """What the next reply is read with."""
        return ReplyReader(careful=self.careful)

    def first(self, asked: int, more: int | None = None) -> int:
        """The tokens for a reply of `asked` tokens; `more` as in `again`."""
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
        """The tokens for another try after the reply in `reader`, which had `budget`; None: it is as good as it gets.

        `more`: for a text that was cut; None leaves it at that. `enough`: whether such a text will do as it is.
        """
        if reader.answer.unopened:
            self.careful = self._reasons = True
        if reader.reason != "length":
            return None
        roomy = asked + REASONING_TOKENS
        text = reader.reply.text
        if not text:
            self._reasons = True
            return roomy if budget < roomy else None
        if more is None or budget >= more or (enough is not None and enough(text)):
            return None
        if reader.answer.deliberates:
            return roomy
        self._cut.add(asked)
        return more


_known: dict[tuple[str, str], Budgets] = {}
_known_lock = threading.Lock()


def budgets_of(server: str, model: str) -> Budgets:
    """Those of a model behind a server, an address or another name for it: one for all callers in this process."""
    with _known_lock:
        return _known.setdefault((origin(server), model), Budgets())
