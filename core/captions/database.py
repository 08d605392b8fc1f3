"""The index of a caption folder and its versions, in `.inquisight/captions.sqlite`.

The files are what counts: the index says what was found in them last, so that unchanged ones are not read again and
pages of a hundred thousand pictures are one query. Versions are the only copy of earlier texts.

A change is written here first ("open", with the texts before and after), then to the files, then marked "done". What a
kill interrupts is finished by the next process.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Integer, LargeBinary, String
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import Index, UniqueConstraint
from sqlalchemy.types import TypeDecorator

from core.captions.forms import CaptionError
from core.errors import StoreError, UsageError, printable
from core.files.locking import only_process
from core.store.sqlite import make_engine, use_write_ahead_log

FOLDER: Final = ".inquisight"
_LAYOUT: Final = 1  # PRAGMA user_version
_WAIT: Final = 600.0  # seconds for another process's change; a bulk change of a large folder takes a while

OPEN, DONE = "open", "done"  # states of a change
PENDING, WRITTEN, SKIPPED = 0, 1, 2  # states of a version
ACTIVE, UNDONE, REPLACED = 0, 1, 2  # of a change: may be undone; may be redone; a later change followed its undo


class Name(TypeDecorator[str]):
    """A path as bytes, since names need not be UTF-8: lone surrogates stand for their other bytes."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> bytes | None:
        return None if value is None else value.encode("utf-8", "surrogatepass")

    def process_result_value(self, value: bytes | None, dialect: Any) -> str | None:
        return None if value is None else value.decode("utf-8", "surrogatepass")


class Base(DeclarativeBase):
    """The tables."""


class PictureRow(Base):
    """A picture that the last look at the disk found."""

    __tablename__ = "picture"

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(Name, unique=True)
    unsure: Mapped[bool] = mapped_column(default=False)
    failed: Mapped[bool] = mapped_column(default=False)


class PlaceRow(Base):
    """A file, or a line of one, that holds or held a caption."""

    __tablename__ = "place"
    __table_args__ = (UniqueConstraint("file", "line"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    file: Mapped[str] = mapped_column(Name)
    line: Mapped[str] = mapped_column(Name, default="")  # the name of the picture in a .jsonl file, else ""
    form: Mapped[str]
    text: Mapped[str | None]
    folded: Mapped[str] = mapped_column(default="")  # of `text`, for searching
    base: Mapped[str | None]  # the text that was found or generated last
    stamp: Mapped[str] = mapped_column(default="")  # of the file when it was read
    problem: Mapped[str] = mapped_column(default="")
    changed: Mapped[str] = mapped_column(default="")


class HeldRow(Base):
    """Which places belong or belonged to a picture; two pictures may share one."""

    __tablename__ = "held"

    picture: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, index=True)
    rank: Mapped[int]


class ChangeRow(Base):
    """A change of one caption or many."""

    __tablename__ = "change"

    id: Mapped[int] = mapped_column(primary_key=True)
    created: Mapped[str]
    kind: Mapped[str]
    label: Mapped[str]
    state: Mapped[str] = mapped_column(default=OPEN, index=True)
    undoes: Mapped[int | None] = mapped_column(Integer, default=None)
    undone: Mapped[int] = mapped_column(default=ACTIVE)
    count: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)


class VersionRow(Base):
    """The text of a place before and after a change."""

    __tablename__ = "version"
    __table_args__ = (Index("version_place", "place", "id"), Index("version_change", "change", "state", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    change: Mapped[int]
    place: Mapped[int]
    before: Mapped[str | None] = mapped_column(String)
    after: Mapped[str | None] = mapped_column(String)
    state: Mapped[int] = mapped_column(default=PENDING)


def now() -> str:
    """The time in UTC, in a form that sorts as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Database:
    """The index of `root`. In a folder that may not be written, a temporary one: captions can be read, not changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.read_only = False
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.folder = root / FOLDER
        try:
            if not root.is_dir():
                raise UsageError(f"'{printable(root)}' is no folder; name the folder that holds the pictures")
            self.folder.mkdir(exist_ok=True)
            writable = os.access(self.folder, os.W_OK | os.X_OK)
        except OSError:
            writable = False
        if not writable:
            self.read_only = True
            self._temporary = tempfile.TemporaryDirectory(prefix="inquisight-captions-")
            self.folder = Path(self._temporary.name)
        self.path = self.folder / "captions.sqlite"
        self._engine: Engine | None = None
        self._idle: sqlite3.Connection | None = None  # closing the last connection would write the log back

    @contextmanager
    def locked(self, seconds: float = _WAIT) -> Iterator[None]:
        """Only one process looks at the disk or changes captions at a time. Raises StoreError."""
        busy = StoreError(f"another process is changing captions in '{printable(self.root)}'; try again later.")
        shown = printable(self.folder)
        with only_process(
            self.folder / "captions.lock",
            busy,
            lambda reason: StoreError(f"'{shown}' cannot be written: {reason}."),
            wait=seconds,
        ):
            yield

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[Connection]:
        """One transaction, committed at the end. Raises StoreError."""
        try:
            with self._opened().connect().execution_options(inquisight_write=write) as connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            raise self._failed(error) from error

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for several writing transactions, with temporary tables between them. Raises StoreError."""
        try:
            with self._opened().connect().execution_options(inquisight_write=True) as connection:
                yield connection
        except SQLAlchemyError as error:
            raise self._failed(error) from error

    def check_writable(self) -> None:
        """Raise CaptionError if captions of this folder cannot be changed."""
        if self.read_only:
            raise CaptionError(
                f"the folder '{printable(self.root)}' is not writable, so its captions cannot be changed"
            )

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        if self._idle is not None:
            self._idle.close()
            self._idle = None
        if self._temporary is not None:
            self._temporary.cleanup()

    def _opened(self) -> Engine:
        if self._engine is None:
            engine = make_engine(URL.create("sqlite", database=str(self.path)))
            try:
                use_write_ahead_log(engine)
                with engine.connect().execution_options(inquisight_write=True) as connection, connection.begin():
                    layout = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
                    if layout > _LAYOUT:
                        raise StoreError(
                            f"'{printable(self.path)}' was written by a newer version of Inquisight; update to read it."
                        )
                    if layout < _LAYOUT:
                        Base.metadata.create_all(connection)
                        connection.exec_driver_sql(f"PRAGMA user_version = {_LAYOUT}")
                self._idle = sqlite3.connect(self.path, check_same_thread=False)
                self._idle.execute("SELECT count(*) FROM change").fetchone()
            except SQLAlchemyError as error:
                engine.dispose()
                raise self._failed(error) from error
            except BaseException:
                engine.dispose()
                raise
            self._engine = engine
        return self._engine

    def _failed(self, error: SQLAlchemyError) -> StoreError:
        original = str(getattr(error, "orig", None) or error).lower()
        shown = f"'{printable(self.path)}'"
        if "not a database" in original or "malformed" in original:
            return StoreError(
                f"{shown} is damaged; move it away (earlier versions of captions are in it, captions are not)."
            )
        if "locked" in original or "busy" in original:
            return StoreError(f"{shown} is held by another program; try again later.")
        return StoreError(f"{shown} cannot be used: {printable(original)}.")
