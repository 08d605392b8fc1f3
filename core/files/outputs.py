"""Output files of commands: checked before the work starts and written atomically."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from core.errors import UsageError, printable
from core.files.atomic import replacing


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise UsageError if `path` cannot be written."""
    shown = f"'{printable(path)}'"
    if path.is_dir():
        raise UsageError(f"{shown} is a folder; name a file in it")
    if path.exists() and not overwrite:
        raise UsageError(f"{shown} exists already; add --overwrite to replace it")
    if not path.parent.is_dir():
        raise UsageError(f"the folder of {shown} does not exist; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(f"the folder of {shown} is not writable")


def whole(path: Path, *, overwrite: bool) -> AbstractContextManager[BinaryIO]:
    """A binary file that becomes `path` if the block succeeds. Raises UsageError."""
    return replacing(path, UsageError, taken="" if overwrite else "add --overwrite to replace it")
