"""Locks between processes. The system frees a lock when its process ends, so that a kill leaves nothing locked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import why


@contextmanager
def only_process(
    path: Path, busy: Exception, failed: Callable[[str], Exception], *, wait: float = 0.0, delete: bool = False
) -> Iterator[None]:
    """Hold the lock file `path`; its folder is made if it is missing. Threads exclude each other, too.

    Raises `busy` if another process still holds it after `wait` seconds, and what `failed` makes of the cause if the
    file cannot be made. `delete` removes the file at the end.
    """
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(timeout=wait)
    except Timeout:
        raise busy from None
    except OSError as error:
        raise failed(why(error)) from None
    try:
        yield
    finally:
        lock.release()
        if delete:
            path.unlink(missing_ok=True)
