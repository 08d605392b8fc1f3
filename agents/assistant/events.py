"""Events of an assistant's run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.chat.events import Notice, Piece, Rewritten
from core.errors import InquisightError
from core.records import Chat as ChatRecord
from core.records import PictureInfo, ToolCall


class StopRequested(BaseException):
    """Ends a stopped run from inside a tool; no Exception, so that nothing catches it."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The run begins."""

    pictures: tuple[PictureInfo, ...]
    vision: dict[str, str]
    assistant: dict[str, str]


@dataclass(frozen=True, slots=True)
class Thinking:
    """The language model is about to be called."""


@dataclass(frozen=True, slots=True)
class Said:
    """Words of the language model beside its tool calls, which follow."""

    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """Tool call `number` (from 1) begins."""

    number: int
    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Overheard:
    """A question and its answer in a tool's interview."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Returned:
    """Tool call `number` has ended; `call.failed` says whether it failed."""

    number: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class Concluded:
    """The last event. `id` is None if nothing was saved; `save_error` says why saving failed."""

    answer: str
    record: ChatRecord
    id: str | None = None
    save_error: InquisightError | None = None
    error: InquisightError | None = None  # why there is no answer
    interrupted: bool = False


Event = Begun | Thinking | Piece | Rewritten | Said | Called | Overheard | Returned | Notice | Concluded
