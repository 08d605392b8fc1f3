"""Progress of a step: one updated line in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from core.errors import StoreError, printable
from core.files.atomic import replacing
from core.text import duration

EVERY: Final = 30.0  # seconds between lines outside a terminal
KEPT_EVERY: Final = 0.5  # seconds between two updates of the progress file


@dataclass(frozen=True, slots=True)
class Advance:
    """The event that a step yields after each item."""

    done: int  # including those of earlier runs
    total: int
    id: str
    rejected: str = ""  # why this item failed
    note: str = ""  # such as the cost so far


@dataclass(slots=True)
class StepTally:
    """Counts of this run."""

    done: int = 0
    rejected: int = 0


def show(events: Iterable[Advance], doing: str, stream: TextIO | None = None, *, keep: Path | None = None) -> StepTally:
    """Consume `events`, showing the progress on standard error and writing it to the file `keep`."""
    out = stream if stream is not None else sys.stderr
    alive = out.isatty()
    tally = StepTally()
    started = last = time.monotonic()
    kept = 0.0
    try:
        for event in events:
            tally.done += 1
            tally.rejected += bool(event.rejected)
            now = time.monotonic()
            if keep is not None and now - kept >= KEPT_EVERY:
                kept = now
                _keep(keep, event, tally, now - started)
            if alive:
                out.write(f"\r\x1b[2K{_line(event, doing, tally, now - started)}")
                out.flush()
            elif now - last >= EVERY:
                last = now
                print(f"inquisight: {_line(event, doing, tally, now - started)}", file=out, flush=True)
    except KeyboardInterrupt:
        _clear(out, alive)
        print("inquisight: stopped; nothing is lost, the same command resumes", file=out, flush=True)
        raise
    finally:
        _clear(out, alive)
    return tally


def _keep(path: Path, event: Advance, tally: StepTally, seconds: float) -> None:
    """Write the progress file; it is always whole, but a power cut may lose it."""
    left = (event.total - event.done) * seconds / tally.done
    shown = {"done": event.done, "total": event.total, "rejected": tally.rejected, "note": event.note, "left": left}
    # A full disk is reported by the step itself; a watcher then sees older progress.
    with suppress(StoreError), replacing(path, StoreError, part=f"{path.name}.part", sync=False) as file:
        file.write(json.dumps({**shown, "time": time.time()}).encode())


def _clear(out: TextIO, alive: bool) -> None:
    if alive:
        out.write("\r\x1b[2K")
        out.flush()


def _line(event: Advance, doing: str, tally: StepTally, seconds: float) -> str:
    parts = [f"{doing} {event.done}/{event.total}"]
    if tally.rejected:
        parts.append(f"{tally.rejected} failed")
    if event.note:
        parts.append(event.note)
    if left := event.total - event.done:
        parts.append(f"{duration(left * seconds / tally.done)} left")
    return ", ".join([*parts, printable(event.id, 40)])
