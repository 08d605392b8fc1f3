"""A file that a command writes because it was asked to: checked before the work, whole or not at all at its end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from core.errors import UsageError, printable


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise UsageError before any work where a file could not be written at the end."""
    shown = f"'{printable(path)}'"
    if path.is_dir():
        raise UsageError(f"{shown} is a folder; name a file in it")
    if path.exists() and not overwrite:
        raise UsageError(f"{shown} exists already; add --overwrite to replace it")
    if not path.parent.is_dir():
        raise UsageError(f"the folder of {shown} does not exist; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(f"the folder of {shown} is not writable")


@contextmanager
def whole(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A binary file that becomes `path` when the block ends well, and is gone otherwise. Raises UsageError."""
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}-", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            yield file
        if path.exists() and not overwrite:
            raise UsageError(f"'{printable(path)}' exists already; add --overwrite to replace it")
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise UsageError(f"'{printable(path)}' cannot be written: {reason}") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
