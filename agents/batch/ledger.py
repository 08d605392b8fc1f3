"""What has become of each picture: the journal, and an index of it on disk so that memory stays flat.

The index is derived: it is brought up to date from the journal when it is opened, and made anew where it is lost,
damaged, or belongs to another journal.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from core.datasets.pictures.listing import Listing, as_blob, from_blob
from core.datasets.pictures.sources import Item
from core.errors import StoreError, printable
from core.files.journal import Journal, Record
from core.records import Caption

DONE, SAME, FAILED = 1, 2, 3  # SAME: it has the bytes of another picture, and shares that one's caption
EVERY: Final = 2.0  # seconds between two waits for the disk: what a power cut may cost
LAYOUT: Final = 2  # of the index; one with another layout is made anew
PENDING, FINISHED, GAVE_UP = "i.key IS NULL", f"i.state IN ({DONE}, {SAME})", f"i.state = {FAILED}"

_LAYOUT: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value)",
    "CREATE TABLE item (key BLOB PRIMARY KEY, n INT, state INT, begin INT, truncated INT) WITHOUT ROWID",
    "CREATE INDEX item_n ON item (n, key)",
    f"CREATE INDEX item_same ON item (begin, n, key) WHERE state = {SAME}",
    f"PRAGMA user_version = {LAYOUT}",
    "CREATE TABLE picture (sha256 BLOB PRIMARY KEY, begin INT) WITHOUT ROWID",
)


class CaptionRow(NamedTuple):
    """A captioned picture, as outputs get it."""

    n: int
    key: str
    caption: Caption
    same_as: str | None  # the key of the picture whose caption this is


class Failure(NamedTuple):
    """A picture that was given up, and why."""

    n: int
    key: str
    where: str  # "picture", "eye" or "questioner"
    reason: str


class Ledger:
    """Journal and index in `folder`, which exists. One process at a time. Raises StoreError."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder / "journal.jsonl")
        self.lock = threading.RLock()
        self._index = folder / "index.sqlite"
        self._last = time.monotonic()
        try:
            self._db = self._opened()
        except sqlite3.DatabaseError:
            self._forget()
            self._db = self._opened()

    # --- writing --------------------------------------------------------------------------------------------------

    def done(self, item: Item, caption: Caption) -> None:
        """Keep a finished caption."""
        self._add({"kind": "done", "n": item.n, "key": item.key, "caption": caption.model_dump(mode="json")})

    def same(self, item: Item, sha256: str) -> None:
        """`item` has the bytes of a picture whose caption is kept."""
        self._add({"kind": "same", "n": item.n, "key": item.key, "sha256": sha256})

    def failed(self, item: Item, where: str, reason: str, caption: Caption | None) -> None:
        """Set a picture aside; `caption` is what had been learned of it."""
        kept = caption.model_dump(mode="json") if caption is not None and caption.dialogue.turns else None
        record = {"kind": "failed", "n": item.n, "key": item.key, "where": where, "reason": reason, "caption": kept}
        self._add(record)

    def note(self, kind: str, **facts: Any) -> None:
        """Anything else worth keeping."""
        self._add({"kind": kind, **facts})

    def _add(self, record: Record) -> None:
        with self.lock, _explained(self._index):
            self._apply(self.journal.append(record), record)
            if time.monotonic() - self._last >= EVERY:
                self.commit()

    def commit(self) -> None:
        """Wait for the disk; the index never knows more than the journal."""
        with self.lock, _explained(self._index):
            self.journal.sync()
            self._set("indexed", self.journal.size)
            self._db.execute("COMMIT")
            self._db.execute("BEGIN")
            self._last = time.monotonic()

    def close(self) -> None:
        """Commit, and let go of the files."""
        try:
            self.commit()
        finally:
            self._db.close()
            self.journal.close()

    # --- reading --------------------------------------------------------------------------------------------------

    def listing(self) -> Listing:
        """An empty listing that knows what has become of its items."""
        return Listing(self._db, self.lock)

    def knows(self, sha256: str) -> bool:
        """Whether the caption of a picture with these bytes is kept."""
        with self.lock:
            return bool(self._one("SELECT 1 FROM picture WHERE sha256 = ?", bytes.fromhex(sha256)))

    def known(self) -> Iterator[bytes]:
        """The sha256 of each picture whose caption is kept."""
        last = b""
        while True:
            with self.lock:
                some = self._db.execute(
                    "SELECT sha256 FROM picture WHERE sha256 > ? ORDER BY sha256 LIMIT 1000", (last,)
                ).fetchall()
            if not some:
                return
            yield from (digest for (digest,) in some)
            [last] = some[-1]

    def partial(self, key: str) -> Caption | None:
        """What had been learned of a picture that was given up."""
        with self.lock:
            begin = self._one("SELECT begin FROM item WHERE key = ? AND state = ?", as_blob(key), FAILED)
        kept = self.journal.at(begin)["caption"] if begin is not None else None
        return Caption.model_validate(kept) if kept else None

    def caption(self, key: str) -> Caption:
        """The caption of a picture that has one. Raises StoreError."""
        with self.lock:
            begin = self._one("SELECT begin FROM item WHERE key = ? AND state IN (1, 2)", as_blob(key))
        if begin is None:
            raise StoreError(f"there is no caption of '{printable(key)}'.")
        return Caption.model_validate(self.journal.at(begin)["caption"])

    def rows(self, first: int = 0, stop: int | None = None) -> Iterator[CaptionRow]:
        """Captioned pictures in the order of the input, those with `first` <= n < `stop`."""
        bound = f" AND n < {stop}" if stop is not None else ""
        query = f"SELECT key, n, begin FROM item WHERE n >= ? {bound} AND state IN (1, 2) ORDER BY n, key"
        with self.journal.reader() as record_at:
            for key, n, begin in self._db.execute(query, (first,)):
                record = record_at(begin)
                original = self._original(record["key"], begin)
                caption = Caption.model_validate(record["caption"])
                yield CaptionRow(n, from_blob(key), caption, from_blob(original) if original != key else None)

    def _original(self, key: str, begin: int) -> bytes:
        """Of the pictures that share a caption the first of the input, whichever of them was interviewed about.

        On one machine that is always the first. Several workers come to them in any order.
        """
        twin = self._db.execute(
            f"SELECT n, key FROM item WHERE begin = ? AND state = {SAME} ORDER BY n, key LIMIT 1", (begin,)
        ).fetchone()
        done = as_blob(key)
        if twin is None:
            return done
        return done if (self._one("SELECT n FROM item WHERE key = ?", done), done) < twin else bytes(twin[1])

    def failures(self) -> Iterator[Failure]:
        """Pictures that were given up, in the order of the input."""
        query = f"SELECT key, begin FROM item WHERE state = {FAILED} ORDER BY n, key"
        with self.journal.reader() as record_at:
            for key, begin in self._db.execute(query):
                record = record_at(begin)
                yield Failure(record["n"], from_blob(key), record["where"], record["reason"])

    def notes(self, kind: str) -> list[Record]:
        """What `note` kept of this kind, oldest first: only the newest 100."""
        with self.lock:
            found = self._db.execute(
                "SELECT value FROM meta WHERE name LIKE ? ORDER BY CAST(substr(name, ?) AS INT) DESC LIMIT 100",
                (f"note:{kind}:%", len(f"note:{kind}:") + 1),
            ).fetchall()
        return [self.journal.at(begin) for (begin,) in reversed(found)]

    def tally(self) -> dict[int, int]:
        """How many pictures are in each state, whether or not they are still listed."""
        with self.lock:
            return dict(self._db.execute("SELECT state, count(*) FROM item GROUP BY state").fetchall())

    def renumber(self) -> None:
        """Give every listed picture its present place: new ones may have come between those that are settled."""
        with self.lock, _explained(self._index):
            self._db.execute("UPDATE item SET n = l.n FROM temp.listing l WHERE l.key = item.key AND item.n != l.n")

    def highest(self) -> int:
        """The largest n there is, -1 where there is none."""
        found = self._one("SELECT max(n) FROM item")
        return -1 if found is None else int(found)

    def settled(self, first: int, stop: int) -> int:
        """How many pictures with `first` <= n < `stop` have a caption."""
        query = "SELECT count(*) FROM item WHERE n >= ? AND n < ? AND state IN (1, 2)"
        return int(self._one(query, first, stop) or 0)

    def state_of(self, first: int, stop: int) -> str:
        """Changes whenever what `rows` gives for this stretch does, twins elsewhere included."""
        query = (
            "SELECT count(*), total(place), count(twin), total(twin) FROM (SELECT i.begin % 9973 * (i.n % 9973 + 1) "
            f"AS place, (SELECT min(s.n) FROM item s WHERE s.begin = i.begin AND s.state = {SAME}) AS twin "
            "FROM item i WHERE i.n >= ? AND i.n < ? AND i.state IN (1, 2))"
        )
        return "{}:{:.0f}:{}:{:.0f}".format(*self._db.execute(query, (first, stop)).fetchone())

    # --- small facts that outputs keep ----------------------------------------------------------------------------

    def get(self, name: str) -> Any:
        """A fact that `set` kept, else None. It is lost with the index, so it must be one that can be found again."""
        with self.lock:
            return self._one("SELECT value FROM meta WHERE name = ?", name)

    def set(self, name: str, value: str | int) -> None:
        """Keep a small fact beside the index, from the next commit on."""
        with self.lock, _explained(self._index):
            self._set(name, value)

    def _set(self, name: str, value: str | int) -> None:
        self._db.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = ?2", (name, value))

    def _one(self, query: str, *values: Any) -> Any:
        row = self._db.execute(query, values).fetchone()
        return row[0] if row else None

    # --- the index ------------------------------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        """The index, made anew where it is not this journal's, and brought up to date."""
        db = self._connected()
        first = next(self.journal.read(), None)
        identity = first[1].get("id") if first else None
        known = dict(db.execute("SELECT name, value FROM meta WHERE name IN ('id', 'indexed')").fetchall())
        [layout] = db.execute("PRAGMA user_version").fetchone()
        if layout != LAYOUT or known.get("id") != identity or known.get("indexed", 0) > self.journal.size:
            db.close()
            self._forget()
            db, known = self._connected(), {}
        self._db = db
        if identity is None:
            identity = secrets.token_hex(8)
            self.journal.append({"kind": "begin", "id": identity})
        self._set("id", identity)
        with self.lock:
            for begin, record in self.journal.read(known.get("indexed", 0)):
                self._apply(begin, record)
        self.commit()
        return db

    def _connected(self) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(self._index, isolation_level=None, check_same_thread=False, timeout=30)
        except sqlite3.OperationalError as error:
            raise StoreError(f"'{printable(self._index)}' cannot be opened: {printable(error)}.") from None
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA cache_size = -16000")  # kilobytes, however large the file grows
            db.execute("BEGIN")
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                for statement in _LAYOUT:
                    db.execute(statement)
        except BaseException:
            db.close()
            raise
        return db

    def _forget(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self._index}{suffix}").unlink()

    def _apply(self, begin: int, record: Record) -> None:
        kind = record.get("kind")
        try:
            if kind == "done":
                sha256 = bytes.fromhex(record["caption"]["picture"]["sha256"])
                self._db.execute("INSERT OR IGNORE INTO picture VALUES (?, ?)", (sha256, begin))
                self._put(record, DONE, begin, truncated=bool(record["caption"].get("truncated")))
            elif kind == "same":
                first = self._one("SELECT begin FROM picture WHERE sha256 = ?", bytes.fromhex(record["sha256"]))
                self._put(record, SAME, first)
            elif kind == "failed":
                self._put(record, FAILED, begin)
            elif kind != "begin":
                self._set(f"note:{kind}:{begin}", begin)
        except (KeyError, TypeError, ValueError):
            raise StoreError(
                f"the journal '{printable(self.journal.path)}' holds no record of a batch at byte {begin}."
            ) from None

    def _put(self, record: Record, state: int, begin: int | None, *, truncated: bool = False) -> None:
        if begin is None:
            raise ValueError("the caption it shares is not there")
        self._db.execute(
            "INSERT INTO item VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET n = ?2, state = ?3, begin = ?4, truncated = ?5",
            (as_blob(record["key"]), record["n"], state, begin, truncated),
        )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"'{printable(path)}' cannot be written: {printable(error)}.") from None
