"""The state of each picture: a journal, and an index of it on disk, so memory use stays constant.

The index is derived: opening updates it from the journal, and rebuilds it if it is lost, damaged or of another journal.
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

DONE, DUPLICATE, FAILED = 1, 2, 3  # DUPLICATE: byte-identical to another image; reuses its caption
EVERY: Final = 2.0  # seconds between commits to disk: what a power cut may cost
LAYOUT: Final = 2  # version of the index; one with another layout is rebuilt
PENDING, FINISHED, GAVE_UP = "i.key IS NULL", f"i.state IN ({DONE}, {DUPLICATE})", f"i.state = {FAILED}"

_LAYOUT: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value)",
    "CREATE TABLE item (key BLOB PRIMARY KEY, n INT, state INT, begin INT, truncated INT) WITHOUT ROWID",
    "CREATE INDEX item_n ON item (n, key)",
    f"CREATE INDEX item_same ON item (begin, n, key) WHERE state = {DUPLICATE}",
    f"PRAGMA user_version = {LAYOUT}",
    "CREATE TABLE picture (sha256 BLOB PRIMARY KEY, begin INT) WITHOUT ROWID",
)


class CaptionRow(NamedTuple):
    """A captioned picture for outputs."""

    n: int
    key: str
    caption: Caption
    same_as: str | None  # key of the picture whose caption this is


class Failure(NamedTuple):
    """A failed picture."""

    n: int
    key: str
    where: str  # "picture", "vision", "questioner" or "audit"
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
            self._delete_index()
            self._db = self._opened()

    # --- writing --------------------------------------------------------------------------------------------------

    def done(self, item: Item, caption: Caption, *, alone: bool = False) -> None:
        """Save a finished caption; `alone`: pictures with the same bytes do not share it."""
        record = {"kind": "done", "n": item.n, "key": item.key, "caption": caption.model_dump(mode="json")}
        self._add({**record, "alone": True} if alone else record)

    def duplicate(self, item: Item, sha256: str) -> None:
        """`item` is byte-identical to a picture with a caption."""
        self._add({"kind": "same", "n": item.n, "key": item.key, "sha256": sha256})

    def styled(self, row: CaptionRow) -> None:
        """Replace the caption of a picture, and of those with the same bytes, by one with further styles."""
        caption = row.caption.model_dump(mode="json")
        self._add({"kind": "styled", "n": row.n, "key": row.key, "caption": caption})

    def failed(self, item: Item, where: str, reason: str, caption: Caption | None) -> None:
        """Mark a picture as failed; `caption` is what was learned."""
        partial = caption.model_dump(mode="json") if caption is not None and caption.dialogue.turns else None
        record = {"kind": "failed", "n": item.n, "key": item.key, "where": where, "reason": reason, "caption": partial}
        self._add(record)

    def note(self, kind: str, **facts: Any) -> None:
        """Save any other facts."""
        self._add({"kind": kind, **facts})

    def _add(self, record: Record) -> None:
        with self.lock, _explained(self._index):
            self._apply(self.journal.append(record), record)
            if time.monotonic() - self._last >= EVERY:
                self.commit()

    def commit(self) -> None:
        """Write to disk, the journal first, so the index never knows more."""
        with self.lock, _explained(self._index):
            self.journal.sync()
            self._set("indexed", self.journal.size)
            self._db.execute("COMMIT")
            self._db.execute("BEGIN")
            self._last = time.monotonic()

    def close(self) -> None:
        """Commit, and close the files."""
        try:
            self.commit()
        finally:
            self._db.close()
            self.journal.close()

    # --- reading --------------------------------------------------------------------------------------------------

    def listing(self) -> Listing:
        """An empty listing that knows the state of its items."""
        return Listing(self._db, self.lock)

    def knows(self, sha256: str) -> bool:
        """Whether a picture with these bytes has a caption."""
        with self.lock:
            return bool(self._one("SELECT 1 FROM picture WHERE sha256 = ?", bytes.fromhex(sha256)))

    def known(self) -> Iterator[bytes]:
        """The sha256 of each captioned picture."""
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
        """What was learned of a failed picture."""
        with self.lock:
            begin = self._one("SELECT begin FROM item WHERE key = ? AND state = ?", as_blob(key), FAILED)
        partial = self.journal.at(begin)["caption"] if begin is not None else None
        return Caption.model_validate(partial) if partial else None

    def caption(self, key: str) -> Caption:
        """The caption of a picture. Raises StoreError if it has none."""
        with self.lock:
            begin = self._one("SELECT begin FROM item WHERE key = ? AND state IN (1, 2)", as_blob(key))
        if begin is None:
            raise StoreError(f"there is no caption of '{printable(key)}'.")
        return Caption.model_validate(self.journal.at(begin)["caption"])

    def rows(self, first: int = 0, stop: int | None = None) -> Iterator[CaptionRow]:
        """Captioned pictures with `first` <= n < `stop`, in the order of the input."""
        bound = f" AND n < {stop}" if stop is not None else ""
        query = f"SELECT key, n, begin FROM item WHERE n >= ? {bound} AND state IN (1, 2) ORDER BY n, key"
        with self.journal.reader() as record_at:
            for key, n, begin in self._db.execute(query, (first,)):
                record = record_at(begin)
                original = self._original(record["key"], begin)
                caption = Caption.model_validate(record["caption"])
                yield CaptionRow(n, from_blob(key), caption, from_blob(original) if original != key else None)

    def captions(self) -> Iterator[CaptionRow]:
        """Each caption once, with the picture that it was made for."""
        last: tuple[int, bytes] = (-1, b"")
        query = f"SELECT n, key, begin FROM item WHERE (n, key) > (?, ?) AND state = {DONE} ORDER BY n, key LIMIT 500"
        while True:
            with self.lock:
                some = self._db.execute(query, last).fetchall()
            if not some:
                return
            for n, key, begin in some:
                caption = Caption.model_validate(self.journal.at(begin)["caption"])
                yield CaptionRow(n, from_blob(key), caption, None)
            last = some[-1][:2]

    def twins(self, key: str) -> list[str]:
        """The pictures that have the caption of this one, itself among them."""
        same = "SELECT key FROM item WHERE begin = (SELECT begin FROM item WHERE key = ?) AND state IN (1, 2)"
        with self.lock:
            return [from_blob(one) for (one,) in self._db.execute(same, (as_blob(key),)).fetchall()]

    def _original(self, key: str, begin: int) -> bytes:
        """The first picture of the input that has this caption; several workers caption duplicates in any order."""
        twin = self._db.execute(
            f"SELECT n, key FROM item WHERE begin = ? AND state = {DUPLICATE} ORDER BY n, key LIMIT 1", (begin,)
        ).fetchone()
        done = as_blob(key)
        if twin is None:
            return done
        return done if (self._one("SELECT n FROM item WHERE key = ?", done), done) < twin else bytes(twin[1])

    def failures(self) -> Iterator[Failure]:
        """Failed pictures, in the order of the input."""
        query = f"SELECT key, begin FROM item WHERE state = {FAILED} ORDER BY n, key"
        with self.journal.reader() as record_at:
            for key, begin in self._db.execute(query):
                record = record_at(begin)
                yield Failure(record["n"], from_blob(key), record["where"], record["reason"])

    def notes(self, kind: str) -> list[Record]:
        """The newest 100 facts that `note` saved with this kind, oldest first."""
        with self.lock:
            found = self._db.execute(
                "SELECT value FROM meta WHERE name LIKE ? ORDER BY CAST(substr(name, ?) AS INT) DESC LIMIT 100",
                (f"note:{kind}:%", len(f"note:{kind}:") + 1),
            ).fetchall()
        return [self.journal.at(begin) for (begin,) in reversed(found)]

    def tally(self) -> dict[int, int]:
        """State -> number of pictures, whether or not they are still listed."""
        with self.lock:
            return dict(self._db.execute("SELECT state, count(*) FROM item GROUP BY state").fetchall())

    def renumber(self) -> None:
        """Update the position of every listed picture: new ones may lie between those with a state."""
        with self.lock, _explained(self._index):
            self._db.execute("UPDATE item SET n = l.n FROM temp.listing l WHERE l.key = item.key AND item.n != l.n")

    def highest(self) -> int:
        """The largest n, or -1 if there is none."""
        return int(self._one("SELECT ifnull(max(n), -1) FROM item"))

    def settled(self, first: int, stop: int) -> int:
        """Number of captioned pictures with `first` <= n < `stop`."""
        query = "SELECT count(*) FROM item WHERE n >= ? AND n < ? AND state IN (1, 2)"
        return int(self._one(query, first, stop))

    def state_of(self, first: int, stop: int) -> str:
        """A fingerprint of what `rows` gives for this range; duplicates elsewhere count too."""
        query = (
            "SELECT count(*), total(place), count(twin), total(twin) FROM (SELECT i.begin % 9973 * (i.n % 9973 + 1) "
            f"AS place, (SELECT min(s.n) FROM item s WHERE s.begin = i.begin AND s.state = {DUPLICATE}) AS twin "
            "FROM item i WHERE i.n >= ? AND i.n < ? AND i.state IN (1, 2))"
        )
        return "{}:{:.0f}:{}:{:.0f}".format(*self._db.execute(query, (first, stop)).fetchone())

    # --- small facts that outputs save ----------------------------------------------------------------------------

    def get(self, name: str) -> Any:
        """A fact that `set` saved, or None. It is lost with the index, so it must be recoverable."""
        with self.lock:
            return self._one("SELECT value FROM meta WHERE name = ?", name)

    def set(self, name: str, value: str | int) -> None:
        """Save a small fact beside the index, with the next commit."""
        with self.lock, _explained(self._index):
            self._set(name, value)

    def _set(self, name: str, value: str | int) -> None:
        self._db.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = ?2", (name, value))

    def _one(self, query: str, *values: Any) -> Any:
        row = self._db.execute(query, values).fetchone()
        return row[0] if row else None

    # --- the index ------------------------------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        """The updated index, rebuilt if it is not this journal's."""
        db = self._connected()
        first = next(self.journal.read(), None)
        identity = first[1].get("id") if first else None
        known = dict(db.execute("SELECT name, value FROM meta WHERE name IN ('id', 'indexed')").fetchall())
        [layout] = db.execute("PRAGMA user_version").fetchone()
        if layout != LAYOUT or known.get("id") != identity or known.get("indexed", 0) > self.journal.size:
            db.close()
            self._delete_index()
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
            db.execute("PRAGMA cache_size = -16000")  # kilobytes, however large the file is
            db.execute("BEGIN")
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                for statement in _LAYOUT:
                    db.execute(statement)
        except BaseException:
            db.close()
            raise
        return db

    def _delete_index(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self._index}{suffix}").unlink()

    def _apply(self, begin: int, record: Record) -> None:
        kind = record.get("kind")
        try:
            if kind == "done":
                sha256 = bytes.fromhex(record["caption"]["picture"]["sha256"])
                if not record.get("alone"):
                    self._db.execute("INSERT OR IGNORE INTO picture VALUES (?, ?)", (sha256, begin))
                self._put(record, DONE, begin, truncated=bool(record["caption"].get("truncated")))
            elif kind == "same":
                first = self._one("SELECT begin FROM picture WHERE sha256 = ?", bytes.fromhex(record["sha256"]))
                self._put(record, DUPLICATE, first)
            elif kind == "styled":
                before = self._one("SELECT begin FROM item WHERE key = ?", as_blob(record["key"]))
                for table in ("picture", "item"):
                    self._db.execute(f"UPDATE {table} SET begin = ? WHERE begin = ?", (begin, before))
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
            raise ValueError("the caption of its duplicate is missing")
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
