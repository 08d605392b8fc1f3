"""The events of an interview; the last one is Done, Failed or InterviewStopped."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import InquisightError
from core.findings import Findings
from core.records import Caption, Claim, PictureInfo, StyledText, Turn


@dataclass(frozen=True, slots=True)
class Started:
    """Work on a picture begins; `turns` come from an earlier run that is resumed."""

    picture: PictureInfo
    vision: dict[str, str]
    questioner: dict[str, str]
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A model is about to be called: "looking", "asking", "answering", "examining", "summarising", "auditing" ..."""

    doing: str


@dataclass(frozen=True, slots=True)
class Encoded:
    seconds: float


@dataclass(frozen=True, slots=True)
class PlainCaption:
    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Examined:
    """Witnesses have examined the picture; their answers follow. `problems`: one line for each that failed."""

    findings: tuple[Findings, ...]
    problems: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class QuestionAsked:
    """The vision model, or the witnesses, get question `number` (from 1)."""

    number: int
    question: str
    asked_by: str
    seconds: float


@dataclass(frozen=True, slots=True)
class QuestionRefused:
    """A reply of the questioner is no new question; it is called again, another one asks, or asking ends."""

    question: str
    seconds: float
    reason: str = ""
    """As in `core.records.RefusedQuestion`."""


@dataclass(frozen=True, slots=True)
class Answered:
    number: int
    turn: Turn
    seconds: float


@dataclass(frozen=True, slots=True)
class SummaryPiece:
    """A piece of a draft of the summary as the model writes it: neither cleaned nor checked, for display only."""

    text: str


@dataclass(frozen=True, slots=True)
class SummaryRefused:
    """The draft is dropped: the questioner, or then the rules, write another one."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class SummaryWritten:
    """The checked summary; `removed` are the sentences that were taken out, `by` is "questioner" or "rules"."""

    text: str
    seconds: float
    removed: tuple[str, ...] = ()
    by: str = ""


@dataclass(frozen=True, slots=True)
class Audited:
    """The judged claims of the summary; `text` is what is left of it, "" where nothing was to be taken out."""

    claims: tuple[Claim, ...]
    text: str
    questions: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StyleWritten:
    """The text of one style; they come in the order in which they were asked for."""

    written: StyledText


@dataclass(frozen=True, slots=True)
class Done:
    """The last event. `id` is None if nothing was saved; `save_error` is the reason if saving failed."""

    caption: Caption
    id: str | None = None
    save_error: InquisightError | None = None


@dataclass(frozen=True, slots=True)
class Failed(Done):
    """The last event if a model failed; the caption holds what was learned so far.

    If only the audit failed, the caption is complete but for its `unaudited`.
    """

    error: InquisightError | None = None


@dataclass(frozen=True, slots=True)
class InterviewStopped(Done):
    """The last event after an interruption (Ctrl-C)."""


Event = (
    Started
    | Waiting
    | Encoded
    | PlainCaption
    | Examined
    | QuestionAsked
    | QuestionRefused
    | Answered
    | SummaryPiece
    | SummaryRefused
    | SummaryWritten
    | Audited
    | StyleWritten
    | Done
)
