"""SQLite files that several processes read and write: a write-ahead log, a busy timeout, write locks from the start."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any, Final

import tenacity
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool, StaticPool

BUSY_SECONDS: Final = 30.0
_WAL_TRIES: Final = 50


def make_engine(url: URL) -> Engine:
    in_memory = not url.database or url.database == ":memory:"
    # One connection per use, so that none is inherited by a forked worker or shared between threads.
    engine = create_engine(
        url,
        poolclass=StaticPool if in_memory else NullPool,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": not in_memory},
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would be too late for the write lock
        connection.execute("PRAGMA synchronous = NORMAL")  # safe with a write-ahead log

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        write = connection.get_execution_options().get("inquisight_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


@tenacity.retry(
    retry=tenacity.retry_if_exception_message(match=".*locked"),
    stop=tenacity.stop_after_attempt(_WAL_TRIES),
    wait=tenacity.wait_random(0.005, 0.05),
    reraise=True,
)
def use_write_ahead_log(engine: Engine) -> None:
    """Switch a new file to WAL. SQLite's busy timeout does not apply here, so this retries."""
    try:
        with contextlib.closing(engine.raw_connection()) as connection:
            cursor = connection.cursor()
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
                cursor.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as error:
        raise DatabaseError("PRAGMA", None, error) from error
