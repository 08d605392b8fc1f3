"""One curation: a folder in which every step keeps what it did, what it was set to, and everything it rejected.

pictures.jsonl    what is described, in order
generate.json     the settings of a step; one that was begun with other settings is not mixed with them
generated.jsonl   append-only, one record per picture
repaired.jsonl    append-only, one record per try
sample.json       what people look at; labels.jsonl: what they say (append-only)
verified.jsonl    the texts that are kept; dropped.jsonl: all others, with the reason; rules.json: which rule hit what
earlier/          what `--again` set aside
.process.json     who is at work, or was last; .progress.json: how far; .output.txt: what a process that nobody
                  watches has to say
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
from core.errors import InquisightError, StoreError, UsageError, printable
from core.files.journal import SharedJournal, clear_torn, read_json, write_json
from core.records import canonical_json

Step = Literal["generate", "repair", "verify", "rules"]
SCHEMA: Final = 1
PROCESS: Final = ".process.json"
PROGRESS: Final = ".progress.json"
OUTPUT: Final = ".output.txt"
LEFT_OUT: Final = "left-out.json"  # what the sources of the pictures hold and is not described
PATIENCE: Final = 0.5  # seconds in which the lock may be held by one who only looks

# What each step writes, its settings (or mark) last. Beginning a step anew sets aside what follows from it, too.
FILES: Final[dict[Step, tuple[str, ...]]] = {
    "generate": ("generated.jsonl", "pictures.jsonl", LEFT_OUT, "generate.json"),
    "repair": ("repaired.jsonl", "repair.json"),
    "verify": ("labels.jsonl", "sample-after.json", "sample.json"),
    "rules": ("verified.jsonl", "dropped.jsonl", "rules.json"),
}
_STEPS: Final = tuple(FILES)


def digest(value: Any, length: int = 16) -> str:
    """A short name for a JSON value or a text: the first hex digits of its sha256."""
    data = value.encode("utf-8", errors="backslashreplace") if isinstance(value, str) else canonical_json(value)
    return hashlib.sha256(data).hexdigest()[:length]


class CurationFolder:
    """The folder at `path`. Raises UsageError where something else lies there."""

    def __init__(self, path: str | Path, *, create: bool = False) -> None:
        self.path = Path(path)
        shown = printable(self.path)
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"'{shown}' is a file; name a folder for the curation.")
        known = {name for names in FILES.values() for name in names}
        inside = {one.name for one in self.path.iterdir() if not one.name.startswith(".")} if self.path.exists() else ()
        if inside and not known.intersection(inside):
            raise UsageError(f"'{shown}' holds other files and no curation; name a new folder, or an empty one.")
        if not inside and not create and not (self.path / PROCESS).exists():
            raise UsageError(f"there is no curation in '{shown}'; begin one with `inquisight curate generate`.")
        if create:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(f"the folder '{shown}' cannot be made: {(error.strerror or '').lower()}.") from None
        self.pictures = SharedJournal(self.path / "pictures.jsonl")
        self.generated = SharedJournal(self.path / "generated.jsonl")
        self.repaired = SharedJournal(self.path / "repaired.jsonl")
        self.labels = SharedJournal(self.path / "labels.jsonl")
        self.verified = SharedJournal(self.path / "verified.jsonl")
        self.dropped = SharedJournal(self.path / "dropped.jsonl")

    @contextmanager
    def at_work(self, step: str = "") -> Iterator[None]:
        """Only one process writes at a time; the system frees the folder when the process ends, however it ends.

        One that says its `step` can be watched and stopped from elsewhere: see `steps`.
        """
        try:
            import fcntl
        except ImportError:  # Windows has no such lock; there, people have to see to it themselves
            yield
            return
        with (self.path / ".lock").open("a") as lock:
            until = time.monotonic() + PATIENCE
            while not _taken(fcntl, lock):
                if time.monotonic() > until:
                    raise StoreError(f"another run is at work in '{printable(self.path)}'; wait for it, or stop it.")
                time.sleep(PATIENCE / 20)
            clear_torn(self.path)
            if step:
                self._sign(step=step, **describe_process(), begun=time.time(), ended=None, error=None)
            error = None
            try:
                yield
            except InquisightError as problem:
                error = str(problem)
                raise
            finally:
                if step:
                    self._sign(ended=time.time(), error=error)

    def _sign(self, **facts: Any) -> None:
        """Say in `.process.json` who is at work; a stop that was asked for is of the one before, unless it is ours."""
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
        """What `step` was begun with; empty where it was not."""
        found = read_json(self._guard(step))
        return dict(found["settings"]) if found and isinstance(found.get("settings"), dict) else {}

    def check(self, step: Step, settings: Mapping[str, Any]) -> None:
        """Raise UsageError where `step` was begun with another value for one of `settings`."""
        before = self.settings(step)
        for name, value in json.loads(json.dumps(dict(settings))).items():
            if name in before and before[name] != value:
                raise UsageError(
                    f"'{printable(self.path)}' was begun with {_option(name)} {_shown(before[name])}, not "
                    f"{_shown(value)}; take another folder, or add --again to set what is there aside and begin this "
                    "step anew."
                )

    def begin(self, step: Step, settings: Mapping[str, Any]) -> None:
        """Note the settings of `step`, or check them where it was begun already. Raises UsageError."""
        self.check(step, settings)
        if self.settings(step).keys() != settings.keys():
            content = {"schema": SCHEMA, "step": step, "settings": dict(settings), "fingerprint": digest(settings)}
            write_json(self._guard(step), content)

    def _guard(self, step: Step) -> Path:
        return self.path / f"{step}.json"

    def set_aside(self, step: Step) -> Path | None:
        """Move the files of `step` and of those that follow from it to `earlier/`; where they are now."""
        steps = _STEPS[_STEPS.index(step) :]
        found = [self.path / name for one in reversed(steps) for name in FILES[one] if (self.path / name).exists()]
        if not found:
            return None
        earlier = self.path / "earlier"
        earlier.mkdir(exist_ok=True)
        number = 1 + max((int(one.name.split("-")[0]) for one in earlier.glob("[0-9]*-*")), default=0)
        target = earlier / f"{number:03d}-{step}"
        target.mkdir()
        for path in found:  # the settings of `step` itself last: until then, a run killed here is asked for --again
            path.rename(target / path.name)
        return target


def is_held(path: Path) -> bool:
    """Whether a process of this machine is at work in the curation at `path`."""
    try:
        import fcntl

        with (path / ".lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (ImportError, FileNotFoundError):
        return False
    except OSError:
        return True
    return False


def _taken(fcntl: Any, lock: Any) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _option(name: str) -> str:
    """How a setting is called on the command line."""
    names = {"revision": "model revision", "pictures": "the list of pictures"}
    return names.get(name, f"--{name.replace('_', '-')}")


def _shown(value: Any) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), limit=60)
