"""How a run is going: loss, samples per second, share of the arithmetic peak, time left.

A bar on a terminal, plain lines elsewhere, `status.json` for `inquisight train status`, and TensorBoard's files where
that is installed.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any, Final, Self

from core.errors import printable
from training.checkpoints import STATUS, write_json

WINDOW: Final = 50  # steps over which rates are taken
_EVERY: Final = 2.0  # seconds between two writings of status.json


def measure_peak(device: str, dtype: str) -> float:
    """Floating-point operations per second of a large matrix product: what this machine really does at best."""
    import torch

    size = 8192 if device.startswith("cuda") else 768
    kind = getattr(torch, dtype)
    left, right = (torch.randn(size, size, device=device).to(kind) for _ in range(2))

    def once(count: int) -> float:
        _finish(device)
        begin = time.perf_counter()
        for _ in range(count):
            left @ right
        _finish(device)
        return (time.perf_counter() - begin) / count

    once(2)
    count = max(2, int(0.1 / max(once(2), 1e-6)))
    return float(2 * size**3 / min(once(count) for _ in range(3)))


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    seconds = max(int(seconds), 0)
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Rates:
    """Samples and operations per second over the last steps."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._marks: deque[tuple[float, int, float]] = deque([(clock(), 0, 0.0)], maxlen=WINDOW + 1)

    def step(self, samples: int, work: float) -> None:
        """One step is done."""
        _, before, done = self._marks[-1]
        self._marks.append((self._clock(), before + samples, done + work))

    @property
    def seconds_per_step(self) -> float:
        first, last = self._marks[0], self._marks[-1]
        return (last[0] - first[0]) / max(len(self._marks) - 1, 1)

    def per_second(self) -> tuple[float, float]:
        """(samples, operations)."""
        first, last = self._marks[0], self._marks[-1]
        seconds = max(last[0] - first[0], 1e-9)
        return (last[1] - first[1]) / seconds, (last[2] - first[2]) / seconds


class RunProgress(AbstractContextManager["RunProgress"]):
    """What a person sees. `quiet` processes (all but the first) say nothing."""

    def __init__(
        self, run: Path, title: str, steps: int, done: int, *, peak: float, every: int, quiet: bool = False
    ) -> None:
        self.run, self.title, self.steps, self.peak, self.every, self.quiet = run, title, steps, peak, every, quiet
        self.rates = Rates()
        self._done = done
        self._stack = ExitStack()
        self._bar: Any = None
        self._task: Any = None
        self._events: Any = None
        self._written = 0.0

    def __enter__(self) -> Self:
        if self.quiet:
            return self
        if sys.stderr.isatty():
            self._open_bar()
        self._events = _tensorboard(self.run, self._done)
        self.rates = Rates()
        return self

    def __exit__(self, *details: object) -> None:
        if self._events is not None:
            self._events.close()
        self._stack.close()

    def say(self, text: str) -> None:
        """One line for the person, above the bar where there is one."""
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.console.print(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def step(self, entry: dict[str, Any], samples: int, work: float) -> None:
        """Step `entry["step"]` is done; `work` floating-point operations were needed for it, all processes together."""
        self.rates.step(samples, work)
        if self.quiet:
            return
        step = int(entry["step"])
        rate, operations = self.rates.per_second()
        share = operations / self.peak if self.peak else None
        left = (self.steps - step) * self.rates.seconds_per_step
        line = _line(entry, self.steps, rate, share, left)
        if self._bar is not None:
            self._bar.update(self._task, completed=step, described=line)
        elif step % self.every == 0 or step == self.steps or step == self._done + 1:
            self.say(line)
        if self._events is not None:
            for name in ("loss", "lr", "grad_norm"):
                self._events.add_scalar(name, entry[name], step)
            self._events.add_scalar("samples_per_second", rate, step)
        now = time.monotonic()
        if now - self._written > _EVERY or step == self.steps:
            self._written = now
            self.status("running", entry, rate=rate, share=share, left=left)

    def status(self, state: str, entry: dict[str, Any] | None = None, **more: Any) -> None:
        """Write what `inquisight train status` reads; a disk that is full must not stop a step."""
        if self.quiet:
            return
        with suppress(Exception):
            last = entry or {}
            write_json(
                self.run / STATUS,
                {"state": state, "title": self.title, "steps": self.steps, "time": time.time(), **last, **more},
            )

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(stderr=True, highlight=False, markup=False)
        columns = (BarColumn(bar_width=20), TextColumn("{task.fields[described]}", markup=False))
        self._bar = self._stack.enter_context(Progress(*columns, console=console, transient=True))
        self._task = self._bar.add_task("", total=self.steps, completed=self._done, described=self.title)


def _line(entry: dict[str, Any], steps: int, rate: float, share: float | None, left: float) -> str:
    parts = [
        f"step {entry['step']}/{steps}",
        f"loss {entry['loss']:.4f}",
        f"lr {entry['lr']:.2e}",
        f"{rate:.3g} samples/s",
    ]
    if share is not None:
        parts.append(f"{share:.0%} of the peak")
    return "  ".join([*parts, f"{duration(left)} left"])


def _tensorboard(run: Path, done: int) -> Any:
    """A writer of TensorBoard's event files; None where it is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except Exception as error:  # noqa: BLE001 - an extra that is broken must not stop a training
        print(f"note: no TensorBoard files: {printable(error, 120)}", file=sys.stderr)
        return None
    return SummaryWriter(str(run / "tensorboard"), purge_step=done + 1 if done else None)
