"""Find trainings and curations on this disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

from core.errors import UsageError, printable

DEPTH: Final = 3  # folders below the named one
MOST: Final = 5_000  # folders to search
_NEVER: Final = frozenset({"node_modules", "__pycache__", "site-packages", "checkpoints", "earlier"})


def find(root: Path, is_one: Callable[[Path], bool]) -> list[Path]:
    """Return the folders at or below `root` for which `is_one` holds, last changed first. Raises UsageError.

    Hidden folders and links are skipped, and a folder that is found is not searched.
    """
    root = Path(os.path.abspath(root.expanduser()))
    if not root.is_dir():
        raise UsageError(f"'{printable(root)}' is no folder of this machine.")
    found: list[tuple[float, Path]] = []
    for name, folders, files in islice(os.walk(root), MOST):
        folder = Path(name)
        if is_one(folder):
            found.append((_changed(folder, [*folders, *files]), folder))
            folders.clear()
        elif len(folder.relative_to(root).parts) == DEPTH:
            folders.clear()
        folders[:] = sorted(one for one in folders if not one.startswith(".") and one not in _NEVER)
    return [folder for _, folder in sorted(found, reverse=True)]


def _changed(folder: Path, names: list[str]) -> float:
    times = (os.stat(folder / name, follow_symlinks=False).st_mtime for name in names)
    try:
        return max(times, default=0.0)
    except OSError:
        return 0.0
