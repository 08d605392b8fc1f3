"""Go on with the runs that were going when the last server ended, before anybody opens their folder."""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from core.console.processes import is_running
from core.errors import InquisightError, StoreError, printable
from core.files.journal import read_json
from core.settings import get_settings
from ui.gallery.library import folders
from ui.gallery.runs.collect import SERVER
from ui.gallery.runs.run import runs_in


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    """What the server does at its start; it answers meanwhile."""
    threading.Thread(target=resume_runs, name="resume runs", daemon=True).start()
    yield


def resume_runs() -> list[Path]:
    """Open the folders whose runs nobody follows any more, which has them go on; returns these folders."""
    opened = []
    for root in _left():
        try:
            folders().get(root)
            opened.append(root)
        except InquisightError as error:
            print(f"inquisight: a run over '{printable(root)}' does not go on: {error}", file=sys.stderr, flush=True)
    return opened


def _left() -> Iterator[Path]:
    home = get_settings().home / "gallery"
    for file in sorted([*home.glob(f"*/runs/{SERVER}"), *home.glob(f"visitors/*/data/runs/{SERVER}")]):
        runs = runs_in(file.parent)
        try:
            record: Mapping[str, Any] = read_json(file) or {}
        except StoreError:
            continue
        if runs and runs[-1].active and isinstance(record.get("root"), str) and not is_running(record):
            yield Path(record["root"])
