"""The environment of salesforce-lavis: its folder and its state.

`inquisight lavis install` writes `MARK` last, so an environment without it is incomplete.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from core.errors import BackendError, UsageError, printable
from core.files.atomic import replacing
from core.settings import get_settings

INSTALL: Final = "inquisight lavis install"
MARK: Final = "inquisight-lavis.json"
PINS: Final = Path(__file__).with_name("requirements.txt")
WORKER: Final = Path(__file__).with_name("worker.py")
# Installed without its dependencies: it requires notebooks, dashboards and hooks (ipython, streamlit, pre-commit, ...)
# that its models never import, and a pandas that it cannot use.
PACKAGE: Final = "salesforce-lavis==1.0.2"
State = Literal["missing", "foreign", "unfinished", "outdated", "ready"]


@dataclass(frozen=True, slots=True)
class Environment:
    """A folder with a Python in it."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def state(self) -> State:
        """`foreign`: the folder holds something else; `outdated`: installed from other pins."""
        if not self.folder.exists() or (self.folder.is_dir() and not any(self.folder.iterdir())):
            return "missing"
        if not (self.folder / "pyvenv.cfg").is_file():
            return "foreign"
        mark = self.mark()
        if mark is None or not self.python.exists():
            return "unfinished"
        return "ready" if mark.get("pins") == digest_of_pins() else "outdated"

    def mark(self) -> dict[str, Any] | None:
        """The installation's record of pins and versions; None if there is none."""
        try:
            mark = json.loads((self.folder / MARK).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return mark if isinstance(mark, dict) else None

    def finish(self, versions: dict[str, str]) -> None:
        """Mark the environment as complete."""
        with replacing(self.folder / MARK, BackendError) as file:
            file.write(json.dumps({"pins": digest_of_pins(), "versions": versions}, indent=1).encode())

    def unfinish(self) -> None:
        """Remove the mark before a change."""
        (self.folder / MARK).unlink(missing_ok=True)

    def gigabytes(self) -> float:
        """Size on disk."""
        seen: set[tuple[int, int]] = set()  # count hard links once: uv links files to its cache
        total = 0
        for here, _, files in os.walk(self.folder):
            for name in files:
                status = os.lstat(Path(here, name))
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    total += status.st_size
        return total / 1e9


def digest_of_pins() -> str:
    """12 hex digits that change when the list of packages does."""
    return hashlib.sha256(PINS.read_bytes() + PACKAGE.encode()).hexdigest()[:12]


def chosen() -> Environment:
    """The environment in use: the one installed last with --to, or the default one."""
    note = _note()
    if note.is_file():
        text = note.read_text("utf-8").strip()
        if text:
            return Environment(Path(text))
    return default()


def default() -> Environment:
    """`lavis` in the folder for transcripts and caches (INQUISIGHT_HOME)."""
    return Environment(get_settings().home / "lavis")


def choose(environment: Environment) -> None:
    """Remember `environment` as the one in use."""
    note = _note()
    if environment.folder == default().folder:
        note.unlink(missing_ok=True)
        return
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(f"{environment.folder}\n", "utf-8")


def _note() -> Path:
    return get_settings().home / "lavis-environment.txt"


def ready() -> Environment:
    """The environment in use. Raises UsageError with the command to run if it cannot be used."""
    environment = chosen()
    place = printable(environment.folder)
    match environment.state:
        case "ready" | "outdated":  # older pins still work; `status` reports them
            return environment
        case "unfinished":
            raise UsageError(f"the environment for salesforce-lavis in '{place}' is not complete; run `{INSTALL}`.")
        case "foreign":
            raise UsageError(f"'{place}' is no environment of salesforce-lavis; run `{INSTALL} --to DIR`.")
        case _:
            raise UsageError(
                f"salesforce-lavis is not installed: its versions fit no other environment, so run `{INSTALL}` first "
                "(about 2 GB, more with CUDA)."
            )
