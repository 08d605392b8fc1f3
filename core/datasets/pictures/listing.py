"""Every picture that a batch names, in order, on disk rather than in memory: a million of them cost no more than ten.

The list is a temporary table of the ledger's database, made anew by every run, since folders change. An item says how
its source finds it again, so that a picture is read when its turn comes and not before.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from core.datasets.pictures.sources import Item
from core.errors import ImageError, printable

if TYPE_CHECKING:
    from core.datasets.pictures.sources import Found, PictureSource

CHUNK: Final = 500

_TABLES: Final = (
    "CREATE TEMP TABLE listing (n INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, source INT, part INT, cursor INT)",
    "CREATE TEMP TABLE sorting (place BLOB, key BLOB, part INT, cursor INT)",
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which of the listed pictures are this run's: every `of`-th from `shard` on, at most `limit`."""

    shard: int = 0
    of: int = 1
    limit: int | None = None

    @property
    def where(self) -> str:
        """As SQL, of plain numbers."""
        bound = f" AND l.n < {self.limit * self.of}" if self.limit is not None else ""
        return f"l.n % {self.of} = {self.shard}{bound}"


class Listing:
    """Fill it with `add`, then read it in order. Lives in the ledger's connection, and keeps to its lock."""

    def __init__(self, connection: sqlite3.Connection, lock: threading.RLock) -> None:
        self._db = connection
        self._lock = lock
        for table in _TABLES:
            self._db.execute(table)
        self.repeated = 0  # named more than once
        self.first_repeated = ""
        self._count = 0

    def add(self, sources: Sequence[PictureSource]) -> Iterator[int]:
        """List everything the sources name; yields how many pictures were found so far, now and then.

        Raises UsageError or ImageError of a source, and ImageError where one names no picture at all.
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
            rows = [(_place(key), as_blob(key), part, cursor) for key, part, cursor in some]
            self._db.executemany("INSERT INTO sorting VALUES (?, ?, ?, ?)", rows)
            yield self._count + len(rows)
        ordered = self._db.execute("SELECT key, part, cursor FROM sorting ORDER BY place")
        yield from self._insert(number, source, ((from_blob(key), part, cursor) for key, part, cursor in ordered))
        self._db.execute("DELETE FROM sorting")

    def _insert(self, number: int, source: PictureSource, found: Iterator[Found]) -> Iterator[int]:
        while some := list(islice(found, CHUNK)):
            for key, part, cursor in some:
                if self._put(number, key, part, cursor) or self._put_under_another_key(
                    number, source, key, part, cursor
                ):
                    self._count += 1
                else:
                    self.repeated += 1
                    self.first_repeated = self.first_repeated or key
            yield self._count

    def _put(self, number: int, key: str, part: int, cursor: int) -> bool:
        """Whether nothing has this key yet."""
        row = (self._count, as_blob(key), number, part, cursor)
        return self._db.execute("INSERT OR IGNORE INTO listing VALUES (?, ?, ?, ?, ?)", row).rowcount == 1

    def _put_under_another_key(self, number: int, source: PictureSource, key: str, part: int, cursor: int) -> bool:
        """For two pictures of one shard that would share a key (a.jpg, a.png): False where it is the same picture."""
        if part < 0 or self._is_there(key, cursor):
            return False
        name = source.name_of(part, cursor)
        for other in (name, f"{name}@{cursor}"):  # two members may even have the same name
            if self._put(number, other, part, cursor):
                return True
            if self._is_there(other, cursor):
                return False
        return False

    def _is_there(self, key: str, cursor: int) -> bool:
        found = self._db.execute("SELECT cursor FROM listing WHERE key = ?", (as_blob(key),)).fetchone()
        return found is not None and found[0] == cursor

    def items(self, scope: Scope, condition: str) -> Iterator[Item]:
        """The items of a scope whose state fulfils `condition` (SQL about i, their row in the ledger), in order.

        States may change while this is read: an item that was given does not come again.
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
        """How many `items` there are."""
        query = f"SELECT count(*) FROM listing l LEFT JOIN item i ON i.key = l.key WHERE {scope.where} AND {condition}"
        with self._lock:
            return int(self._db.execute(query).fetchone()[0])

    def shared(self, place: Callable[[str], str]) -> tuple[str, str, str] | None:
        """Two items for which `place` gives the same, and that; None where there are none."""
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

    def find(self, key: str) -> Item | None:
        """The item of this name, where it is still listed."""
        query = "SELECT n, key, source, part, cursor FROM listing WHERE key = ?"
        with self._lock:
            row = self._db.execute(query, (as_blob(key),)).fetchone()
        return Item(row[0], key, *row[2:]) if row else None


def as_blob(key: str) -> bytes:
    """SQLite's texts hold no lone surrogates, and file names that are not UTF-8 are made of them."""
    return key.encode("utf-8", errors="surrogatepass")


def from_blob(key: bytes) -> str:
    return key.decode("utf-8", errors="surrogatepass")


def _place(key: str) -> bytes:
    """Sorts as paths do: part by part, so that what lies in one folder stays together."""
    return as_blob(key).replace(b"/", b"\0")
