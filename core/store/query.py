"""Which transcripts of the store are wanted."""

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
    """What a transcript must fulfil; an empty field asks for nothing. Raises UsageError where none ever could."""

    words: str = ""
    """All of these words, or words that begin so, in name or text. Nothing in it is query syntax."""
    vision: str = ""
    questioner: str = ""
    status: str = ""
    """"complete", "stopped" or "failed" for an interview, else the kind of chat: "chat" or "ask"."""
    since: datetime | None = None
    before: datetime | None = None
    ids: frozenset[str] | None = None
    """Only among these; None: among all."""
    kind: str = ""
    """One of KINDS."""

    def __post_init__(self) -> None:
        if self.since is not None and self.before is not None and self.since >= self.before:
            raise UsageError("the first day lies after the last one; change one of them")


@dataclass(frozen=True, slots=True)
class Names:
    """What the transcripts of a store name, sorted: to choose from."""

    visions: tuple[str, ...] = ()
    questioners: tuple[str, ...] = ()
    states: tuple[str, ...] = ()


def first_moment(day: date | None) -> datetime | None:
    """The beginning of `day` where this machine stands."""
    return None if day is None else datetime.combine(day, time.min).astimezone()


def after(day: date | None) -> datetime | None:
    """The beginning of the day after `day`, so that `day` counts as a whole."""
    return None if day is None or day == date.max else first_moment(day + timedelta(days=1))
