"""The transcript store: every interview and chat in one SQLite file, content-addressed and searchable.

An id is the sha256 of a record's canonical JSON, so adding the same one twice keeps one. A chat that
has grown replaces its earlier state. An unfinished caption (failed or stopped) gives way to a later
one of the same run key that knows at least as much; `find_partial` is how a driver finds it again.
Several processes may write at once: write-ahead log, a busy timeout, and write locks taken at the
start of a transaction, since SQLite cannot wait when a read turns into a write.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import sqlite3
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Engine, Float, Integer, column, create_engine, event, func, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, defer, mapped_column
from sqlalchemy.pool import NullPool, StaticPool

from core.errors import StoreError, printable
from core.records import Caption, Chat
from core.store.query import INTERVIEW, Names, TranscriptQuery

_LAYOUT = 1  # PRAGMA user_version
_BUSY_SECONDS = 30.0
_SHORT = 10  # hex digits of an id that are shown
_WAL_TRIES = 50
_CHATS = ("chat", "ask")
_AT_ONCE = 200  # records that are read in one transaction
# Scripts written without spaces: Kana, CJK and Hangul. FTS5's tokenizer would take a whole sentence as one word.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_FTS = "CREATE VIRTUAL TABLE IF NOT EXISTS transcript_text USING fts5(source, words, tokenize='porter unicode61')"


@dataclass(frozen=True, slots=True)
class StoredCaption:
    """One line of a listing; `TranscriptStore.get(id)` has the rest."""

    id: str
    created: datetime  # UTC
    status: str  # "complete", "stopped" or "failed" for an interview, else the chat's kind: "chat" or "ask"
    source: str
    text: str  # the best caption there is, or the last answer
    turns: int
    vision: str
    questioner: str
    picture_sha256: str  # the first one's, where there are several

    @property
    def short_id(self) -> str:
        """The beginning of the id, enough to type."""
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

    def listed(self) -> StoredCaption:
        return StoredCaption(
            id=self.id,
            created=datetime.fromisoformat(self.created),
            status=self.status,
            source=self.source,
            text=self.text,
            turns=self.turns,
            vision=self.vision,
            questioner=self.questioner,
            picture_sha256=self.picture_sha256,
        )


_NEWEST = (_Row.created.desc(), _Row.number.desc())


def _caption_row(caption: Caption) -> tuple[_Row, list[str]]:
    """The row, and the text it is found by."""
    words = [caption.plain, caption.opening, caption.summary]
    for turn in caption.dialogue.turns:
        words += [turn.question, turn.answer]
    row = _Row(
        id=caption.id,
        run_key=caption.run_key,
        created=_sortable(caption.created),
        status=caption.status,
        source=caption.picture.source,
        text=caption.text,
        turns=len(caption.dialogue.turns),
        vision=caption.vision.get("name", ""),
        questioner=caption.questioner.get("name", ""),
        picture_sha256=caption.picture.sha256,
        document=caption.to_json(),
    )
    return row, words


def _chat_row(chat: Chat) -> tuple[_Row, list[str]]:
    pictures = chat.pictures
    row = _Row(
        id=chat.id,
        run_key=chat.run_key,
        created=_sortable(chat.created),
        status=chat.kind,
        source=", ".join(dict.fromkeys(picture.source for picture in pictures)),
        text=chat.text,
        turns=len(chat.turns),
        vision=chat.vision.get("name", ""),
        questioner=chat.assistant.get("name", "a person"),
        picture_sha256=pictures[0].sha256 if pictures else "",
        document=chat.to_json(),
    )
    return row, [words for turn in chat.turns for words in (turn.question, turn.answer)]


def _sortable(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


class TranscriptStore:
    """Transcripts in the SQLite database at `url` (an SQLAlchemy URL or a path; default: the settings').

    Nothing is opened before the first use. Every method raises StoreError.
    """

    def __init__(self, url: str | Path | None = None) -> None:
        if url is None:
            from core.settings import get_settings

            url = get_settings().database_url
        self._url = _parse(url)
        self._engine: Engine | None = None

    @property
    def location(self) -> str:
        """The file, as a person would look for it."""
        return printable(self._url.database or ":memory:", limit=None)

    def add(self, record: Caption | Chat) -> str:
        """Keep `record` and return its id. Earlier states of the same run or chat that know no more are replaced."""
        try:
            row, words = _caption_row(record) if isinstance(record, Caption) else _chat_row(record)
        except (ValueError, TypeError) as error:  # options may hold what JSON cannot
            raise StoreError(f"this {record._called} cannot be written as JSON: {printable(error)}.") from error
        with self._session(write=True) as session:
            if session.scalar(select(_Row.number).where(_Row.id == row.id)) is not None:
                return row.id
            outdated = select(_Row).where(_Row.run_key == row.run_key, _Row.status != "complete")
            if isinstance(record, Caption) and row.status != "complete":
                outdated = outdated.where(_Row.turns <= row.turns)
            for old in session.scalars(outdated):
                self._drop(session, old)
            session.add(row)
            session.flush()
            session.execute(
                text("INSERT INTO transcript_text (rowid, source, words) VALUES (:number, :source, :words)"),
                {"number": row.number, "source": _spaced(row.source), "words": _spaced("\n".join(words))},
            )
            return row.id

    def get(self, id_or_prefix: str) -> Caption:
        """The caption whose id begins so. An ambiguous or unknown beginning is an error that says so."""
        record = self.get_record(id_or_prefix)
        if isinstance(record, Chat):
            shown = printable(id_or_prefix.strip(), limit=80)
            raise StoreError(f"'{shown}' is a chat, not an interview; see `inquisight show {shown}`.")
        return record

    def get_record(self, id_or_prefix: str) -> Caption | Chat:
        """The interview or chat whose id begins so, with the same errors."""
        with self._session() as session:
            row = self._one(session, id_or_prefix)
            return (Chat if row.status in _CHATS else Caption).from_json(row.document)

    def find_partial(self, run_key: str) -> Caption | None:
        """The unfinished caption of this run that knows most, to be resumed; None where there is none."""
        wanted = select(_Row.document).where(_Row.run_key == run_key, _Row.status != "complete")
        with self._session() as session:
            found = session.scalar(wanted.order_by(_Row.turns.desc(), _Row.created.desc()).limit(1))
        return None if found is None else Caption.from_json(found)

    def find_complete(self, run_key: str) -> Caption | None:
        """The newest finished caption of this run, None where there is none."""
        wanted = select(_Row.document).where(_Row.run_key == run_key, _Row.status == "complete")
        with self._session() as session:
            found = session.scalar(wanted.order_by(_Row.created.desc()).limit(1))
        return None if found is None else Caption.from_json(found)

    def recent(self, limit: int = 20) -> list[StoredCaption]:
        """The newest transcripts, newest first."""
        return self.find(TranscriptQuery(), limit)

    def search(self, words: str, limit: int = 20) -> list[StoredCaption]:
        """Transcripts that hold all of `words` (or words that begin so) in name or text, best match first.

        `words` is plain text: nothing in it is query syntax.
        """
        return self.find(TranscriptQuery(words), limit, best_first=True) if words.strip() else []

    def find(
        self, wanted: TranscriptQuery, limit: int = 20, offset: int = 0, *, best_first: bool = False
    ) -> list[StoredCaption]:
        """Those that are wanted, newest first, after the first `offset` ones.

        `best_first`: where words are wanted, the best match comes first instead.
        """
        rows = select(_Row).options(defer(_Row.document)).where(*_conditions(wanted))
        order: list[Any] = list(_NEWEST)
        if best_first and (query := _fts_query(wanted.words)):
            matching = text("SELECT rowid, rank FROM transcript_text WHERE transcript_text MATCH :ranked")
            found = (
                matching.bindparams(ranked=query).columns(column("rowid", Integer), column("rank", Float)).subquery()
            )
            rows = rows.join(found, found.c.rowid == _Row.number)
            order = [found.c.rank, _Row.number.desc()]
        rows = rows.order_by(*order).limit(max(0, limit)).offset(max(0, offset))
        with self._session() as session:
            return [row.listed() for row in session.scalars(rows)]

    def ids(self, wanted: TranscriptQuery) -> list[str]:
        """The full ids of all that are wanted, newest first."""
        with self._session() as session:
            return list(session.scalars(select(_Row.id).where(*_conditions(wanted)).order_by(*_NEWEST)))

    def records(self, wanted: TranscriptQuery) -> Iterator[Caption | Chat]:
        """All that are wanted, newest first, a few in memory at a time; what comes or goes meanwhile may be missed."""
        with self._session() as session:
            numbers = list(session.scalars(select(_Row.number).where(*_conditions(wanted)).order_by(*_NEWEST)))
        for begin in range(0, len(numbers), _AT_ONCE):
            some = _Row.number.in_(numbers[begin : begin + _AT_ONCE])
            with self._session() as session:
                found = session.execute(select(_Row.status, _Row.document).where(some).order_by(*_NEWEST)).all()
            for status, document in found:
                yield (Chat if status in _CHATS else Caption).from_json(document)

    def names(self) -> Names:
        """What there is to choose from in a search."""
        with self._session() as session:
            columns = (_Row.vision, _Row.questioner, _Row.status)
            found = [session.scalars(select(column).distinct().order_by(column)).all() for column in columns]
        eyes, askers, states = (tuple(name for name in some if name) for some in found)
        return Names(eyes, askers, states)

    def delete_all(self, ids: Collection[str]) -> int:
        """Remove the transcripts of these full ids, together; those that are gone already do not count."""
        with self._session(write=True) as session:
            gone = list(session.scalars(select(_Row.number).where(*_conditions(TranscriptQuery(ids=frozenset(ids))))))
            for table, key in (("transcript_text", "rowid"), ("transcript", "number")):
                them = text(f"DELETE FROM {table} WHERE {key} IN (SELECT value FROM json_each(:gone))")
                session.execute(them, {"gone": json.dumps(gone)})
            return len(gone)

    def delete(self, id_or_prefix: str) -> str:
        """Remove one transcript and return its full id."""
        with self._session(write=True) as session:
            row = self._one(session, id_or_prefix)
            self._drop(session, row)
            return row.id

    def count(self, wanted: TranscriptQuery | None = None) -> int:
        """How many transcripts there are, or are wanted."""
        with self._session() as session:
            return int(
                session.scalar(select(func.count(_Row.number)).where(*_conditions(wanted or TranscriptQuery()))) or 0
            )

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _one(self, session: Session, id_or_prefix: str) -> _Row:
        prefix = id_or_prefix.strip().lower()
        shown = printable(id_or_prefix, limit=80)
        if not re.fullmatch(r"[0-9a-f]{1,64}", prefix):
            raise StoreError(f"'{shown}' is not a transcript id (hexadecimal digits); see `inquisight history`.")
        # ":" follows "9" and "g" follows "f", so this is a range on the index, not a scan.
        wanted = select(_Row).where(_Row.id >= prefix, _Row.id < f"{prefix}g").order_by(_Row.id).limit(4)
        rows = list(session.scalars(wanted))
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
            engine = _make_engine(self._url)
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
                reason = (error.strerror or "unknown error").lower()
                raise StoreError(
                    f"the folder for transcripts, '{printable(Path(file).parent)}', cannot be made: {reason}; "
                    "set INQUISIGHT_HOME or INQUISIGHT_DATABASE."
                ) from error
        _use_write_ahead_log(engine)
        with engine.connect() as connection:
            layout = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if layout == _LAYOUT:
            return
        if layout > _LAYOUT:
            raise StoreError(f"{self.location} was written by a newer version of Inquisight; update to read it.")
        with engine.connect().execution_options(inquisight_write=True) as connection, connection.begin():
            _Base.metadata.create_all(connection)
            connection.exec_driver_sql(_FTS)
            connection.exec_driver_sql(f"PRAGMA user_version = {_LAYOUT}")

    def _explain(self, error: SQLAlchemyError) -> str:
        """The few things that go wrong with a database file, in a user's words; SQL is not shown."""
        original = str(getattr(error, "orig", "") or "").lower()
        if "not a database" in original or "malformed" in original:
            return f"{self.location} is not a usable SQLite database; move it away, or set INQUISIGHT_DATABASE."
        if "locked" in original or "busy" in original:
            return f"{self.location} was busy for {_BUSY_SECONDS:.0f} seconds; is another program holding it?"
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


def _make_engine(url: URL) -> Engine:
    in_memory = not url.database or url.database == ":memory:"
    # A connection per use: nothing is inherited by a forked worker or shared between threads.
    engine = create_engine(
        url,
        poolclass=StaticPool if in_memory else NullPool,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": not in_memory},
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come too late to take the write lock
        connection.execute("PRAGMA synchronous = NORMAL")  # safe with a write-ahead log

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        write = connection.get_execution_options().get("inquisight_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _use_write_ahead_log(engine: Engine) -> None:
    """Switch the file to WAL, once in its life. SQLite does not wait for other openers here, so we do."""
    for attempt in range(_WAL_TRIES):
        try:
            connection = engine.raw_connection()
            try:
                cursor = connection.cursor()
                mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
                if mode not in ("wal", "memory"):
                    cursor.execute("PRAGMA journal_mode = WAL")
                return
            finally:
                connection.close()
        except (sqlite3.Error, DatabaseError) as error:
            if "locked" in str(error) and attempt < _WAL_TRIES - 1:
                time.sleep(random.uniform(0.005, 0.05))
                continue
            if isinstance(error, DatabaseError):
                raise
            raise DatabaseError("PRAGMA", None, error) from error


def _conditions(wanted: TranscriptQuery) -> list[ColumnElement[bool]]:
    """`wanted` as SQL."""
    conditions: list[Any] = []
    if wanted.words.strip():
        if query := _fts_query(wanted.words):
            match = "transcript.number IN (SELECT rowid FROM transcript_text WHERE transcript_text MATCH :query)"
            conditions.append(text(match).bindparams(query=query))
        else:
            conditions.append(text("0"))  # only signs, and those are in no index
    if wanted.ids is not None:  # as one parameter, since SQLite takes only so many
        among = "transcript.id IN (SELECT value FROM json_each(:ids))"
        conditions.append(text(among).bindparams(ids=json.dumps(sorted(wanted.ids))))
    if wanted.vision:
        conditions.append(_Row.vision == wanted.vision)
    if wanted.questioner:
        conditions.append(_Row.questioner == wanted.questioner)
    if wanted.status:
        conditions.append(_Row.status == wanted.status)
    if wanted.kind == INTERVIEW:
        conditions.append(_Row.status.not_in(_CHATS))
    elif wanted.kind:
        conditions.append(_Row.status == wanted.kind)
    if wanted.since is not None:
        conditions.append(_Row.created >= _sortable(wanted.since))
    if wanted.before is not None:
        conditions.append(_Row.created < _sortable(wanted.before))
    return conditions


def _spaced(words: str) -> str:
    """Text with every character of an unspaced script as a word of its own, so that parts can be found."""
    return _UNSPACED.sub(lambda match: f" {match[0]} ", words)


def _fts_query(words: str) -> str:
    """An FTS5 query for text typed by a person: each word a quoted phrase (quotes doubled), all required.

    https://www.sqlite.org/fts5.html#fts5_strings
    """
    clean = "".join(" " if character == "\0" or "\ud800" <= character <= "\udfff" else character for character in words)
    phrases = []
    for word in clean.split():
        if any(character.isalnum() for character in word):
            quoted = _spaced(word).strip().replace('"', '""')
            phrases.append(f'"{quoted}"*')
    return " AND ".join(phrases)
