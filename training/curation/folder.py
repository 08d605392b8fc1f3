"""The folder of a curation: results, settings and rejects of every step.

pictures.jsonl    the pictures to describe, in order
generate.json     the settings of a step; a step is not resumed with other settings
generated.jsonl   append-only, one record per picture
repaired.jsonl    append-only, one record per attempt
sample.json       the sample for reviewers; labels.jsonl: their labels (append-only)
verified.jsonl    the kept texts; dropped.jsonl: all others, with the reason; rules.json: the hits of each rule
earlier/          what `--again` set aside
.process.json     the running or last process; .progress.json: its progress; .output.txt: its output
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from core.console.processes import describe_process
from core.errors import InquisightError, StoreError, UsageError, printable, why
from core.files.journal import SharedJournal, clear_torn, read_json, write_json
from core.files.locking import only_process
from core.records import canonical_json

Step = Literal["generate", "repair", "verify", "rules"]
SCHEMA: Final = 1
LOCK: Final = ".lock"
PROCESS: Final = ".process.json"
PROGRESS: Final = ".progress.json"
OUTPUT: Final = ".output.txt"
LEFT_OUT: Final = "left-out.json"  # what the sources hold and the curation skips
PATIENCE: Final = 0.5  # seconds in which a reader may hold the lock

# The files of each step, its settings last. Redoing a step also sets aside the steps that depend on it.
FILES: Final[dict[Step, tuple[str, ...]]] = {
    "generate": ("generated.jsonl", "pictures.jsonl", LEFT_OUT, "generate.json"),
    "repair": ("repaired.jsonl", "repair.json"),
    "verify": ("labels.jsonl", "sample-after.json", "sample.json"),
    "rules": ("verified.jsonl", "dropped.jsonl", "rules.json"),
}
_STEPS: Final = tuple(FILES)


def digest(value: Any, length: int = 16) -> str:
    """First hex digits of the SHA-256 of a JSON value or a text."""
    data = value.encode("utf-8", errors="backslashreplace") if isinstance(value, str) else canonical_json(value)
    return hashlib.sha256(data).hexdigest()[:length]


class CurationFolder:
    """The folder at `path`. Raises UsageError if it holds other files."""

    def __init__(self, path: str | Path, *, create: bool = False) -> None:
        self.path = Path(path)
        shown = printable(self.path)
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"'{shown}' is a file; name a folder for the curation.")
        known = {name for names in FILES.values() for name in names}
        inside = {one.name for one in self.path.iterdir() if not one.name.startswith(".")} if self.path.exists() else ()
        if inside and not known.intersection(inside):
            raise UsageError(f"'{shown}' holds other files but no curation; name a new folder, or an empty one.")
        if not inside and not create and not (self.path / PROCESS).exists():
            raise UsageError(f"there is no curation in '{shown}'; begin one with `inquisight curate generate`.")
        if create:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(f"the folder '{shown}' cannot be made: {why(error)}.") from None
        names = ("pictures", "generated", "repaired", "labels", "verified", "dropped")
        journals = (SharedJournal(self.path / f"{name}.jsonl") for name in names)
        self.pictures, self.generated, self.repaired, self.labels, self.verified, self.dropped = journals

    @contextmanager
    def at_work(self, step: str = "") -> Iterator[None]:
        """Lock the folder: one process writes at a time. The system frees the lock when the process ends.

        With a `step`, the process can be watched and stopped from elsewhere: see `training.curation.processes`.
        """
        shown = printable(self.path)
        busy = StoreError(f"another run is at work in '{shown}'; wait for it, or stop it.")
        with only_process(
            self.path / LOCK, busy, lambda cause: StoreError(f"'{shown}' cannot be locked: {cause}."), wait=PATIENCE
        ):
            clear_torn(self.path)
            if step:
                self._record(step=step, **describe_process(), begun=time.time(), ended=None, error=None)
            error = None
            try:
                yield
            except InquisightError as problem:
                error = str(problem)
                raise
            finally:
                if step:
                    self._record(ended=time.time(), error=error)

    def _record(self, **facts: Any) -> None:
        """Update `.process.json`; a stop that was requested of an earlier process is forgotten."""
        try:
            before = read_json(self.path / PROCESS) or {}
        except StoreError:
            before = {}
        if facts.get("pid") and before.get("pid") != facts["pid"]:
            before.pop("asked", None)
        found = {name: value for name, value in {**before, **facts}.items() if value is not None}
        write_json(self.path / PROCESS, found)

    # settings

    def settings(self, step: Step) -> dict[str, Any]:
        """The settings that `step` was begun with; empty if it was not."""
        found = read_json(self._guard(step))
        return dict(found["settings"]) if found and isinstance(found.get("settings"), dict) else {}

    def check(self, step: Step, settings: Mapping[str, Any]) -> None:
        """Raise UsageError if `step` was begun with another value for one of `settings`."""
        before = self.settings(step)
        for name, value in json.loads(json.dumps(dict(settings))).items():
            if name in before and before[name] != value:
                raise UsageError(
                    f"'{printable(self.path)}' was begun with {_option(name)} {_shown(before[name])}, not "
                    f"{_shown(value)}; take another folder, or add --again to set what is there aside and begin this "
                    "step anew."
                )

    def begin(self, step: Step, settings: Mapping[str, Any]) -> None:
        """Write the settings of `step`, or check them if it was begun already. Raises UsageError."""
        self.check(step, settings)
        if self.settings(step).keys() != settings.keys():
            content = {"schema": SCHEMA, "step": step, "settings": dict(settings), "fingerprint": digest(settings)}
            write_json(self._guard(step), content)

    def _guard(self, step: Step) -> Path:
        return self.path / f"{step}.json"

    def set_aside(self, step: Step) -> Path | None:
        """Move the files of `step` and of the steps that depend on it to `earlier/`; returns their new folder."""
        steps = _STEPS[_STEPS.index(step) :]
        found = [self.path / name for one in reversed(steps) for name in FILES[one] if (self.path / name).exists()]
        if not found:
            return None
        earlier = self.path / "earlier"
        earlier.mkdir(exist_ok=True)
        number = 1 + max((int(one.name.split("-")[0]) for one in earlier.glob("[0-9]*-*")), default=0)
        target = earlier / f"{number:03d}-{step}"
        target.mkdir()
        for path in found:  # the settings last: until then, a run killed here asks for --again again
            path.rename(target / path.name)
        return target


def is_held(path: Path) -> bool:
    """Whether a process of this machine has locked the curation at `path`."""
    if not (path / LOCK).exists():
        return False
    busy = StoreError("locked")
    try:
        with only_process(path / LOCK, busy, StoreError):
            return False
    except StoreError as error:
        return error is busy


def _option(name: str) -> str:
    """The name of a setting on the command line."""
    names = {"revision": "model revision", "pictures": "the list of pictures"}
    return names.get(name, f"--{name.replace('_', '-')}")


def _shown(value: Any) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), limit=60)
