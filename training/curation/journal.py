"""Files that survive a kill: records that are only ever appended, and files that are whole or not there.

A record is on the disk when `CurationJournal.append` returns. A process killed while it writes leaves at most one torn
last line, which the next one cuts off: its record was never reported as done, so the work is done again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from io import RawIOBase
from pathlib import Path
from typing import Any

from core.errors import StoreError, printable, why
from core.files.atomic import replacing, sync_folder

Record = dict[str, Any]


class CurationJournal:
    """JSON Lines at `path`; a file that is not there holds nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Record]:
        """All records, oldest first; a torn last line is left out. Raises StoreError for any other broken line."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"'{printable(self.path)}' cannot be read: {why(error)}.") from None
        *whole, last = data.split(b"\n")
        records = []
        for number, line in enumerate(whole, start=1):
            if not line.strip():
                continue
            record = _parse(line)
            if record is None:
                raise StoreError(
                    f"line {number} of '{printable(self.path)}' is no JSON object; mend that line or remove it."
                )
            records.append(record)
        if (tail := _parse(last)) is not None:  # complete but for its line end, as editors leave it
            records.append(tail)
        return records

    def append(self, *records: Mapping[str, Any]) -> None:
        """Write `records` in one go and wait for the disk. Raises StoreError."""
        if not records:
            return
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        try:
            is_new = not self.path.exists()
            if is_new:
                self.path.touch()
            with self.path.open("r+b", buffering=0) as file:
                _wait_for_others(file)
                _settle_tail(file)
                # a lone surrogate becomes \udcxx, which JSON reads back as what it was
                _write(file, lines.encode("utf-8", errors="backslashreplace"))
                os.fsync(file.fileno())
            if is_new:
                sync_folder(self.path.parent)
        except OSError as error:
            raise StoreError(f"'{printable(self.path)}' cannot be written: {why(error)}.") from None


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content`: after a kill it is the old one or the new one. Raises StoreError."""
    data = content.encode("utf-8", errors="backslashreplace") if isinstance(content, str) else content
    with replacing(path, StoreError) as file:
        file.write(data)


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Replace `path` by these records. Raises StoreError."""
    write_whole(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace `path` by one JSON object, indented. Raises StoreError."""
    write_whole(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def clear_torn(folder: Path) -> None:
    """Remove what `write_whole` left in `folder` when it was killed. Nobody else may be writing there."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


def read_json(path: Path) -> Record | None:
    """The JSON object at `path`, None where there is none. Raises StoreError."""
    try:
        found = _parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"'{printable(path)}' cannot be read: {why(error)}.") from None
    if found is None:
        raise StoreError(f"'{printable(path)}' is no JSON object; restore it from a copy, or begin in another folder.")
    return found


def _parse(line: bytes) -> Record | None:
    try:
        value = json.loads(line.decode("utf-8", errors="surrogatepass"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _wait_for_others(file: RawIOBase) -> None:
    """Two people may label at once; the lock goes when the file is closed."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    fcntl.flock(file.fileno(), fcntl.LOCK_EX)


def _settle_tail(file: RawIOBase) -> None:
    """Go to where the next record belongs: a last line without its end gets it if it is a record, and is cut if not."""
    size = start = file.seek(0, os.SEEK_END)
    tail = b""
    while start > 0 and b"\n" not in tail:
        step = min(start, 1 << 16)
        start = file.seek(start - step)
        tail = (file.read(step) or b"") + tail
    last = tail.rpartition(b"\n")[2]
    if last and _parse(last) is None:
        file.truncate(size - len(last))
    file.seek(0, os.SEEK_END)
    if last and _parse(last) is not None:
        _write(file, b"\n")


def _write(file: RawIOBase, data: bytes) -> None:
    while data:
        data = data[file.write(data) or 0 :]
