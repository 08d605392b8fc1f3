"""One run: its files, its process, how far it is.

runs/<id>/run.json        what is asked for, and whether it was paused
          process.json    the process that works on it, see core.console.processes
          output.txt      what that process says
          pictures.txt, captions.jsonl, captions.jsonl.work/journal.jsonl   of the batch
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from core.console.processes import ask_to_end, describe_process, is_running, start_detached
from core.errors import StoreError
from core.files.journal import read_json, write_json
from ui.gallery.runs.request import RunRequest

State = Literal["going", "pausing", "paused", "failed", "done"]
RUN, PROCESS, SAID, BEFORE = "run.json", "process.json", "output.txt", "before.json"
WINDOW: Final = 60.0  # seconds over which the speed is measured
TRIES: Final = 3  # starts of a process that was killed before it has settled a picture
PREFIX: Final = "inquisight: "


@dataclass(slots=True)
class Progress:
    """How far a run is."""

    state: State
    total: int
    captioned: int = 0
    kept: int = 0
    """Captions that people changed meanwhile; theirs stay."""
    failed: int = 0
    speed: float | None = None
    """Pictures per second of the last minute; None before the second picture."""
    words: str = ""
    """Why it failed, or what it is doing."""

    @property
    def settled(self) -> int:
        """Pictures that are done."""
        return self.captioned + self.kept + self.failed

    @property
    def left(self) -> float | None:
        """Seconds until the end, None if unknown."""
        return (self.total - self.settled) / self.speed if self.speed else None


@dataclass(eq=False)
class Run:
    """A run in `path`, its folder."""

    path: Path
    request: RunRequest
    total: int
    created: str
    state: State = "going"
    words: str = ""
    tries: int = 0
    notes: list[dict[str, Any]] = field(default_factory=list)
    """The figures of each process that worked on it, for estimates."""
    counts: dict[str, int] = field(default_factory=lambda: {"captioned": 0, "kept": 0, "failed": 0})
    _times: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def id(self) -> str:
        """Its name."""
        return self.path.name

    @classmethod
    def make(cls, runs: Path, request: RunRequest, before: dict[str, str]) -> Run:
        """A new run in the folder `runs`; `before`: the captions by key that it may replace."""
        now = datetime.now(UTC)
        for number in range(1000):
            path = runs / f"{now:%Y%m%d-%H%M%S}-{number}"
            try:
                path.mkdir(parents=True)
                break
            except FileExistsError:
                continue
        run = cls(path, request, len(before), now.isoformat(timespec="seconds"))
        write_json(path / BEFORE, before)
        return run

    @classmethod
    def read(cls, path: Path) -> Run | None:
        """The run in a folder; None if there is none, as after a kill while it was made."""
        try:
            value = read_json(path / RUN)
        except StoreError:
            return None
        if not value:
            return None
        run = cls(path, RunRequest.read(value["request"]), value["total"], value["created"], value["state"])
        run.words, run.notes, run.tries = value.get("words", ""), value.get("notes", []), value.get("tries", 0)
        return run

    def save(self) -> None:
        """Write `run.json`."""
        names = ("total", "created", "state", "words", "notes", "tries")
        facts = {name: getattr(self, name) for name in names}
        write_json(self.path / RUN, {"request": self.request.as_json(), **facts})

    def before(self) -> dict[str, str]:
        """The captions by key that this run may replace."""
        return dict(read_json(self.path / BEFORE) or {})

    # --- the process ----------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether it is to go on until all pictures are done or it is paused."""
        return self.state in ("going", "pausing")

    @property
    def alive(self) -> bool:
        """Whether a process works on it."""
        try:
            record = read_json(self.path / PROCESS)
        except StoreError:
            return False
        return bool(record) and is_running(record or {})

    def start(self) -> None:
        """Start the process, or the next one after a pause or a kill."""
        self.state, self.words = "going", ""
        self.save()
        pid = start_detached("agents.cli", self.request.arguments(self.path), self.path / SAID)
        write_json(self.path / PROCESS, describe_process(pid))
        self._times.clear()

    def pause(self) -> None:
        """Ask the process to end; what it has not finished is begun again when the run goes on."""
        if self.active:
            record = read_json(self.path / PROCESS) or {}
            self.state = "pausing" if ask_to_end(record) else "paused"
            self.save()

    def ended(self) -> None:
        """The process is gone: find out what that means, and start another one if it was killed."""
        if self.settled >= self.total:
            self.state, self.words = "done", ""
        elif self.state == "pausing":
            self.state = "paused"
        elif reason := self.reason():
            self.state, self.words = "failed", reason
        elif self.tries >= TRIES:
            self.state, self.words = "failed", "the process that works on it is killed again and again"
        else:
            self.tries += 1
            self.start()
            return
        self.save()

    def reason(self) -> str:
        """The last message of a process that ended by itself, "" if it was killed."""
        try:
            lines = (self.path / SAID).read_text("utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        if lines and lines[-1].startswith("{"):
            return "it ended before all pictures were captioned; see output.txt in " + self.path.name
        said = lines[-1] if lines else ""
        return said.removeprefix(PREFIX) if said.startswith(PREFIX) and "left out" not in said else ""

    # --- progress -------------------------------------------------------------------------------------------------

    @property
    def settled(self) -> int:
        """Pictures that are done."""
        return sum(self.counts.values())

    def tick(self) -> None:
        """Measure the speed; call it after results were taken over."""
        now = time.monotonic()
        if not self._times or self._times[-1][1] != self.settled:
            self._times.append((now, self.settled))
            self.tries = 0 if len(self._times) > 1 else self.tries
        while len(self._times) > 2 and now - self._times[0][0] > WINDOW:
            self._times.popleft()

    def progress(self) -> Progress:
        """How far it is."""
        speed = None
        if self.state == "going" and len(self._times) > 1:
            (then, count), now = self._times[0], time.monotonic()
            speed = (self.settled - count) / (now - then) or None
        words = self.words or ("loading the models" if self.state == "going" and not self.settled else "")
        return Progress(self.state, self.total, **self.counts, speed=speed, words=words)


def runs_in(folder: Path) -> list[Run]:
    """All runs, oldest first."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [run for path in paths if (run := Run.read(path)) is not None]
