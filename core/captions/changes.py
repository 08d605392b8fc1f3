"""Change captions: write down what will change, change the files, note what was done; undo and redo are changes, too.

After a kill, the change is finished by `finish_open`: each file is compared with the texts before and after, so that
nothing is done twice, and a file that another program changed in between is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import Connection

from core.captions.database import ACTIVE, DONE, OPEN, PENDING, REPLACED, SKIPPED, UNDONE, WRITTEN, Database, now
from core.captions.forms import CaptionError, Form
from core.captions.places import batched, read_place, read_table, stamp, write_place, write_table
from core.captions.scan import GONE, Progress, fold, insert_version, new_found_change
from core.captions.selection import HeldPlace
from core.errors import InquisightError

EDIT, UNDO, REDO = "edit", "undo", "redo"  # kinds of changes
_CHUNK: Final = 500  # files between two commits
_AT_ONCE: Final = 8  # files written at the same time
_FEW: Final = 20  # files that are synced one by one


class Planned(NamedTuple):
    """One caption that will change."""

    place: int
    before: str | None
    after: str | None


class _Version(NamedTuple):
    id: int
    place: int
    file: str
    line: str
    form: Form
    before: str | None
    after: str | None


class _Outcome(NamedTuple):
    version: _Version
    state: int
    text: str | None  # now in the file
    current: str | None = None  # in the file before that
    problem: str = ""
    error: InquisightError | None = None  # that ends the change

    @property
    def outside(self) -> bool:
        """Whether another program had changed the caption."""
        return self.current not in (self.version.before, self.version.after)


def start(
    database: Database, label: str, planned: Callable[[Connection], Iterable[Planned]], kind: str, undoes: int | None
) -> int | None:
    """Write down a change; returns its id, None if it changes nothing."""
    with database.transaction(write=True) as connection:
        one = connection.exec_driver_sql
        values = (now(), kind, label, OPEN, undoes, ACTIVE)
        inserted = one(
            "INSERT INTO change (created, kind, label, state, undoes, undone, count, skipped) "
            "VALUES (?, ?, ?, ?, ?, ?, 0, 0)",
            values,
        )
        change = int(inserted.lastrowid)
        count = 0
        for some in batched(planned(connection), _CHUNK):
            count += len(some)
            one(
                'INSERT INTO version ("change", place, before, after, state) VALUES (?, ?, ?, ?, ?)',
                [(change, *row, PENDING) for row in some],
            )
        if not count:
            one("DELETE FROM change WHERE id = ?", (change,))
            return None
    return change


def carry_out(
    database: Database,
    change: int,
    edit: Callable[[str], str] | None = None,
    progress: Progress | None = None,
) -> None:
    """Change the files, and close the change. `edit`: applied again to a caption that another program changed.

    An error ends the change: what is done stays, and can be undone. Raises CaptionError or StoreError.
    """
    done = 0
    try:
        while some := _pending(database, change):
            if some[0].form is Form.JSONL:
                outcomes = _write_table(database, some, edit)
            else:
                outcomes = _write_files(database, some, edit)
            with database.transaction(write=True) as connection:
                _save(connection, database.root, outcomes)
            if (error := next((one.error for one in outcomes if one.error is not None), None)) is not None:
                raise error
            done += len(some)
            if progress is not None:
                progress(done)
    finally:
        _close(database, change)


def finish_open(database: Database) -> int:
    """Finish the changes that a kill interrupted; returns their number."""
    with database.transaction() as connection:
        unfinished = connection.exec_driver_sql("SELECT id FROM change WHERE state = ? ORDER BY id", (OPEN,)).fetchall()
    for (change,) in unfinished:
        carry_out(database, change)
    return len(unfinished)


# --- files ------------------------------------------------------------------------------------------------------------


def _pending(database: Database, change: int) -> list[_Version]:
    """The next captions to write: of files beside pictures, then all of one .jsonl file."""
    query = (
        "SELECT v.id, v.place, l.file, l.line, l.form, v.before, v.after FROM version v JOIN place l ON l.id = v.place "
        'WHERE v."change" = ? AND v.state = ? '
    )
    with database.transaction() as connection:
        rows = connection.exec_driver_sql(
            f"{query} AND l.form != 'jsonl' ORDER BY v.id LIMIT ?", (change, PENDING, _CHUNK)
        ).fetchall()
        if not rows:
            rows = connection.exec_driver_sql(
                f"{query} AND l.file = (SELECT l2.file FROM version v2 JOIN place l2 ON l2.id = v2.place "
                'WHERE v2."change" = ? AND v2.state = ? LIMIT 1)',
                (change, PENDING, change, PENDING),
            ).fetchall()
    return [
        _Version(id, place, _text(file), _text(line), Form(form), before, after)
        for id, place, file, line, form, before, after in rows
    ]


def _text(blob: bytes) -> str:
    return blob.decode("utf-8", "surrogatepass")


def _write_files(database: Database, versions: list[_Version], edit: Callable[[str], str] | None) -> list[_Outcome]:
    several = len(versions) > _FEW and hasattr(os, "sync")

    def write(version: _Version) -> _Outcome:
        path = database.root / version.file
        try:
            current = read_place(path, version.form)
        except CaptionError as error:
            return _Outcome(version, SKIPPED, None, problem=str(error))
        try:
            outcome = _decide(version, current, edit)
            if outcome.state == WRITTEN and outcome.text != current:
                write_place(path, version.form, outcome.text, sync=not several)
            return outcome
        except InquisightError as error:
            return _Outcome(version, SKIPPED, None, error=error)

    with ThreadPoolExecutor(_AT_ONCE) as threads:  # a file system takes a millisecond or two to replace a file
        outcomes = list(threads.map(write, versions))
    if several:
        os.sync()
    return outcomes


def _write_table(database: Database, versions: list[_Version], edit: Callable[[str], str] | None) -> list[_Outcome]:
    path = database.root / versions[0].file
    try:
        current = read_table(path) if path.exists() else {}
    except CaptionError as error:
        return [_Outcome(version, SKIPPED, None, problem=str(error)) for version in versions]
    outcomes = [_decide(version, current.get(version.line), edit) for version in versions]
    texts = {
        one.version.line: one.text
        for one in outcomes
        if one.state == WRITTEN and one.text != current.get(one.version.line)
    }
    if texts:
        write_table(path, texts)
    return outcomes


def _decide(version: _Version, current: str | None, edit: Callable[[str], str] | None) -> _Outcome:
    """What becomes of a caption whose file holds `current`."""
    if current in (version.before, version.after):
        return _Outcome(version, WRITTEN, version.after, current)
    after = current if edit is None else edit(current or "")
    return _Outcome(version, SKIPPED if after == current else WRITTEN, after, current)


def _save(connection: Connection, root: Path, outcomes: list[_Outcome]) -> None:
    """Note what was done with each caption, and what others had done before."""
    found: int | None = None
    one = connection.exec_driver_sql
    for outcome in outcomes:
        version, text, before = outcome.version, outcome.text, outcome.version.before
        if outcome.error is not None:
            continue
        if outcome.problem:
            one("UPDATE place SET problem = ? WHERE id = ?", (outcome.problem, version.place))
            one("UPDATE version SET state = ? WHERE id = ?", (SKIPPED, version.id))
            continue
        if outcome.outside:
            before = outcome.current
            if (known := one("SELECT text FROM place WHERE id = ?", (version.place,)).scalar_one()) != before:
                found = new_found_change(connection, now()) if found is None else found
                insert_version(connection, found, version.place, known, before)
                one("UPDATE place SET base = ? WHERE id = ?", (before, version.place))
        values = (outcome.state, before, text, version.id)
        one("UPDATE version SET state = ?, before = ?, after = ? WHERE id = ?", values)
        one(
            "UPDATE place SET text = ?, folded = ?, stamp = ?, problem = '', changed = ? WHERE id = ?",
            (text, fold(text), stamp(root / version.file) or GONE, now(), version.place),
        )
    if found is not None:
        one('UPDATE change SET count = (SELECT count(*) FROM version WHERE "change" = ?) WHERE id = ?', (found, found))


def note_outside(connection: Connection, place: HeldPlace, current: str | None) -> HeldPlace:
    """`place` with the caption that its file holds now; one that another program changed becomes a version first."""
    if current == place.text:
        return place
    one = connection.exec_driver_sql
    found = new_found_change(connection, now())
    insert_version(connection, found, place.id, place.text, current)
    one("UPDATE change SET count = 1 WHERE id = ?", (found,))
    values = (current, current, fold(current), now(), place.id)
    one("UPDATE place SET text = ?, base = ?, folded = ?, problem = '', changed = ? WHERE id = ?", values)
    return place._replace(text=current)


def _close(database: Database, change: int) -> None:
    """Mark a change as done; what was not reached counts as skipped."""
    with database.transaction(write=True) as connection:
        one = connection.exec_driver_sql
        one('UPDATE version SET state = ? WHERE "change" = ? AND state = ?', (SKIPPED, change, PENDING))
        count = one(
            "SELECT count(DISTINCT ifnull(h.picture, -v.place)) FROM version v LEFT JOIN held h ON h.place = v.place "
            'WHERE v."change" = ? AND v.state = ?',
            (change, WRITTEN),
        ).scalar_one()
        skipped = one('SELECT count(*) FROM version WHERE "change" = ? AND state = ?', (change, SKIPPED)).scalar_one()
        one("UPDATE change SET state = ?, count = ?, skipped = ? WHERE id = ?", (DONE, count, skipped, change))
        kind, undoes = one("SELECT kind, undoes FROM change WHERE id = ?", (change,)).one()
        if kind == UNDO:
            one("UPDATE change SET undone = ? WHERE id = ?", (UNDONE, undoes))
        elif kind == REDO:
            one("UPDATE change SET undone = ? WHERE id = ?", (ACTIVE, undoes))
        elif kind == EDIT and count:
            one("UPDATE change SET undone = ? WHERE undone = ?", (REPLACED, UNDONE))


# --- undo -------------------------------------------------------------------------------------------------------------


def to_undo(connection: Connection, change: int | None) -> tuple[int, str] | None:
    """(id, label) of the change that undo takes back: the newest one, or `change` if that is not undone."""
    query = "SELECT id, label FROM change WHERE kind = ? AND state = ? AND undone = ? AND count > 0 "
    values: tuple[object, ...] = (EDIT, DONE, ACTIVE)
    if change is not None:
        query, values = f"{query} AND id = ?", (*values, change)
    row = connection.exec_driver_sql(f"{query} ORDER BY id DESC LIMIT 1", values).first()
    return None if row is None else (row[0], row[1])


def to_redo(connection: Connection) -> tuple[int, str] | None:
    """(id, label) of the change that redo makes again: the one whose undo is the latest."""
    row = connection.exec_driver_sql(
        "SELECT c.id, c.label FROM change c JOIN change u ON u.undoes = c.id AND u.kind = ? "
        "WHERE c.undone = ? ORDER BY u.id DESC LIMIT 1",
        (UNDO, UNDONE),
    ).first()
    return None if row is None else (row[0], row[1])


def reversed_rows(connection: Connection, change: int, *, again: bool) -> Iterable[Planned]:
    """The rows that take a change back or, `again`, repeat it."""
    query = (
        "SELECT id, place, after, before FROM version "
        f'WHERE "change" = ? AND state = {WRITTEN} AND id > ? ORDER BY id LIMIT {_CHUNK}'
    )
    last = 0
    while rows := connection.exec_driver_sql(query, (change, last)).fetchall():
        for _, place, after, before in rows:
            yield Planned(place, before, after) if again else Planned(place, after, before)
        last = rows[-1][0]
