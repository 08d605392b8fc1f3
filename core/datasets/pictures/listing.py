"""List every picture that a batch names, in order, on disk: a million of them take no more memory than ten.

The list is a temporary table of the ledger's database, built anew by every run, because folders change. An item records
how its source finds it again, so that a picture is read only when it is needed.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from core.datasets.pictures.sources import Found, Item, PictureSource
from core.errors import ImageError, printable

CHUNK: Final = 500

_TABLES: Final = (
    "CREATE TEMP TABLE listing (n INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, source INT, part INT, cursor INT)",
    "CREATE TEMP TABLE sorting (place BLOB, key BLOB, part INT, cursor INT)",
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which of the listed pictures belong to this run: every `of`-th from `shard` on, at most `limit`."""

    shard: int = 0
    of: int = 1
    limit: int | None = None

    @property
    def where(self) -> str:
        """The scope as SQL, of plain numbers."""
        bound = f" AND l.n < {self.limit * self.of}" if self.limit is not None else ""
        return f"l.n % {self.of} = {self.shard}{bound}"


class Listing:
    """Fill it with `add`, then read it in order. Uses the ledger's connection and its lock."""

    def __init__(self, connection: sqlite3.Connection, lock: threading.RLock) -> None:
        self._db = connection
        self._lock = lock
        for table in _TABLES:
            self._db.execute(table)
        self.repeated = 0  # named more than once
        self.first_repeated = ""
        self._count = 0

    def add(self, sources: Sequence[PictureSource]) -> Iterator[int]:
        """List everything the sources name; yields, now and then, how many pictures were found so far.

        Raises UsageError or ImageError of a source, and ImageError if one names no picture at all.
        """
        for number, source in enumerate(sources):
            before = self._count + self.repeated
            if source.sorted:
                yield from self._insert(number, source, source.scan())
            else:
                yield from self._insert_sorted(number, source)
            if self._count + self.repeated == before:
                where = "standard input" if source.name == "-" else f"'{printable(source.name)}'"
                raise ImageError(f"{where} names no pictures; give the path of one in each line, or row of a table.")

    def _insert_sorted(self, number: int, source: PictureSource) -> Iterator[int]:
        found = source.scan()
        while some := list(islice(found, CHUNK)):
            # part by part of the path, so that the files of one folder stay together
            rows = [(as_blob(key).replace(b"/", b"\0"), as_blob(key), part, cursor) for key, part, cursor in some]
            self._db.executemany("INSERT INTO sorting VALUES (?, ?, ?, ?)", rows)
            yield self._count + len(rows)
        ordered = self._db.execute("SELECT key, part, cursor FROM sorting ORDER BY place")
        yield from self._insert(number, source, ((from_blob(key), part, cursor) for key, part, cursor in ordered))
        self._db.execute("DELETE FROM sorting")

    def _insert(self, number: int, source: PictureSource, found: Iterator[Found]) -> Iterator[int]:
        while some := list(islice(found, CHUNK)):
            for one in some:
                if self._put(number, source, *one):
                    self._count += 1
                else:
                    self.repeated += 1
                    self.first_repeated = self.first_repeated or one[0]
            yield self._count

    def _put(self, number: int, source: PictureSource, key: str, part: int, cursor: int) -> bool:
        """Add a picture, if it is not listed; two of one shard may share a key (a.jpg, a.png) or even a name."""
        for attempt in range(3):
            if attempt == 1:
                key = source.name_of(part, cursor)
            elif attempt == 2:
                key = f"{key}@{cursor}"
            row = (self._count, as_blob(key), number, part, cursor)
            if self._db.execute("INSERT OR IGNORE INTO listing VALUES (?, ?, ?, ?, ?)", row).rowcount:
                return True
            [there] = self._db.execute("SELECT cursor FROM listing WHERE key = ?", (as_blob(key),)).fetchone()
            if part < 0 or there == cursor:
                return False
        return False

    def items(self, scope: Scope, condition: str) -> Iterator[Item]:
        """Yield the items of a scope whose state fulfils `condition` (SQL about i, their row in the ledger), in order.

        States may change meanwhile: an item does not come again.
        """
        query = (
            "SELECT l.n, l.key, l.source, l.part, l.cursor FROM listing l LEFT JOIN item i ON i.key = l.key "
            f"WHERE l.n > ? AND {scope.where} AND {condition} ORDER BY l.n LIMIT {CHUNK}"
        )
        after = -1
        while True:
            with self._lock:
                some = self._db.execute(query, (after,)).fetchall()
            if not some:
                return
            for n, key, source, part, cursor in some:
                yield Item(n, from_blob(key), source, part, cursor)
            after = some[-1][0]

    def count(self, scope: Scope, condition: str = "1") -> int:
        """Return the number of `items`."""
        query = f"SELECT count(*) FROM listing l LEFT JOIN item i ON i.key = l.key WHERE {scope.where} AND {condition}"
        with self._lock:
            return int(self._db.execute(query).fetchone()[0])

    def shared(self, place: Callable[[str], str]) -> tuple[str, str, str] | None:
        """Return two items for which `place` gives the same, and that; None if there are none."""
        self._db.execute("CREATE TEMP TABLE place (name BLOB PRIMARY KEY, key BLOB) WITHOUT ROWID")
        try:
            for item in self.items(Scope(), "1"):
                row = (as_blob(place(item.key)), as_blob(item.key))
                if self._db.execute("INSERT OR IGNORE INTO place VALUES (?, ?)", row).rowcount:
                    continue
                [other] = self._db.execute("SELECT key FROM place WHERE name = ?", row[:1]).fetchone()
                return from_blob(other), item.key, from_blob(row[0])
        finally:
            self._db.execute("DROP TABLE place")
        return None

    def remove(self, key: str) -> None:
        """Take a picture out of the list; the positions of the others stay."""
        with self._lock:
            self._db.execute("DELETE FROM listing WHERE key = ?", (as_blob(key),))

    def find(self, key: str) -> Item | None:
        """Return the item of this name, if it is still listed."""
        query = "SELECT n, key, source, part, cursor FROM listing WHERE key = ?"
        with self._lock:
            row = self._db.execute(query, (as_blob(key),)).fetchone()
        return Item(row[0], key, *row[2:]) if row else None


def as_blob(key: str) -> bytes:
    """Encode a key for SQLite: its texts hold no lone surrogates, but file names that are not UTF-8 do."""
    return key.encode("utf-8", errors="surrogatepass")


def from_blob(key: bytes) -> str:
    """Decode a key that `as_blob` encoded."""
    return key.decode("utf-8", errors="surrogatepass")
