"""Queries on the index of a caption folder: pictures with their captions, places, versions, changes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, String, and_, cast, func, or_, select, text, update
from sqlalchemy.orm import aliased

from core.captions.database import UNDONE, ChangeRow, HeldRow, PictureRow, PlaceRow, VersionRow
from core.captions.forms import Form
from core.captions.records import CaptionChange, CaptionQuery, CaptionVersion, PictureCaption, Place

_FEW: Final = 500  # names in one statement
_AT_ONCE: Final = 500  # rows in memory
_HELD: Final = (
    "SELECT l.id, l.file, l.line, l.form, l.text FROM held h JOIN place l ON l.id = h.place WHERE h.picture = ?"
)


class HeldPlace(NamedTuple):
    """A place of one picture."""

    id: int
    file: str
    line: str
    form: Form
    text: str | None


class Selection:
    """Reads the index. `form`: captions in this form only."""

    def __init__(self, form: Form | None) -> None:
        self.form = form
        self._main = aliased(PlaceRow, name="main")
        first = (
            select(HeldRow.place)
            .join(PlaceRow, PlaceRow.id == HeldRow.place)
            .where(HeldRow.picture == PictureRow.id, PlaceRow.text.is_not(None), *self._of_form(PlaceRow))
            .order_by(HeldRow.rank)
            .limit(1)
        )
        self._first = first.correlate(PictureRow).scalar_subquery()
        self._has_problem = (
            select(HeldRow.place)
            .join(PlaceRow, PlaceRow.id == HeldRow.place)
            .where(HeldRow.picture == PictureRow.id, PlaceRow.problem != "", *self._of_form(PlaceRow))
            .correlate(PictureRow)
            .exists()
        )
        self._captioned = func.trim(func.coalesce(self._main.text, "")) != ""
        self._edited = and_(self._main.id.is_not(None), self._main.text.is_distinct_from(self._main.base))

    def _of_form(self, row: Any) -> list[ColumnElement[bool]]:
        return [row.form == str(self.form)] if self.form is not None else []

    def _from(self, query: CaptionQuery, *columns: Any) -> Any:
        """A select of pictures with their main place."""
        chosen = select(*columns).select_from(PictureRow).outerjoin(self._main, self._main.id == self._first)
        return chosen.where(*self._conditions(query))

    # --- pictures -------------------------------------------------------------------------------------------------

    def listed(self, connection: Connection, query: CaptionQuery, limit: int, offset: int) -> list[PictureCaption]:
        """One page."""
        length = func.length(func.coalesce(self._main.text, ""))
        order = {
            "path": (),
            "changed": (func.coalesce(self._main.changed, "").desc(),),
            "length": (length,),
            "longest": (length.desc(),),
        }[query.sort]
        found = self._pictures(query).order_by(*order, PictureRow.path)
        rows = connection.execute(found.limit(max(0, limit)).offset(max(0, offset))).all()
        return list(self._complete(connection, rows))

    def each(self, connection: Connection, query: CaptionQuery) -> Iterator[PictureCaption]:
        """All, by path."""
        found = connection.execute(
            self._pictures(query).order_by(PictureRow.path).execution_options(yield_per=_AT_ONCE)
        )
        for rows in found.partitions(_AT_ONCE):
            yield from self._complete(connection, rows)

    def _pictures(self, query: CaptionQuery) -> Any:
        columns = (PictureRow.id, PictureRow.path, PictureRow.unsure, PictureRow.failed)
        return self._from(query, *columns, self._main.text, self._main.changed, self._edited.label("edited"))

    def _complete(self, connection: Connection, rows: Sequence[Any]) -> Iterator[PictureCaption]:
        """The rows of a page with their places."""
        columns = (HeldRow.picture, PlaceRow.form, PlaceRow.file, PlaceRow.text, PlaceRow.problem)
        held = (
            select(*columns)
            .join(PlaceRow, PlaceRow.id == HeldRow.place)
            .where(HeldRow.picture.in_([row.id for row in rows]), *self._of_form(PlaceRow))
            .order_by(HeldRow.picture, HeldRow.rank)
        )
        places: dict[int, list[Place]] = {}
        for picture, form, file, caption, problem in connection.execute(held):
            if caption is not None or problem:
                places.setdefault(picture, []).append(Place(Form(form), file, caption, problem))
        for row in rows:
            yield PictureCaption(
                path=row.path,
                text=row.text,
                places=tuple(places.get(row.id, ())),
                edited=bool(row.edited),
                unsure=row.unsure,
                failed_audit=row.failed,
                changed=datetime.fromisoformat(row.changed) if row.changed else None,
            )

    def count(self, connection: Connection, query: CaptionQuery) -> int:
        """The number of matching pictures."""
        return int(connection.execute(self._from(query, func.count())).scalar_one())

    def counts(self, connection: Connection) -> dict[str, int]:
        """How many pictures each filter has."""
        flags: dict[str, Any] = {
            "captioned": self._captioned,
            "edited": self._edited,
            "unsure": PictureRow.unsure,
            "failed_audit": PictureRow.failed,
            "problem": self._has_problem,
        }
        sums = [func.coalesce(func.sum(cast(flag, PlaceRow.id.type)), 0).label(name) for name, flag in flags.items()]
        row = connection.execute(self._from(CaptionQuery(), func.count().label("pictures"), *sums)).one()
        return {name: int(value) for name, value in row._mapping.items()}

    def texts(self, connection: Connection, query: CaptionQuery) -> Iterator[tuple[str, str]]:
        """(path, caption) of all that have one, by path."""
        found = self._from(query, PictureRow.path, self._main.text).where(self._main.text.is_not(None))
        for row in connection.execute(found.order_by(PictureRow.path).execution_options(yield_per=_AT_ONCE)):
            yield row.path, row.text

    def places(self, connection: Connection, query: CaptionQuery) -> Iterator[tuple[int, str]]:
        """(place, caption) of every place that an edit of the matching pictures changes, each once.

        Those are the main place and others with the same text.
        """
        chosen = self._from(
            query, PictureRow.id.label("picture"), self._main.id.label("main"), self._main.text.label("text")
        )
        chosen = chosen.where(self._main.text.is_not(None)).subquery()
        found = (
            select(PlaceRow.id, PlaceRow.text)
            .select_from(chosen)
            .join(HeldRow, HeldRow.picture == chosen.c.picture)
            .join(PlaceRow, PlaceRow.id == HeldRow.place)
            .where(or_(PlaceRow.id == chosen.c.main, PlaceRow.text == chosen.c.text), *self._of_form(PlaceRow))
            .distinct()
        )
        for row in connection.execute(found.execution_options(yield_per=_AT_ONCE)):
            yield row.id, row.text

    def _conditions(self, query: CaptionQuery) -> list[Any]:
        conditions: list[Any] = []
        if query.contains:
            conditions.append(func.instr(self._main.folded, query.contains.casefold()) > 0)
        flags: Iterable[tuple[bool | None, Any]] = (
            (query.captioned, self._captioned),
            (query.edited, self._edited),
            (query.unsure, PictureRow.unsure),
            (query.failed_audit, PictureRow.failed),
            (query.problem, self._has_problem),
        )
        conditions += [flag if wanted else ~flag for wanted, flag in flags if wanted is not None]
        if below := query.below.strip("/"):
            conditions += [PictureRow.path >= f"{below}/", PictureRow.path < f"{below}0"]  # "0" follows "/"
        if query.name:
            name = func.lower(cast(PictureRow.path, String))
            conditions.append(func.instr(name, query.name.lower()) > 0)
        if query.paths is not None:
            conditions.append(_among(query.paths))
        return conditions

    # --- one picture ----------------------------------------------------------------------------------------------

    def picture(self, connection: Connection, path: str) -> int | None:
        """The id of a picture."""
        return connection.execute(select(PictureRow.id).where(PictureRow.path == path)).scalar()

    def mark(self, connection: Connection, path: str, values: Mapping[str, bool]) -> bool:
        """Set flags of a picture; whether there is one."""
        if not values:
            return self.picture(connection, path) is not None
        found = connection.execute(update(PictureRow).where(PictureRow.path == path).values(**values))
        return bool(found.rowcount)

    def held(self, connection: Connection, picture: int) -> list[HeldPlace]:
        """The places of a picture, in the order in which its caption is looked for."""
        of_form = "" if self.form is None else f" AND l.form = '{self.form}'"
        rows = connection.exec_driver_sql(f"{_HELD}{of_form} ORDER BY h.rank", (picture,)).fetchall()
        return [HeldPlace(row[0], _name(row[1]), _name(row[2]), Form(row[3]), row[4]) for row in rows]

    def usual_form(self, connection: Connection) -> Form:
        """The form that most captions of the folder have."""
        query = "SELECT form, count(*) FROM place WHERE text IS NOT NULL GROUP BY form"
        counts = {Form(form): count for form, count in connection.exec_driver_sql(query)}
        return max(Form, key=lambda form: counts.get(form, 0))

    def new_place(self, connection: Connection, picture: int, file: str, line: str, form: Form) -> HeldPlace:
        """A place for the first caption of a picture."""
        one = connection.exec_driver_sql
        names = (file.encode("utf-8", "surrogatepass"), line.encode("utf-8", "surrogatepass"))
        one(
            "INSERT OR IGNORE INTO place (file, line, form, folded, stamp, problem, changed) "
            "VALUES (?, ?, ?, '', '', '', '')",
            (*names, str(form)),
        )
        place, there = one("SELECT id, text FROM place WHERE file = ? AND line = ?", names).one()
        rank = one("SELECT ifnull(max(rank), 19) + 1 FROM held WHERE picture = ?", (picture,)).scalar_one()
        one("INSERT OR IGNORE INTO held (picture, rank, place) VALUES (?, ?, ?)", (picture, rank, place))
        return HeldPlace(place, file, line, form, there)

    # --- versions -------------------------------------------------------------------------------------------------

    def versions(self, connection: Connection, path: str) -> list[CaptionVersion]:
        """All versions of a picture's caption, newest first."""
        found = (
            select(VersionRow, ChangeRow, PlaceRow.form, PlaceRow.file)
            .join(HeldRow, HeldRow.place == VersionRow.place)
            .join(PictureRow, PictureRow.id == HeldRow.picture)
            .join(PlaceRow, PlaceRow.id == VersionRow.place)
            .join(ChangeRow, ChangeRow.id == VersionRow.change)
            .where(PictureRow.path == path, VersionRow.state == 1)
            .order_by(VersionRow.id.desc())
            .with_only_columns(
                VersionRow.id.label("version"),
                VersionRow.before,
                VersionRow.after,
                PlaceRow.form,
                PlaceRow.file,
                *_CHANGE,
            )
        )
        return [
            CaptionVersion(row.version, _change(row), Form(row.form), row.file, row.before, row.after)
            for row in connection.execute(found)
        ]

    def changes(self, connection: Connection, limit: int, offset: int) -> list[CaptionChange]:
        """The changes of the folder, newest first."""
        found = select(*_CHANGE).order_by(ChangeRow.id.desc()).limit(max(0, limit)).offset(max(0, offset))
        return [_change(row) for row in connection.execute(found)]

    def change(self, connection: Connection, number: int) -> CaptionChange:
        """One change."""
        return _change(connection.execute(select(*_CHANGE).where(ChangeRow.id == number)).one())


_CHANGE: Final = (
    ChangeRow.id,
    ChangeRow.created,
    ChangeRow.kind,
    ChangeRow.label,
    ChangeRow.count.label("captions"),
    ChangeRow.skipped,
    ChangeRow.undone,
    ChangeRow.undoes,
)


def _change(row: Any) -> CaptionChange:
    created = datetime.fromisoformat(row.created)
    undone = row.undone >= UNDONE
    return CaptionChange(row.id, created, row.kind, row.label, row.captions, row.skipped, undone, row.undoes)


def _among(paths: frozenset[str]) -> Any:
    if len(paths) <= _FEW:
        return PictureRow.path.in_(sorted(paths))
    hexadecimal = [path.encode("utf-8", "surrogatepass").hex().upper() for path in sorted(paths)]
    among = "hex(picture.path) IN (SELECT value FROM json_each(:among))"
    return text(among).bindparams(among=json.dumps(hexadecimal))


def _name(blob: bytes) -> str:
    return blob.decode("utf-8", "surrogatepass")
