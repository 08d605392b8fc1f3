"""Look at the disk: which pictures a caption folder holds, where their captions stand, and what others changed.

One pass over the folder, into temporary tables; files that are unchanged since the last time are not read again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, text

from core.captions.database import ACTIVE, DONE, WRITTEN, Database, now
from core.captions.forms import SUFFIXES, CaptionError, Form, caption_names, stamp_of
from core.captions.lines import fields_of, read_lines
from core.captions.places import batched, read_place, stamp
from core.captions.records import FOUND, Refreshed
from core.datasets.folders import NO_PICTURE, entries_below, judged, suffix_of
from core.datasets.left_out import LeftOut

CHUNK: Final = 1000
GONE: Final = "gone"  # the stamp of a file that was deleted
_PROBLEMS: Final = 5  # that are told; all are counted by queries
TABLES: Final = ("metadata.jsonl", "captions.jsonl")  # others are exports, or named
_TABLES: Final = (
    "CREATE TEMP TABLE seen_picture (path BLOB PRIMARY KEY) WITHOUT ROWID",
    "CREATE TEMP TABLE seen (file BLOB, line BLOB, picture BLOB, rank INT, form TEXT, stamp TEXT, text TEXT, "
    "unsure INT, failed INT)",
)
_SEEN: Final = "INSERT INTO seen VALUES (:file, :line, :picture, :rank, :form, :stamp, :text, :unsure, :failed)"
_MERGE: Final = (
    "CREATE INDEX temp.seen_at ON seen (file, line)",
    "DELETE FROM picture WHERE path NOT IN (SELECT path FROM seen_picture)",
    "INSERT OR IGNORE INTO picture (path, unsure, failed) SELECT path, 0, 0 FROM seen_picture",
    "INSERT OR IGNORE INTO place (file, line, form, folded, stamp, problem, changed) "
    "SELECT file, line, form, '', '', '', '' FROM seen WHERE picture IN (SELECT path FROM seen_picture) "
    "GROUP BY file, line",
    "DELETE FROM held WHERE picture NOT IN (SELECT id FROM picture)",
    "INSERT OR REPLACE INTO held (picture, rank, place) SELECT p.id, s.rank, l.id FROM seen s "
    "JOIN picture p ON p.path = s.picture JOIN place l ON l.file = s.file AND l.line = s.line",
    # What the lines of a .jsonl file tell about an interview.
    "UPDATE picture SET unsure = s.unsure, failed = s.failed FROM "
    "(SELECT picture, max(unsure) AS unsure, max(failed) AS failed FROM seen WHERE form = 'jsonl' GROUP BY picture) s "
    "WHERE s.picture = picture.path AND (s.unsure OR s.failed)",
)
Progress = Callable[[int], None]


class Scan:
    """One look at the disk; the database is locked by the caller."""

    def __init__(self, database: Database, tables: Sequence[Path], progress: Progress | None = None) -> None:
        self.database, self.tables = database, tables
        self.root = database.root
        self.progress = progress or (lambda count: None)
        self.left_out = LeftOut()
        self.change: int | None = None  # of what others changed
        self.changes = 0

    def run(self) -> Refreshed:
        """Update the index. Raises UsageError, CaptionError or StoreError."""
        with self.database.connection() as connection:
            with connection.begin():
                for statement in _TABLES:
                    connection.exec_driver_sql(statement)
            self._walk(connection)
            self._read_tables(connection)
            with connection.begin():
                for statement in _MERGE:
                    connection.exec_driver_sql(statement)
                self._forget_tables(connection)
            self._read_lines(connection)
            self._read_stale(connection)
            self._find_gone(connection)
            with connection.begin():
                if self.change is not None:
                    connection.exec_driver_sql("UPDATE change SET count = ? WHERE id = ?", (self.changes, self.change))
                one = connection.exec_driver_sql
                pictures = one("SELECT count(*) FROM picture").scalar_one()
                captioned = one(
                    "SELECT count(DISTINCT h.picture) FROM held h JOIN place l ON l.id = h.place "
                    "WHERE trim(l.text) != ''"
                ).scalar_one()
                query = (
                    "SELECT DISTINCT l.problem FROM held h JOIN place l ON l.id = h.place WHERE l.problem != '' LIMIT ?"
                )
                problems = tuple(row[0] for row in one(query, (_PROBLEMS,)))
        return Refreshed(pictures, captioned, self.changes, problems, self.left_out)

    # --- finding --------------------------------------------------------------------------------------------------

    def _walk(self, connection: Connection) -> None:
        count = 0
        for some in batched(self._pictures(), CHUNK):
            with connection.begin():
                pictures = [(_blob(path),) for path, _ in some]
                connection.exec_driver_sql("INSERT OR IGNORE INTO seen_picture VALUES (?)", pictures)
                if rows := [row for _, rows in some for row in rows]:
                    connection.execute(text(_SEEN), rows)
            count += len(some)
            self.progress(count)

    def _pictures(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Every picture, relative to the root, with the caption files beside it."""
        entries = entries_below(str(self.root), self.left_out, ordered=True)
        for folder, group in groupby(entries, key=lambda entry: os.path.dirname(entry.path)):
            captions: dict[str, os.DirEntry[str]] = {}
            names: list[str] = []
            for entry in group:
                if suffix_of(entry.name) in SUFFIXES:
                    stem, suffix = os.path.splitext(entry.name)
                    captions.setdefault(stem + suffix.lower(), entry)
                    continue
                reason = judged(entry.path)
                if reason is None:
                    names.append(entry.name)
                elif reason is not NO_PICTURE:
                    self.left_out.add(reason, entry.path)
            within = os.path.relpath(folder, self.root)
            for name in names:
                path = name if within == "." else f"{within}/{name}"
                yield path, list(self._beside(path, name, captions))

    def _beside(self, path: str, name: str, captions: dict[str, os.DirEntry[str]]) -> Iterator[dict[str, Any]]:
        for rank, (form, wanted) in enumerate(caption_names(name)):
            if (entry := captions.get(wanted)) is None:
                continue
            try:
                found = stamp_of(entry.stat())
            except OSError:  # a broken link
                continue
            file = f"{path[: len(path) - len(name)]}{entry.name}"
            yield _seen(file, "", path, rank, form, found)

    def _read_tables(self, connection: Connection) -> None:
        for number, path in enumerate(self.tables):
            fields = fields_of(path)
            if fields is None:
                continue
            file, read_at = self._relative(path), stamp(path)
            names: set[str] = set()  # the first of several lines counts
            for some in batched(read_lines(path, fields), CHUNK):
                rows = []
                for line in some:
                    if line.name in names:
                        continue
                    names.add(line.name)
                    for picture in named_pictures(self.root, line.name):
                        row = _seen(file, line.name, picture, 10 + number, Form.JSONL, read_at)
                        rows.append({**row, "text": line.text, "unsure": line.unsure, "failed": line.failed_audit})
                with connection.begin():
                    if rows:
                        connection.execute(text(_SEEN), rows)

    def _forget_tables(self, connection: Connection) -> None:
        """No picture holds a line of a .jsonl file that is not read this time; its versions stay."""
        read = {_blob(self._relative(path)) for path in self.tables}
        for (file,) in connection.exec_driver_sql("SELECT DISTINCT file FROM place WHERE form = 'jsonl'").fetchall():
            if file not in read:
                query = "DELETE FROM held WHERE place IN (SELECT id FROM place WHERE file = ?)"
                connection.exec_driver_sql(query, (file,))

    def _relative(self, path: Path) -> str:
        within = os.path.relpath(os.path.abspath(path), os.path.abspath(self.root))
        return os.path.abspath(path) if within.startswith("..") else within

    # --- reading --------------------------------------------------------------------------------------------------

    def _read_stale(self, connection: Connection) -> None:
        """Read the caption files that are new or changed."""
        with connection.begin():
            stale = connection.exec_driver_sql(
                "SELECT DISTINCT l.id, s.file, s.form FROM seen s JOIN place l ON l.file = s.file AND l.line = s.line "
                "WHERE s.form != 'jsonl' AND l.stamp != s.stamp"
            ).fetchall()
        for done, some in enumerate(batched(stale, CHUNK)):
            rows = []
            for place, file, form in some:
                path = self.root / _name(file)
                read_at, problem, found = stamp(path), "", None
                try:
                    found = read_place(path, Form(form))
                except CaptionError as error:
                    problem = str(error)
                rows.append((place, read_at or GONE, found, problem))
            with connection.begin():
                self._save(connection, rows)
            self.progress(done * CHUNK)

    def _read_lines(self, connection: Connection) -> None:
        """Take over the texts of .jsonl files, which were read already."""
        query = (
            "SELECT l.id, s.stamp, s.text FROM seen s JOIN place l ON l.file = s.file AND l.line = s.line "
            "WHERE s.form = 'jsonl' AND (l.stamp = '' OR l.text IS NOT s.text) GROUP BY l.id"
        )
        with connection.begin():
            rows = connection.exec_driver_sql(query).fetchall()
        for some in batched(rows, CHUNK):
            with connection.begin():
                self._save(connection, [(place, read_at, found, "") for place, read_at, found in some])

    def _find_gone(self, connection: Connection) -> None:
        """Note the captions whose file or line was deleted; those of pictures that are gone stay."""
        query = (
            "SELECT l.id, l.file, l.form FROM place l WHERE l.text IS NOT NULL AND NOT EXISTS "
            "(SELECT 1 FROM seen s WHERE s.file = l.file AND s.line = l.line)"
        )
        read = {_blob(self._relative(path)) for path in self.tables}
        with connection.begin():
            rows = connection.exec_driver_sql(query).fetchall()
            gone = [
                (place, GONE, None, "")
                for place, file, form in rows
                if not self._exists(file) or (form == Form.JSONL and file in read)
            ]
            self._save(connection, gone)

    def _exists(self, file: bytes) -> bool:
        return os.path.lexists(self.root / _name(file))

    def _save(self, connection: Connection, rows: Sequence[tuple[int, str, str | None, str]]) -> None:
        """Update places (id, stamp, text, problem); a text that differs from a known one becomes a version."""
        one = connection.exec_driver_sql
        for place, read_at, found, problem in rows:
            was, known = one("SELECT text, stamp FROM place WHERE id = ?", (place,)).one()
            if problem or was == found:
                one("UPDATE place SET stamp = ?, problem = ? WHERE id = ?", (read_at, problem, place))
                if not known:
                    one("UPDATE place SET base = text WHERE id = ?", (place,))
                continue
            moment = now()
            if known:
                self._version(connection, place, was, found, moment)
            one(
                "UPDATE place SET text = ?, base = ?, folded = ?, stamp = ?, problem = '', changed = ? WHERE id = ?",
                (found, found, fold(found), read_at, moment if known else "", place),
            )

    def _version(self, connection: Connection, place: int, before: str | None, after: str | None, moment: str) -> None:
        if self.change is None:
            self.change = new_found_change(connection, moment)
        self.changes += 1
        insert_version(connection, self.change, place, before, after)


def named_pictures(root: Path, name: str) -> Iterable[str]:
    """The pictures below `root` that a name in a list may mean: relative to the folder, or to where we are."""
    name = name.replace("\\", "/") if os.sep == "/" else name
    found = {} if os.path.isabs(name) else {os.path.normpath(name): None}
    within = os.path.relpath(os.path.abspath(name), os.path.abspath(root))
    if not within.startswith(".."):
        found[within] = None
    return found


def new_found_change(connection: Connection, moment: str) -> int:
    """A new change that stands for what other programs did."""
    values = (moment, FOUND, "changed by another program", DONE, ACTIVE)
    inserted = connection.exec_driver_sql(
        "INSERT INTO change (created, kind, label, state, undone, count, skipped) VALUES (?, ?, ?, ?, ?, 0, 0)", values
    )
    return int(inserted.lastrowid)


def insert_version(connection: Connection, change: int, place: int, before: str | None, after: str | None) -> None:
    """Save a version that stands on the disk already."""
    values = (change, place, before, after, WRITTEN)
    connection.exec_driver_sql(
        'INSERT INTO version ("change", place, before, after, state) VALUES (?, ?, ?, ?, ?)', values
    )


def fold(caption: str | None) -> str:
    """A caption as it is searched: without upper case."""
    return (caption or "").casefold()


def own_tables(root: Path) -> list[Path]:
    """The .jsonl files of the folder that hold its captions, by the names that data sets and `batch` give them."""
    return [path for name in TABLES if (path := root / name).is_file() and fields_of(path) is not None]


def _seen(file: str, line: str, picture: str, rank: int, form: Form, found: str) -> dict[str, Any]:
    values = {"file": _blob(file), "line": _blob(line), "picture": _blob(picture), "rank": rank, "form": str(form)}
    return {**values, "stamp": found, "text": None, "unsure": 0, "failed": 0}


def _blob(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _name(blob: bytes) -> str:
    return blob.decode("utf-8", "surrogatepass")
