"""How far a batch is: a bar in a terminal, a plain line now and then elsewhere. Always on standard error."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TextIO

from agents.llm.usage import Meter
from core.records import TokenUsage
from core.text import duration

EVERY: Final = 30.0  # seconds between lines where nobody watches
WINDOW: Final = 60.0  # seconds over which the present speed is taken


@dataclass(slots=True)
class Tally:
    """What this run has done, and what there is to do."""

    total: int  # pictures of this run's scope
    before: int = 0  # of these, settled by earlier runs
    captioned: int = 0
    repeated: int = 0
    failed: int = 0
    meter: Meter = field(default_factory=Meter)
    price_in: float | None = None
    price_out: float | None = None
    began: float = field(default_factory=time.monotonic)
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def settled(self) -> int:
        """Pictures that this run is through with."""
        return self.captioned + self.repeated + self.failed

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def tick(self) -> None:
        """To be called after each picture."""
        now = time.monotonic()
        if not self._recent or now - self._recent[-1][0] >= 0.5:
            self._recent.append((now, self.settled))
        while len(self._recent) > 2 and now - self._recent[0][0] > WINDOW:
            self._recent.popleft()

    @property
    def speed(self) -> float:
        """Pictures per second, of late."""
        then, count = self._recent[0] if self._recent else (self.began, 0)
        now = time.monotonic()
        if now - then < 5:  # too short to tell
            then, count = self.began, 0
        return (self.settled - count) / (now - then) if now > then else 0.0

    @property
    def left(self) -> float | None:
        """Seconds to go; None as long as nobody knows."""
        todo, speed = self.total - self.before - self.settled, self.speed
        return 0.0 if todo <= 0 else todo / speed if speed > 0 else None

    def cost(self, counts: TokenUsage) -> float | None:
        return counts.cost(self.price_in, self.price_out)

    def words(self) -> list[str]:
        """The figures, as people read them."""
        counts = self.meter.counts
        parts = [f"{self.speed:.1f} pictures/s" if self.speed >= 1 else f"{self.speed * 60:.1f} pictures/min"]
        parts.append(f"{counts.calls:,} calls")
        if counts.tokens:
            parts.append(f"{_short(counts.tokens)} tokens{' (guessed)' if counts.guessed else ''}")
        if (cost := self.cost(counts)) is not None:
            parts.append(f"cost {cost:,.2f}")
        if workers := len(self.meter.workers):
            parts.append(f"{workers:,} worker{'s' if workers > 1 else ''}")
        if self.repeated:
            parts.append(f"{self.repeated:,} repeated")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return parts


class Display:
    """Shows a tally; `update` may be called as often as one likes."""

    def __init__(self, tally: Tally, stream: TextIO) -> None:
        self.tally, self.stream = tally, stream
        self.bar: Any = None
        self._task: Any = None
        self._last = time.monotonic()

    def update(self) -> None:
        self.tally.tick()
        now = time.monotonic()
        if now - self._last < (0.25 if self.bar is not None else EVERY):
            return
        self._last = now
        if self.bar is not None:
            self._draw()
        else:
            self.line(self._words())

    def wait(self, text: str) -> None:
        """What is being waited for before there are figures; nothing where nobody watches."""
        if self.bar is not None and text:
            self.bar.update(self._task, words=f"{text} ...")

    def _words(self) -> str:
        tally = self.tally
        left = tally.left
        ending = [f"{duration(left)} left"] if left is not None else []
        return f"{tally.before + tally.settled:,} of {tally.total:,}, " + ", ".join([*tally.words(), *ending])

    def _draw(self) -> None:
        left = self.tally.left
        words = ", ".join([*self.tally.words(), *([f"{duration(left)} left"] if left is not None else [])])
        self.bar.update(self._task, completed=self.tally.before + self.tally.settled, words=words)

    def line(self, text: str) -> None:
        """A line of its own."""
        if self.bar is not None:
            self.bar.console.print(f"inquisight: {text}", markup=False, highlight=False, soft_wrap=True)
        else:
            print(f"inquisight: {text}", file=self.stream, flush=True)


@contextmanager
def shown(tally: Tally, stream: TextIO | None = None) -> Iterator[Display]:
    """A display for the time of the block."""
    out = stream if stream is not None else sys.stderr
    display = Display(tally, out)
    if not out.isatty():
        yield display
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    words = TextColumn("{task.fields[words]}", markup=False)
    console = Console(file=out, highlight=False, emoji=False, markup=False)
    with Progress(
        BarColumn(30), MofNCompleteColumn(), words, console=console, transient=True, refresh_per_second=4
    ) as bar:
        display.bar = bar
        display._task = bar.add_task("", total=tally.total, completed=tally.before, words="")
        yield display


def _short(count: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)
