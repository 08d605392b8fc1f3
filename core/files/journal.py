"""Files that survive a kill: append-only JSON Lines, and files that are whole or not there.

A record is safe from a killed process when `append` returns, and from a power cut after `sync`. A process that is
killed while it writes leaves at most one torn last line, which is cut off before the next record: its work was never
reported as done, so it is done again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from core.errors import StoreError, printable, why
from core.files.atomic import replacing, sync_folder

Record = dict[str, Any]


class Journal:
    """Records at `path`, which is created if missing. Raises StoreError.

    One process at a time; with `shared`, others wait until this journal is closed.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self.path = path
        file: BinaryIO | None = None
        try:
            self._file = file = open(path, "a+b", buffering=0)  # noqa: SIM115 - it stays open as long as the batch runs
            if shared:
                _lock(file)
            self.size = self._synced = self._settled()
            if not self.size:
                sync_folder(path.parent)
        except BaseException as error:
            if file is not None:  # an interrupt must not keep the lock
                file.close()
            if isinstance(error, OSError):
                self._fail(error, "opened")
            raise

    def append(self, record: Mapping[str, Any]) -> int:
        """Write one record; gives back the byte at which it begins."""
        begin = self.size
        data = as_bytes(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
        try:
            rest = data
            while rest:
                rest = rest[os.write(self._file.fileno(), rest) :]
        except OSError as error:
            with suppress(OSError):  # a full disk: what was begun must not stand before the next record
                os.ftruncate(self._file.fileno(), begin)
            self._fail(error, "written")
        self.size += len(data)
        return begin

    def sync(self) -> None:
        """Wait until everything appended so far is on the disk."""
        if self._synced == self.size:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._fail(error, "written")
        self._synced = self.size

    def at(self, begin: int) -> Record:
        """The record at byte `begin`, as returned by `append` and `read`."""
        with self._opened() as file:
            return self._record(file, begin)

    def read(self, begin: int = 0) -> Iterator[tuple[int, Record]]:
        """(byte, record) from byte `begin` on, oldest first."""
        with self._opened() as file:
            while begin < self.size:
                record = self._record(file, begin)
                yield begin, record
                begin = file.tell()

    @contextmanager
    def reader(self) -> Iterator[Callable[[int], Record]]:
        """`at` for many records, from one open file."""
        with self._opened() as file:
            yield partial(self._record, file)

    def close(self) -> None:
        """Sync and close the file."""
        if not self._file.closed:
            try:
                self.sync()
            finally:
                self._file.close()

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            file = self.path.open("rb")
        except OSError as error:
            self._fail(error, "read")
        with file:
            yield file

    def _record(self, file: BinaryIO, begin: int) -> Record:
        try:
            file.seek(begin)
            line = file.readline()
        except OSError as error:
            self._fail(error, "read")
        record = _parsed(line)
        if record is None:
            raise StoreError(
                f"the journal '{printable(self.path)}' is damaged at byte {begin}; restore it from a copy, or start "
                "again with another --out."
            )
        return record

    def _settled(self) -> int:
        """The size, after a torn last line was removed or its missing line end was added."""
        file = self._file
        size = start = file.seek(0, os.SEEK_END)
        tail = b""
        while start > 0 and b"\n" not in tail:
            step = min(start, 1 << 16)
            start -= step
            file.seek(start)
            tail = (file.read(step) or b"") + tail
        last = tail.rpartition(b"\n")[2]
        if not last:
            return size
        if _parsed(last) is None:
            file.truncate(size - len(last))
            return size - len(last)
        file.write(b"\n")
        return size + 1

    def _fail(self, error: OSError, what: str) -> NoReturn:
        raise StoreError(f"the journal '{printable(self.path)}' cannot be {what}: {why(error)}.") from None


class SharedJournal:
    """Records at `path` that several processes append to; a missing file holds none. Raises StoreError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Record]:
        """All records, oldest first, without a torn last line."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"'{printable(self.path)}' cannot be read: {why(error)}.") from None
        *lines, last = data.split(b"\n")
        records = []
        for number, line in enumerate(lines, start=1):
            if line.strip():
                record = _parsed(line)
                if record is None:
                    raise StoreError(
                        f"line {number} of '{printable(self.path)}' is no JSON object; correct that line or remove it."
                    )
                records.append(record)
        tail = _parsed(last)  # complete but for its line end, as editors leave it
        return [*records, tail] if tail is not None else records

    def append(self, *records: Mapping[str, Any]) -> None:
        """Write `records` and wait for the disk."""
        if records:
            journal: Journal | None = None
            try:  # no context manager: an interrupt on the way into it would keep the lock
                journal = Journal(self.path, shared=True)
                for record in records:
                    journal.append(record)
            finally:
                if journal is not None:
                    journal.close()


def replaced(path: Path) -> AbstractContextManager[BinaryIO]:
    """A binary file that replaces `path` when the block succeeds: after a kill it is the old or the new one.

    A later run overwrites what a kill left behind; one process at a time. Raises StoreError.
    """
    return replacing(path, StoreError, part=f".{path.name}.part")


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content`: after a kill it is the old or the new one. Raises StoreError."""
    with replacing(path, StoreError) as file:
        file.write(as_bytes(content) if isinstance(content, str) else content)


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Replace `path` by JSON Lines. Raises StoreError."""
    write_whole(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace `path` by one JSON object, indented. Raises StoreError."""
    write_whole(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Record | None:
    """The JSON object at `path`, None where there is no file. Raises StoreError."""
    try:
        found = _parsed(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"'{printable(path)}' cannot be read: {why(error)}.") from None
    if found is None:
        raise StoreError(f"'{printable(path)}' is no JSON object; restore it from a copy, or take another folder.")
    return found


def clear_torn(folder: Path) -> None:
    """Remove what `write_whole` left in `folder` when it was killed. Nobody else may be writing there."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


def as_bytes(text: str) -> bytes:
    """UTF-8; a lone surrogate (a file name that is not UTF-8) becomes the JSON escape of the same name."""
    return text.encode("utf-8", errors="backslashreplace")


def _parsed(line: bytes) -> Record | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _lock(file: BinaryIO) -> None:
    """Wait until no other process appends; the lock ends when the file is closed."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    fcntl.flock(file.fileno(), fcntl.LOCK_EX)
