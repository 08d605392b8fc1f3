"""What happens while the agent works, as small events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agents.chat.events import Notice, Piece, Rewritten
from core.errors import InquisightError
from core.records import Chat as ChatRecord
from core.records import PictureInfo, ToolCall

if TYPE_CHECKING:
    pass


class StopRequested(BaseException):
    """Ends a run that nobody waits for any more, from inside a tool; no Exception, so that nothing catches it."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The assistant gets to work."""

    pictures: tuple[PictureInfo, ...]
    vision: dict[str, str]
    assistant: dict[str, str]


@dataclass(frozen=True, slots=True)
class Thinking:
    """The language model is about to be called."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the language model said beside its tool calls, which are about to be made."""

    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """Tool call `number` (from 1) begins."""

    number: int
    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Overheard:
    """A question and its answer inside an interview that a tool holds."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Returned:
    """Tool call `number` is done; `call.failed` tells whether it went wrong."""

    number: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class Concluded:
    """The last event. `id` is None where nothing was kept; `save_error` says why if that was not wanted."""

    answer: str
    record: ChatRecord
    id: str | None = None
    save_error: InquisightError | None = None
    error: InquisightError | None = None  # why there is no answer
    interrupted: bool = False


Event = Begun | Thinking | Piece | Rewritten | Said | Called | Overheard | Returned | Notice | Concluded
