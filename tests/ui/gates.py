"""A vision model whose answers wait until a test allows them, one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from core.vision import VisualQuestion
from tests.agents.fakes import CountingVision

LONG = 20.0  # seconds a test waits for what takes none


class GatedVision(CountingVision):
    """Each answer takes one of the allowed ones; `asked` counts the answers that were wanted so far."""

    def __init__(self) -> None:
        super().__init__()
        self._allowed = threading.Semaphore(0)
        self.wanted = 0

    def allow(self, answers: int = 10_000) -> None:
        """Let so many more answers through."""
        self._allowed.release(answers)

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        for _ in questions:
            self.wanted += 1
            assert self._allowed.acquire(timeout=LONG), "the test allowed no further answer"
        return super().answer(questions)


def until(so: Callable[[], bool]) -> None:
    """Wait for another thread, without a fixed time."""
    waiting = threading.Event()
    for _ in range(int(LONG / 0.01)):
        if so():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not happen")
