"""The events of a chat, and text that is safe to show."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from agents.interview.events import Waiting
from core.records import ChatTurn, PictureInfo

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChatStarted:
    """The conversation begins with these pictures; `follows`: the vision model follows instructions."""

    pictures: tuple[PictureInfo, ...]
    vision: dict[str, str]
    follows: bool = True


@dataclass(frozen=True, slots=True)
class PictureAdded:
    """Picture `number` (from 1) comes up with the next question."""

    number: int
    picture: PictureInfo


@dataclass(frozen=True, slots=True)
class Asked:
    """The vision model gets question `number` (from 1) as `prompt`; `typed` is False for a task's or repeated one."""

    number: int
    prompt: str
    task: str | None = None
    typed: bool = True


@dataclass(frozen=True, slots=True)
class Piece:
    """More of the answer; nothing in it can move a terminal's cursor."""

    text: str


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The pieces so far are not the answer; `text` is. They were the model's reasoning, or a cut answer (`cut`)."""

    text: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the person should know, in one sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class ChatAnswered:
    """The answer is whole, or was stopped and is kept as far as it went."""

    number: int
    turn: ChatTurn


@dataclass(frozen=True, slots=True)
class Silenced:
    """Stopped before its first word; the question is dropped."""


Event = ChatStarted | PictureAdded | Asked | Waiting | Piece | Rewritten | Notice | ChatAnswered | Silenced


def passing(events: Iterator[T], look: Callable[[T], None]) -> Iterator[T]:
    """`yield from events`, calling `look` with each; a KeyboardInterrupt that is thrown in reaches `events`."""
    event = next(events, None)
    while event is not None:
        look(event)
        try:
            yield event
        except KeyboardInterrupt:
            event = _thrown(events)
        else:
            event = next(events, None)


def drive(events: Iterator[T], show: Callable[[T], None]) -> T | None:
    """Show each event and return the last one; Ctrl-C while one is shown reaches `events`, as at any other time."""
    last = None
    event = next(events, None)
    while event is not None:
        last = event
        try:
            show(event)
            event = next(events, None)
        except KeyboardInterrupt:
            event = _thrown(events)
    return last


def _thrown(events: Iterator[T]) -> T | None:
    """The next event after a KeyboardInterrupt inside `events`; raised here if it is not caught there."""
    throw: Callable[[BaseException], T] | None = getattr(events, "throw", None)
    if throw is None:
        raise KeyboardInterrupt
    try:
        return throw(KeyboardInterrupt())
    except StopIteration:
        return None


def tidy(text: str) -> str:
    """Text that is safe to show and to store: keeps lines and blanks, drops terminal controls and hidden characters."""
    kept = []
    for character in text:
        if character == "\n":
            kept.append(character)
        elif character == "\t":
            kept.append("    ")
        elif unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") and not _steers(character):
            kept.append(character)
    return "".join(kept)


def _steers(character: str) -> bool:
    """Bidirectional overrides and isolates, which could show words in another order than they have."""
    return "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
