"""Which pictures and captions came before: in a temporary database on disk, so that memory does not grow."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from core.datasets.samples.sample import DataError

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE pictures (sha BLOB PRIMARY KEY, name TEXT, times INTEGER) WITHOUT ROWID;
CREATE TABLE captions (sha BLOB PRIMARY KEY, name TEXT, times INTEGER) WITHOUT ROWID;
"""


class DuplicateLedger:
    """Counts equal pictures and equal captions. Use it in a `with`. Raises DataError where the disk is full."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="inquisight-")
        self._base = sqlite3.connect(Path(self._folder.name, "seen.sqlite"), isolation_level=None)
        self._base.executescript(_SCHEMA)
        self._base.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()
        self._folder.cleanup()

    def picture(self, sha256: str, key: str) -> None:
        """One more picture with these bytes."""
        self._add("pictures", bytes.fromhex(sha256), key)

    def caption(self, text: str) -> None:
        """One more of these texts; letter case and blanks do not count."""
        plain = " ".join(text.casefold().split()).encode(errors="surrogatepass")
        self._add("captions", hashlib.sha256(plain).digest()[:16], text[:500])

    def repeated_pictures(self, most: int = 10) -> tuple[int, list[tuple[str, int]]]:
        """(pictures too many, the first key and how often, of those that come most often)."""
        return self._repeated("pictures", most)

    def repeated_captions(self, most: int = 10) -> tuple[int, list[tuple[str, int]]]:
        """(captions too many, the text and how often, of those that come most often)."""
        return self._repeated("captions", most)

    def _add(self, table: str, sha: bytes, name: str) -> None:
        try:
            self._base.execute(
                f"INSERT INTO {table} VALUES (?, ?, 1) ON CONFLICT (sha) DO UPDATE SET times = times + 1",
                (sha, name.encode(errors="replace").decode()),
            )
        except sqlite3.Error as error:
            raise DataError(
                f"what was seen cannot be kept in {tempfile.gettempdir()}: {error}; make room there, or set TMPDIR."
            ) from None

    def _repeated(self, table: str, most: int) -> tuple[int, list[tuple[str, int]]]:
        (extra,) = self._base.execute(f"SELECT COALESCE(SUM(times - 1), 0) FROM {table}").fetchone()
        rows = self._base.execute(
            f"SELECT name, times FROM {table} WHERE times > 1 ORDER BY times DESC, name LIMIT ?", (most,)
        )
        return int(extra), [(str(name), int(times)) for name, times in rows]
