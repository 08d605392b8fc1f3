"""Report how a run progresses: loss, samples per second, share of the arithmetic peak, time left.

A bar on a terminal, lines elsewhere, `status.json` for `inquisight train status`, and TensorBoard files if TensorBoard
is installed.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections import deque
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any, Final, Self

from core.errors import printable
from core.files.journal import write_json
from core.text import duration
from training.checkpoints import STATUS

WINDOW: Final = 50  # steps over which rates are averaged
_EVERY: Final = 2.0  # seconds between updates of status.json


def measure_peak(device: str, dtype: str) -> float:
    """Measure the floating-point operations per second of a large matrix product on this machine."""
    import torch

    cuda = device.startswith("cuda")
    size = 8192 if cuda else 768
    left, right = (torch.randn(size, size, device=device).to(getattr(torch, dtype)) for _ in range(2))

    def seconds(count: int) -> float:  # not torch.utils.benchmark: it imports setuptools and a compiler's tools
        if cuda:
            torch.cuda.synchronize(device)
        begin = time.perf_counter()
        for _ in range(count):
            left @ right
        if cuda:
            torch.cuda.synchronize(device)
        return (time.perf_counter() - begin) / count

    seconds(2)
    count = max(2, int(0.1 / max(seconds(2), 1e-6)))
    return float(2 * size**3 / min(seconds(count) for _ in range(3)))


class RunProgress(AbstractContextManager["RunProgress"]):
    """What a person sees. `quiet` processes (all but the first) print nothing."""

    def __init__(
        self, run: Path, title: str, steps: int, done: int, *, peak: float, every: int, quiet: bool = False
    ) -> None:
        self.run, self.title, self.steps, self.peak, self.every, self.quiet = run, title, steps, peak, every, quiet
        self._marks: deque[tuple[float, int, float]] = deque(maxlen=WINDOW + 1)  # time, samples, operations
        self._done = done
        self._stack = ExitStack()
        self._bar: Any = None
        self._task: Any = None
        self._events: Any = None
        self._written = 0.0

    def __enter__(self) -> Self:
        self._marks.append((time.perf_counter(), 0, 0.0))
        if self.quiet:
            return self
        if sys.stderr.isatty():
            self._open_bar()
        self._events = _tensorboard(self.run, self._done)
        return self

    def __exit__(self, *details: object) -> None:
        if self._events is not None:
            self._events.close()
        self._stack.close()

    def say(self, text: str) -> None:
        """Print one line, above the bar if there is one."""
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.console.print(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def step(self, entry: dict[str, Any], samples: int, work: float) -> None:
        """Report step `entry["step"]`, which took `work` floating-point operations in all processes together."""
        self._marks.append((time.perf_counter(), samples, work))
        if self.quiet:
            return
        step = int(entry["step"])
        (first, _, _), *others = self._marks
        seconds = max(others[-1][0] - first, 1e-9)
        rate = sum(one for _, one, _ in others) / seconds
        share = sum(one for _, _, one in others) / seconds / self.peak if self.peak else None
        left = (self.steps - step) * seconds / len(others)
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
        """Write what `inquisight train status` reads; a full disk must not stop a step."""
        if self.quiet:
            return
        facts = {"state": state, "title": self.title, "steps": self.steps, "time": time.time()}
        with suppress(Exception):
            write_json(self.run / STATUS, {**facts, **(entry or {}), **more})

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(stderr=True, highlight=False, markup=False)
        columns = (BarColumn(bar_width=20), TextColumn("{task.fields[described]}", markup=False))
        self._bar = self._stack.enter_context(Progress(*columns, console=console, transient=True))
        self._task = self._bar.add_task("", total=self.steps, completed=self._done, described=self.title)


def _line(entry: dict[str, Any], steps: int, rate: float, share: float | None, left: float) -> str:
    shared = "" if share is None else f"  {share:.0%} of the peak"
    return (
        f"step {entry['step']}/{steps}  loss {entry['loss']:.4f}  lr {entry['lr']:.2e}  {rate:.3g} samples/s{shared}  "
        f"{duration(left)} left"
    )


def _tensorboard(run: Path, done: int) -> Any:
    """Return a writer of TensorBoard's event files; None if it is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except Exception as error:  # noqa: BLE001 - a broken extra must not stop a training
        print(f"note: no TensorBoard files: {printable(error, 120)}", file=sys.stderr)
        return None
    return SummaryWriter(str(run / "tensorboard"), purge_step=done + 1 if done else None)
