"""Write files atomically: after a kill or a full disk there is the old file or the new one.

A new file gets the default mode by being opened normally. Reading the umask would change it for other threads.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from core.errors import printable, why


@contextmanager
def replacing(
    path: Path,
    failed: Callable[[str], Exception],
    *,
    taken: str = "",
    part: str | None = None,
    sync: bool = True,
) -> Iterator[BinaryIO]:
    """A binary file that replaces `path` if the block succeeds, and is deleted otherwise.

    `failed` makes the error from a line with the file and the cause. With `taken` the file must be new; it is the way
    out otherwise. `part` is the temporary name: a later run overwrites a fixed one after a kill, but only one process
    may write at a time. `sync` waits for the disk.
    """
    growing = path.with_name(part or f".{path.name[:40]}-{secrets.token_hex(4)}.part")
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0) | (os.O_TRUNC if part else os.O_EXCL)
    try:
        with open(growing, "wb", opener=lambda name, _: os.open(name, flags, 0o666)) as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        if taken and path.exists():
            raise failed(f"'{printable(path)}' exists already; {taken}")
        os.replace(growing, path)
        if sync:
            sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            growing.unlink()
        if isinstance(error, OSError):
            raise failed(f"'{printable(path)}' cannot be written: {why(error)}") from None
        raise


def sync_folder(folder: Path) -> None:
    """Sync the names in `folder` to the disk, where the system supports it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
