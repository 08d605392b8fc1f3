"""What long jobs share on a terminal: progress, an orderly stop on Ctrl-C, and work prepared in threads."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Final, TypeVar

LINE_EVERY: Final = 30.0  # seconds between lines where standard error is not a terminal
T = TypeVar("T")
R = TypeVar("R")


class StopSignal(threading.Event):
    """Set by the first SIGINT or SIGTERM; `number` is that of the signal, 0 before."""

    number = 0


@contextmanager
def stop_signal() -> Iterator[StopSignal]:
    """Note the first SIGINT or SIGTERM, so that work can end in order; the second one raises KeyboardInterrupt.

    Does nothing outside the main thread.
    """
    stop = StopSignal()

    def note(number: int, _: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.number = number
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def prefetched(pool: Executor, work: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[tuple[T, R]]:
    """Yield (item, work(item)) in order, with up to `ahead` of them in progress in `pool`."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) >= ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def follow(events: Iterable[T], describe: Callable[[T], tuple[str, int, int | None]]) -> T:
    """Return the last event; show (text, done, total) of each: a bar on a terminal, else a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    is_terminal, shown = sys.stderr.isatty(), time.monotonic()
    columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_terminal) as bar:
        task = bar.add_task("", total=None)
        for event in events:
            text, done, total = describe(event)
            if is_terminal:
                bar.update(task, completed=done, total=total, description=text)
            elif time.monotonic() - shown > LINE_EVERY:
                shown = time.monotonic()
                print(text, file=sys.stderr, flush=True)
    return event
