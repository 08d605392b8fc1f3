"""The transcript store: interviews and chats in one SQLite file, content-addressed and searchable.

An id is the sha256 of a record's canonical JSON, so adding a record twice keeps one copy. A grown chat replaces its
earlier state. An unfinished caption (failed or stopped) is replaced by a later one of the same run key with at least as
many turns; `find_partial` returns it for resuming. A complete caption whose audit failed is returned likewise, and
replaced by one with the same summary; one that gets further styles or is edited replaces itself. Several processes may
write at once: write-ahead log, a busy timeout, and write locks at the start of a transaction, since SQLite cannot wait
when a read turns into a write.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Engine, Float, Integer, column, delete, func, select, text, tuple_
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, defer, mapped_column

from core.errors import StoreError, printable, why
from core.records import Caption, Chat, ChatTurn, PictureInfo, Turn
from core.store import sqlite
from core.store.query import INTERVIEW, Names, TranscriptQuery
from core.store.sqlite import make_engine, use_write_ahead_log

_LAYOUT = 2  # PRAGMA user_version; 2 added conversations and thumbnails
_SHORT = 10  # hex digits of an id in listings
_CHATS = ("chat", "ask")
_AT_ONCE = 200  # records read in one transaction
# Scripts without spaces: Kana, CJK and Hangul. FTS5's tokenizer would treat a whole sentence as one word.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_FTS = "CREATE VIRTUAL TABLE IF NOT EXISTS transcript_text USING fts5(source, words, tokenize='porter unicode61')"


@dataclass(frozen=True, slots=True)
class StoredCaption:
    """One line of a listing; `TranscriptStore.get(id)` returns the whole record."""

    id: str
    created: datetime  # UTC
    status: str  # "complete", "stopped" or "failed" for an interview, else the chat's kind: "chat" or "ask"
    source: str
    text: str  # the best available caption, or the last answer
    turns: int
    vision: str
    questioner: str
    picture_sha256: str  # of the first picture

    @property
    def short_id(self) -> str:
        """The beginning of the id, which commands accept."""
        return self.id[:_SHORT]


class _Base(DeclarativeBase):
    pass


class _Row(_Base):
    __tablename__ = "transcript"

    number: Mapped[int] = mapped_column(primary_key=True)  # also the row of the full-text index
    id: Mapped[str] = mapped_column(unique=True)
    run_key: Mapped[str] = mapped_column(index=True)
    created: Mapped[str] = mapped_column(index=True)  # ISO 8601 in UTC with microseconds: sorts as text
    status: Mapped[str]
    source: Mapped[str]
    text: Mapped[str]
    turns: Mapped[int]
    vision: Mapped[str]
    questioner: Mapped[str]
    picture_sha256: Mapped[str] = mapped_column(index=True)
    document: Mapped[str]  # Caption.to_json() or Chat.to_json()
    conversation: Mapped[str] = mapped_column(index=True, server_default="")  # of a chat

    def listed(self) -> StoredCaption:
        values = {one.name: getattr(self, one.name) for one in fields(StoredCaption)}
        return StoredCaption(**{**values, "created": datetime.fromisoformat(self.created)})

    def record(self) -> Caption | Chat:
        return _record(self.status, self.document)


class _Thumbnail(_Base):
    __tablename__ = "thumbnail"

    picture_sha256: Mapped[str] = mapped_column(primary_key=True)
    jpeg: Mapped[bytes]


def _record(status: str, document: str) -> Caption | Chat:
    return (Chat if status in _CHATS else Caption).from_json(document)


_COMPLETE = _Row.status == "complete"
_UNAUDITED = _COMPLETE & (func.json_extract(_Row.document, "$.unaudited") != "")
_NEWEST = (_Row.created.desc(), _Row.number.desc())


def _row(record: Caption | Chat) -> tuple[_Row, list[str]]:
    """The row of a record, and the texts it is found by."""
    pictures: Sequence[PictureInfo]
    turns: Sequence[Turn | ChatTurn]
    if isinstance(record, Caption):
        pictures, turns = (record.picture,), record.dialogue.turns
        questioner = record.questioner.get("name", "")
        words = [record.plain, record.opening, record.summary, *(edit.text for edit in record.edits)]
    else:
        pictures, turns = record.pictures, record.turns
        questioner = record.assistant.get("name", "a person")
        words = []
    row = _Row(
        id=record.id,
        run_key=record.run_key,
        created=_sortable(record.created),
        status=record.status if isinstance(record, Caption) else record.kind,
        source=", ".join(dict.fromkeys(picture.source for picture in pictures)),
        text=record.text,
        turns=len(turns),
        vision=record.vision.get("name", ""),
        questioner=questioner,
        picture_sha256=pictures[0].sha256 if pictures else "",
        document=record.to_json(),
        conversation="" if isinstance(record, Caption) else record.conversation,
    )
    return row, words + [part for turn in turns for part in (turn.question, turn.answer)]


def _sortable(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


class TranscriptStore:
    """Transcripts in the SQLite database at `url` (an SQLAlchemy URL or a path; default: the settings').

    The file is opened at the first use. Every method raises StoreError.
    """

    def __init__(self, url: str | Path | None = None) -> None:
        if url is None:
            from core.settings import get_settings

            url = get_settings().database_url
        self._url = _parse(url)
        self._engine: Engine | None = None

    @property
    def location(self) -> str:
        """The path of the file."""
        return printable(self._url.database or ":memory:", limit=None)

    def add(self, record: Caption | Chat) -> str:
        """Store `record` and return its id. Replaces earlier states of the same run or chat that have no more turns."""
        try:
            row, words = _row(record)
        except (ValueError, TypeError) as error:  # options may contain values that JSON cannot represent
            raise StoreError(f"this {record._called} cannot be written as JSON: {printable(error)}.") from error
        with self._session(write=True) as session:
            if session.scalar(select(_Row.number).where(_Row.id == row.id)) is not None:
                return row.id
            outdated = ~_COMPLETE
            if isinstance(record, Caption) and row.status != "complete":
                outdated &= _Row.turns <= row.turns
            elif isinstance(record, Caption):
                same = func.json_extract(_Row.document, "$.summary") == record.summary
                in_other_styles = _COMPLETE & (_Row.created == row.created)
                outdated |= same & (_UNAUDITED | in_other_styles)
            for old in session.scalars(select(_Row).where(_Row.run_key == row.run_key, outdated)):
                self._drop(session, old)
            session.add(row)
            session.flush()
            session.execute(
                text("INSERT INTO transcript_text (rowid, source, words) VALUES (:number, :source, :words)"),
                {"number": row.number, "source": _spaced(row.source), "words": _spaced("\n".join(words))},
            )
            return row.id

    def get(self, id_or_prefix: str) -> Caption:
        """The caption whose id starts with `id_or_prefix`. Raises StoreError if it is ambiguous or unknown."""
        record = self.get_record(id_or_prefix)
        if isinstance(record, Chat):
            shown = printable(id_or_prefix.strip(), limit=80)
            raise StoreError(f"'{shown}' is a chat, not an interview; see `inquisight show {shown}`.")
        return record

    def get_record(self, id_or_prefix: str) -> Caption | Chat:
        """The interview or chat whose id starts with `id_or_prefix`; errors as in `get`."""
        with self._session() as session:
            return self._one(session, id_or_prefix).record()

    def find_partial(self, run_key: str) -> Caption | None:
        """The caption of this run to resume: one that lacks only its audit, else the unfinished one with most turns.

        None if there is none.
        """
        unfinished = select(_Row.document).where(_Row.run_key == run_key, ~_COMPLETE | _UNAUDITED)
        order = (_COMPLETE.desc(), _Row.turns.desc(), _Row.created.desc())
        with self._session() as session:
            found = session.scalar(unfinished.order_by(*order).limit(1))
        return None if found is None else Caption.from_json(found)

    def find_complete(self, run_key: str) -> Caption | None:
        """The newest complete caption of this run, or None."""
        complete = select(_Row.document).where(_Row.run_key == run_key, _COMPLETE & ~_UNAUDITED)
        with self._session() as session:
            found = session.scalar(complete.order_by(*_NEWEST).limit(1))
        return None if found is None else Caption.from_json(found)

    def recent(self, limit: int = 20) -> list[StoredCaption]:
        """The newest transcripts, newest first."""
        return self.find(TranscriptQuery(), limit)

    def search(self, words: str, limit: int = 20) -> list[StoredCaption]:
        """Transcripts with all of `words`, or words with these prefixes, in name or text; best match first.

        `words` is plain text without query syntax.
        """
        return self.find(TranscriptQuery(words), limit, best_first=True) if words.strip() else []

    def find(
        self, query: TranscriptQuery, limit: int = 20, offset: int = 0, *, best_first: bool = False
    ) -> list[StoredCaption]:
        """Matching transcripts, newest first, skipping `offset`; `best_first` sorts by the match of the words."""
        rows = select(_Row).options(defer(_Row.document)).where(*_conditions(query))
        order: list[Any] = list(_NEWEST)
        if best_first and (fts := _fts_query(query.words)):
            matching = text("SELECT rowid, rank FROM transcript_text WHERE transcript_text MATCH :ranked")
            found = matching.bindparams(ranked=fts).columns(column("rowid", Integer), column("rank", Float)).subquery()
            rows = rows.join(found, found.c.rowid == _Row.number)
            order = [found.c.rank, _Row.number.desc()]
        rows = rows.order_by(*order).limit(max(0, limit)).offset(max(0, offset))
        with self._session() as session:
            return [row.listed() for row in session.scalars(rows)]

    def ids(self, query: TranscriptQuery) -> list[str]:
        """The full ids of all matching transcripts, newest first."""
        with self._session() as session:
            return list(session.scalars(select(_Row.id).where(*_conditions(query)).order_by(*_NEWEST)))

    def records(self, query: TranscriptQuery) -> Iterator[Caption | Chat]:
        """All matching records, newest first, a few in memory at a time; concurrent changes may be missed."""
        with self._session() as session:
            numbers = list(session.scalars(select(_Row.number).where(*_conditions(query)).order_by(*_NEWEST)))
        for begin in range(0, len(numbers), _AT_ONCE):
            some = _Row.number.in_(numbers[begin : begin + _AT_ONCE])
            with self._session() as session:
                found = session.execute(select(_Row.status, _Row.document).where(some).order_by(*_NEWEST)).all()
            for status, document in found:
                yield _record(status, document)

    def add_thumbnail(self, picture_sha256: str, jpeg: bytes) -> None:
        """Keep a small JPEG of a picture as long as a transcript about it is stored."""
        with self._session(write=True) as session:
            session.merge(_Thumbnail(picture_sha256=picture_sha256, jpeg=jpeg))

    def thumbnails(self, pictures: Collection[str]) -> dict[str, bytes]:
        """The stored thumbnails of these pictures by sha256."""
        among = text("picture_sha256 IN (SELECT value FROM json_each(:pictures))")
        with self._session() as session:
            found = session.scalars(select(_Thumbnail).where(among.bindparams(pictures=json.dumps(sorted(pictures)))))
            return {one.picture_sha256: one.jpeg for one in found}

    def names(self) -> Names:
        """The values that a query can filter by."""
        with self._session() as session:
            columns = (_Row.vision, _Row.questioner, _Row.status)
            found = [session.scalars(select(column).distinct().order_by(column)).all() for column in columns]
        return Names(*(tuple(name for name in some if name) for some in found))

    def delete_all(self, ids: Collection[str]) -> int:
        """Remove the transcripts with these full ids and return their number."""
        with self._session(write=True) as session:
            gone = list(session.scalars(select(_Row.number).where(*_conditions(TranscriptQuery(ids=frozenset(ids))))))
            for table, key in (("transcript_text", "rowid"), ("transcript", "number")):
                them = text(f"DELETE FROM {table} WHERE {key} IN (SELECT value FROM json_each(:gone))")
                session.execute(them, {"gone": json.dumps(gone)})
            self._drop_thumbnails(session)
            return len(gone)

    def delete(self, id_or_prefix: str) -> str:
        """Remove one transcript and return its full id."""
        with self._session(write=True) as session:
            row = self._one(session, id_or_prefix)
            self._drop(session, row)
            self._drop_thumbnails(session)
            return row.id

    def count(self, query: TranscriptQuery | None = None) -> int:
        """The number of matching transcripts, by default of all."""
        matching = select(func.count(_Row.number)).where(*_conditions(query or TranscriptQuery()))
        with self._session() as session:
            return int(session.scalar(matching) or 0)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _one(self, session: Session, id_or_prefix: str) -> _Row:
        prefix = id_or_prefix.strip().lower()
        shown = printable(id_or_prefix, limit=80)
        if not re.fullmatch(r"[0-9a-f]{1,64}", prefix):
            raise StoreError(f"'{shown}' is not a transcript id (hexadecimal digits); see `inquisight history`.")
        # "g" follows "f", so this is a range on the index and not a scan.
        matching = select(_Row).where(_Row.id >= prefix, _Row.id < f"{prefix}g").order_by(_Row.id).limit(4)
        rows = list(session.scalars(matching))
        if not rows:
            raise StoreError(f"there is no transcript '{shown}' in {self.location}; see `inquisight history`.")
        if len(rows) > 1:
            few = ", ".join(row.id[: max(_SHORT, len(prefix) + 4)] for row in rows[:3])
            more = " and more" if len(rows) > 3 else ""
            raise StoreError(f"'{shown}' is the beginning of several transcripts ({few}{more}); type more of it.")
        return rows[0]

    @staticmethod
    def _drop(session: Session, row: _Row) -> None:
        session.execute(text("DELETE FROM transcript_text WHERE rowid = :number"), {"number": row.number})
        session.delete(row)
        session.flush()

    @staticmethod
    def _drop_thumbnails(session: Session) -> None:
        """Delete thumbnails of pictures that no transcript is about."""
        used = select(_Row.picture_sha256).where(_Row.picture_sha256 == _Thumbnail.picture_sha256)
        session.execute(delete(_Thumbnail).where(~used.exists()))

    @contextlib.contextmanager
    def _session(self, *, write: bool = False) -> Iterator[Session]:
        """One transaction, committed at the end; database errors become one StoreError."""
        try:
            with (
                self._open().connect().execution_options(inquisight_write=write) as connection,
                connection.begin(),
                Session(connection, expire_on_commit=False) as session,
            ):
                yield session
                session.flush()
        except SQLAlchemyError as error:
            raise StoreError(self._explain(error)) from error

    def _open(self) -> Engine:
        if self._engine is None:
            engine = make_engine(self._url)
            try:
                self._prepare(engine)
            except BaseException:
                engine.dispose()
                raise
            self._engine = engine
        return self._engine

    def _prepare(self, engine: Engine) -> None:
        file = self._url.database
        if file and file != ":memory:":
            try:
                Path(file).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise StoreError(
                    f"the folder for transcripts, '{printable(Path(file).parent)}', cannot be made: {why(error)}; "
                    "set INQUISIGHT_HOME or INQUISIGHT_DATABASE."
                ) from error
        use_write_ahead_log(engine)
        with engine.connect() as connection:
            layout = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if layout == _LAYOUT:
            return
        if layout > _LAYOUT:
            raise StoreError(f"{self.location} was written by a newer version of Inquisight; update to read it.")
        with engine.connect().execution_options(inquisight_write=True) as connection, connection.begin():
            columns = {row[1] for row in connection.exec_driver_sql("PRAGMA table_info(transcript)")}
            if columns and "conversation" not in columns:
                connection.exec_driver_sql("ALTER TABLE transcript ADD COLUMN conversation TEXT NOT NULL DEFAULT ''")
                connection.exec_driver_sql("CREATE INDEX ix_transcript_conversation ON transcript (conversation)")
            _Base.metadata.create_all(connection)
            connection.exec_driver_sql(_FTS)
            connection.exec_driver_sql(f"PRAGMA user_version = {_LAYOUT}")

    def _explain(self, error: SQLAlchemyError) -> str:
        """The usual problems of a database file, without SQL."""
        original = str(getattr(error, "orig", "") or "").lower()
        if "not a database" in original or "malformed" in original:
            return f"{self.location} is not a usable SQLite database; move it away, or set INQUISIGHT_DATABASE."
        if "locked" in original or "busy" in original:
            return f"{self.location} was busy for {sqlite.BUSY_SECONDS:.0f} seconds; is another program holding it?"
        if "readonly" in original or "read-only" in original or "unable to open" in original:
            return f"{self.location} cannot be opened for writing; check its folder, or set INQUISIGHT_DATABASE."
        if "no such module: fts5" in original:
            return "this Python's SQLite lacks full-text search (FTS5); use a Python with a complete SQLite."
        if "full" in original or "i/o" in original:
            return f"{self.location} cannot be written: {printable(original)}."
        return f"{self.location} cannot be used: {printable(original or type(error).__name__)}."


def _parse(url: str | Path) -> URL:
    if "\0" in str(url):
        raise StoreError("the database address holds a NUL character; write sqlite:///path/to/file.sqlite.")
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(Path(url).expanduser()))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError("the database address is not a URL; write sqlite:///path/to/file.sqlite.") from None
    if parsed.get_backend_name() != "sqlite":
        kind = printable(parsed.get_backend_name(), limit=40)
        raise StoreError(f"transcripts are kept in SQLite, not in '{kind}'; write sqlite:///path/to/file.sqlite.")
    return parsed


def _conditions(query: TranscriptQuery) -> list[ColumnElement[bool]]:
    """`query` as SQL."""
    conditions: list[Any] = []
    if query.words.strip():
        if fts := _fts_query(query.words):
            match = "transcript.number IN (SELECT rowid FROM transcript_text WHERE transcript_text MATCH :query)"
            conditions.append(text(match).bindparams(query=fts))
        else:
            conditions.append(text("0"))  # only punctuation, which is not indexed
    if query.ids is not None:  # as one parameter, since SQLite limits their number
        among = "transcript.id IN (SELECT value FROM json_each(:ids))"
        conditions.append(text(among).bindparams(ids=json.dumps(sorted(query.ids))))
    if query.vision:
        conditions.append(_Row.vision == query.vision)
    if query.questioner:
        conditions.append(_Row.questioner == query.questioner)
    if query.status:
        conditions.append(_Row.status == query.status)
    if query.conversation:
        conditions.append(_Row.conversation == query.conversation)
    if query.newest:
        newer = aliased(_Row)
        later = tuple_(newer.created, newer.number) > tuple_(_Row.created, _Row.number)
        others = select(newer.number).where(newer.conversation == _Row.conversation, later)
        conditions.append((_Row.conversation == "") | ~others.exists())
    if query.kind == INTERVIEW:
        conditions.append(_Row.status.not_in(_CHATS))
    elif query.kind:
        conditions.append(_Row.status == query.kind)
    if query.since is not None:
        conditions.append(_Row.created >= _sortable(query.since))
    if query.before is not None:
        conditions.append(_Row.created < _sortable(query.before))
    return conditions


def _spaced(words: str) -> str:
    """Separate the characters of unspaced scripts, so that parts of a sentence can be found."""
    return _UNSPACED.sub(lambda match: f" {match[0]} ", words)


def _fts_query(words: str) -> str:
    """An FTS5 query for plain text: each word as a quoted prefix, all required.

    https://www.sqlite.org/fts5.html#fts5_strings
    """
    clean = "".join(" " if character == "\0" or "\ud800" <= character <= "\udfff" else character for character in words)
    phrases = []
    for word in clean.split():
        if any(character.isalnum() for character in word):
            quoted = _spaced(word).strip().replace('"', '""')
            phrases.append(f'"{quoted}"*')
    return " AND ".join(phrases)
