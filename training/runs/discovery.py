"""Where trainings and curations lie on this disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from core.errors import UsageError, printable

DEPTH: Final = 3  # folders below the one that is named
MOST: Final = 5_000  # folders that are looked into
_NEVER: Final = frozenset({"node_modules", "__pycache__", "site-packages", "checkpoints", "earlier"})


def find(root: Path, is_one: Callable[[Path], bool], *, depth: int = DEPTH) -> list[Path]:
    """Folders at or below `root` for which `is_one` holds, the one that changed last first. Raises UsageError.

    Hidden folders and links are left out, and what lies in a folder that is one is its own business.
    """
    root = Path(os.path.abspath(root.expanduser()))
    if not root.is_dir():
        raise UsageError(f"'{printable(root)}' is no folder of this machine.")
    found: list[Path] = []
    waiting, seen = [(root, 0)], 0
    while waiting and seen < MOST:
        folder, deep = waiting.pop(0)
        seen += 1
        if is_one(folder):
            found.append(folder)
        elif deep < depth:
            waiting += [(below, deep + 1) for below in _below(folder)]
    return sorted(found, key=_changed, reverse=True)


def _below(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".") and entry.name not in _NEVER and entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return []
    return [folder / name for name in names]


def _changed(folder: Path) -> float:
    try:
        return max((entry.stat().st_mtime for entry in os.scandir(folder)), default=0.0)
    except OSError:
        return 0.0
