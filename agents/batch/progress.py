"""Progress of a batch on standard error: a bar in a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TextIO

from agents.audit.rewrite import false_claims
from agents.llm.usage import Meter
from core.records import Caption, ClaimCounts, TokenUsage
from core.text import duration

EVERY: Final = 30.0  # seconds between lines outside a terminal
WINDOW: Final = 60.0  # seconds over which the current speed is measured


@dataclass(slots=True)
class Tally:
    """What this run has done, and what there is to do."""

    total: int  # pictures of this run's scope
    before: int = 0  # of these, settled by earlier runs
    captioned: int = 0
    repeated: int = 0
    failed: int = 0
    unexamined: int = 0  # captioned, but a witness failed
    proposed: int = 0  # replies of the questioner when it was to ask
    refused: int = 0  # of these, not asked
    by_rules: int = 0  # questions that the rules asked in the questioner's place
    written: int = 0  # sentences of summaries
    removed: int = 0  # of these, taken out
    summaries_by_rules: int = 0  # summaries that the rules wrote in the questioner's place
    claims: int = 0  # of audited captions
    claims_false: int = 0  # of these, not supported
    claims_read: ClaimCounts = field(default_factory=ClaimCounts)  # by the questioner
    unasked: int = 0  # captioned, but the questioner had no usable question in some round
    meter: Meter = field(default_factory=Meter)
    price_in: float | None = None
    price_out: float | None = None
    began: float = field(default_factory=time.monotonic)
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def settled(self) -> int:
        """Pictures that this run has finished."""
        return self.captioned + self.repeated + self.failed

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def count(self, caption: Caption) -> None:
        """Count a finished caption."""
        self.captioned += 1
        if caption.questions is not None:
            self.proposed += caption.questions.proposed
            self.refused += caption.questions.refused
        self.by_rules += caption.asked_by.get("fallback", 0)
        self.written += caption.sentences_written
        self.removed += len(caption.removed)
        self.claims += len(caption.claims)
        self.claims_false += len(false_claims(caption.claims))
        if caption.claim_counts is not None:
            read = caption.claim_counts.model_dump().items()
            self.claims_read = ClaimCounts(**{name: count + getattr(self.claims_read, name) for name, count in read})
        self.summaries_by_rules += caption.summary_by == "rules"
        self.unasked += caption.questioner_failed

    @property
    def weak(self) -> bool:
        """Whether the questioner fails more than one picture in five."""
        return 5 * self.unasked > self.captioned

    def tick(self) -> None:
        """Call after each picture, to measure the speed."""
        now = time.monotonic()
        if not self._recent or now - self._recent[-1][0] >= 0.5:
            self._recent.append((now, self.settled))
        while len(self._recent) > 2 and now - self._recent[0][0] > WINDOW:
            self._recent.popleft()

    @property
    def speed(self) -> float:
        """Current pictures per second."""
        then, count = self._recent[0] if self._recent else (self.began, 0)
        now = time.monotonic()
        if now - then < 5:  # too short to measure
            then, count = self.began, 0
        return (self.settled - count) / (now - then) if now > then else 0.0

    @property
    def left(self) -> float | None:
        """Remaining seconds, or None if unknown."""
        todo, speed = self.total - self.before - self.settled, self.speed
        return 0.0 if todo <= 0 else todo / speed if speed > 0 else None

    def cost(self, counts: TokenUsage) -> float | None:
        return counts.cost(self.price_in, self.price_out)

    def facts(self) -> dict[str, Any]:
        """The figures of this run that estimates need."""
        counts = self.meter.counts
        return {
            "captioned": self.captioned,
            "repeated": self.repeated,
            "failed": self.failed,
            "unexamined": self.unexamined,
            "questions_proposed": self.proposed,
            "questions_refused": self.refused,
            "questions_by_rules": self.by_rules,
            "sentences_written": self.written,
            "sentences_removed": self.removed,
            "summaries_by_rules": self.summaries_by_rules,
            "claims": self.claims,
            "claims_false": self.claims_false,
            "questioner_failed": self.unasked,
            "seconds": round(self.seconds, 3),
            "calls": counts.calls,
            "input_tokens": counts.input_tokens,
            "output_tokens": counts.output_tokens,
        }

    def words(self) -> list[str]:
        """The figures for people."""
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
        if self.unexamined:
            parts.append(f"{self.unexamined:,} without a witness that failed")
        return parts


class Display:
    """Shows a tally; `update` may be called at any rate."""

    def __init__(self, tally: Tally, stream: TextIO) -> None:
        self.tally, self.stream = tally, stream
        self.bar: Any = None
        self._task: Any = None
        self._last = time.monotonic()

    def update(self) -> None:
        tally = self.tally
        tally.tick()
        now = time.monotonic()
        if now - self._last < (0.25 if self.bar is not None else EVERY):
            return
        self._last = now
        left = tally.left
        words = ", ".join([*tally.words(), *([f"{duration(left)} left"] if left is not None else [])])
        done = tally.before + tally.settled
        if self.bar is not None:
            self.bar.update(self._task, completed=done, words=words)
        else:
            self.line(f"{done:,} of {tally.total:,}, {words}")

    def wait(self, text: str) -> None:
        """Show in a terminal what is awaited before there are figures."""
        if self.bar is not None and text:
            self.bar.update(self._task, words=f"{text} ...")

    def line(self, text: str) -> None:
        """Print a separate line."""
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
