"""Count equal pictures and captions in a temporary database on disk, so that memory does not grow with the data."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from typing import Literal, Self

from core.datasets.samples.sample import DataError

Table = Literal["pictures", "captions"]


class DuplicateLedger:
    """Counts of equal pictures and captions; use it in a `with`. Raises DataError if the disk is full."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("", isolation_level=None)  # in a temporary file that SQLite deletes
        for table in ("pictures", "captions"):
            self._base.execute(f"CREATE TABLE {table} (sha BLOB PRIMARY KEY, name TEXT, times INTEGER) WITHOUT ROWID")
        self._base.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def add_picture(self, sha256: str, key: str) -> None:
        """Count a picture with these bytes."""
        self._add("pictures", bytes.fromhex(sha256), key)

    def add_caption(self, text: str) -> None:
        """Count a caption; letter case and blanks do not matter."""
        plain = " ".join(text.casefold().split()).encode(errors="surrogatepass")
        self._add("captions", hashlib.sha256(plain).digest()[:16], text[:500])

    def repeated(self, table: Table, most: int) -> tuple[int, list[tuple[str, int]]]:
        """Return (how many there are too many, the name and count of the most frequent ones)."""
        (extra,) = self._base.execute(f"SELECT COALESCE(SUM(times - 1), 0) FROM {table}").fetchone()
        rows = self._base.execute(
            f"SELECT name, times FROM {table} WHERE times > 1 ORDER BY times DESC, name LIMIT ?", (most,)
        )
        return int(extra), rows.fetchall()

    def _add(self, table: Table, sha: bytes, name: str) -> None:
        try:
            self._base.execute(
                f"INSERT INTO {table} VALUES (?, ?, 1) ON CONFLICT (sha) DO UPDATE SET times = times + 1",
                (sha, name.encode(errors="replace").decode()),
            )
        except sqlite3.Error as error:
            raise DataError(
                f"duplicates cannot be counted in {tempfile.gettempdir()}: {error}; free space there, or set TMPDIR."
            ) from None
