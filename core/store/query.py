"""Filters for transcripts in the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from core.errors import UsageError

INTERVIEW: Final = "interview"
KINDS: Final = (INTERVIEW, "chat", "ask")
STATES: Final = ("complete", "stopped", "failed")  # of an interview


@dataclass(frozen=True, slots=True)
class TranscriptQuery:
    """Conditions on a transcript; empty fields match all. Raises UsageError if no transcript could match."""

    words: str = ""
    """Words or prefixes of words that name or text contain, all of them; no query syntax."""
    vision: str = ""
    questioner: str = ""
    status: str = ""
    """"complete", "stopped" or "failed" for an interview, else the kind of chat: "chat" or "ask"."""
    since: datetime | None = None
    before: datetime | None = None
    ids: frozenset[str] | None = None
    """Only these; None: all."""
    kind: str = ""
    """One of KINDS."""
    newest: bool = False
    """Of each conversation with several versions only the newest one."""
    conversation: str = ""
    """The versions of this conversation."""

    def __post_init__(self) -> None:
        if self.since is not None and self.before is not None and self.since >= self.before:
            raise UsageError("the first day lies after the last one; change one of them")


@dataclass(frozen=True, slots=True)
class Names:
    """Values in the transcripts of a store, sorted."""

    visions: tuple[str, ...] = ()
    questioners: tuple[str, ...] = ()
    states: tuple[str, ...] = ()


def first_moment(day: date | None) -> datetime | None:
    """The beginning of `day` in local time."""
    return None if day is None else datetime.combine(day, time.min).astimezone()


def after(day: date | None) -> datetime | None:
    """The end of `day` in local time."""
    return None if day is None or day == date.max else first_moment(day + timedelta(days=1))
