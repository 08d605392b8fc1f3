"""An interview that one thread drives while others watch and steer it: stop, ask a question, correct an answer.

    interview = LiveInterview(info, open_picture, vision, questioner, InterviewOptions(rounds=8), save=store.add)
    for event in interview.run(halted): ...     # one thread drives
    interview.view                              # any thread: the current state
    interview.ask("Is it raining?")             # any thread: put after the current question
    interview.correct(2, "a dog")               # any thread: later turns are asked again
    interview.run(halted)                       # after the end: serves the pending requests

The protocol is `agents.interview.protocol`, the driver `agents.interview.driver`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from agents.interview.calls import check_language
from agents.interview.driver import interview_picture
from agents.interview.events import (
    Answered,
    Done,
    Event,
    PlainCaption,
    QuestionAsked,
    QuestionRefused,
    Started,
    SummaryPiece,
    SummaryRefused,
    SummaryWritten,
    Waiting,
)
from agents.interview.prompts import Prompts
from agents.interview.protocol import Interview, InterviewOptions, NeedAnswer
from agents.live import Live
from agents.text.cleaning import clean_answer, clean_question, plain_text
from core.errors import UsageError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agents.interview.driver import Save
    from agents.witnesses.examination import Find
    from core.findings import Findings
    from core.images.picture import Picture
    from core.records import Caption, PictureInfo, RefusedQuestion, Turn
    from core.vision import VisionBackend

# After these events the driver holds no request of the interview, so the next step may be changed.
_BETWEEN = (Started, PlainCaption, Answered, QuestionRefused, SummaryWritten)


@dataclass(frozen=True, slots=True)
class LiveState:
    """State of an interview about a picture or a video."""

    state: Literal["new", "running", "complete", "stopped", "failed"] = "new"
    turns: tuple[Turn, ...] = ()
    asked: str = ""
    """The question that is being answered."""
    asked_by: str = ""
    doing: str = ""
    """The `doing` of the driver's last `Waiting`, or "" if nothing is awaited."""
    summary: str = ""
    written: str = ""
    """A draft of the summary as far as it is written, neither cleaned nor checked."""
    summary_by: str = ""
    """Who wrote it: "questioner" or "rules"."""
    removed: tuple[str, ...] = ()
    """Sentences that were taken out of the summary."""
    error: str = ""
    caption: Caption | None = None
    id: str | None = None
    """Of the transcript, once it is saved."""
    save_error: str = ""
    refused: tuple[RefusedQuestion, ...] = ()
    """Replies of the questioner that were not asked."""

    @property
    def text(self) -> str:
        """The summary, what an audit has left of it, or a person's version of it."""
        caption = self.caption if self.caption is not None and self.caption.summary == self.summary else None
        return caption.text if caption is not None and caption.status == "complete" else self.summary

    @property
    def unaudited(self) -> bool:
        """Whether only the audit of the summary is missing."""
        return self.state == "complete" and self.caption is not None and not self.caption.finished


@dataclass(frozen=True, slots=True)
class InterviewState(LiveState):
    """State of an interview about a picture."""

    plain: str = ""
    opening: str = ""
    findings: tuple[Findings, ...] = ()
    problems: tuple[str, ...] = ()
    """One line for each witness that failed."""
    waiting: tuple[str, ...] = ()
    """A person's questions that have not been put yet."""


S = TypeVar("S", bound=LiveState)


class LiveRun(Live[S]):
    """What live interviews about pictures and videos share."""

    busy = "this interview is going on already"
    _interview: Interview | None = None
    save: Save | None

    def run(self, halted: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Drive until nothing is left to do; `halted` is checked between events. Models raise InquisightError.

        May be called again after the interview has ended, stopped or failed: it resumes.
        """
        with self._driven():
            yield from self._run(halted)

    def edit(self, text: str) -> None:
        """Save a person's version of the caption; the versions before it are kept. Raises UsageError, StoreError."""
        caption = self.view.caption
        if self.running or caption is None or caption.status != "complete":
            raise UsageError("the caption is not finished yet; wait for its end, then edit it")
        caption = edited(caption, text)
        saved = {} if self.save is None else {"id": self.save(caption), "save_error": ""}
        self._set(caption=caption, **saved)

    def _run(self, halted: Callable[[], bool]) -> Iterator[Event]:
        raise NotImplementedError

    def _ended(self, error: str | None) -> None:
        state = "stopped" if error is None else "failed"
        self._set(state=state, doing="", asked="", written="", **({} if error is None else {"error": error}))

    def _followed(self, events: Iterator[Event], halted: Callable[[], bool]) -> Generator[Event, None, Event | None]:
        """Note and yield events. Returns the last one, or None if `halted` stopped the interview before."""
        event: Event | None = None
        for event in events:
            self._note(event)
            yield event
            if halted() and not isinstance(event, Started | Done):
                # For the driver this is Ctrl-C: it saves what it has and yields InterviewStopped.
                event = events.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
                self._note(event)
                yield event
                return None
            if isinstance(event, _BETWEEN):
                self._apply_requests()
        return event

    def _apply_requests(self) -> None:
        """Apply what a person has requested meanwhile."""

    def _note(self, event: Event) -> None:
        match event:
            case Waiting():
                need = self._interview.need if self._interview else None
                asked = (need.labelled, need.asked_by) if isinstance(need, NeedAnswer) else ("", "")
                self._set(doing=event.doing, asked=asked[0], asked_by=asked[1])
            case QuestionAsked():
                self._set(asked=event.question, asked_by=event.asked_by)
            case Answered():
                self._set(asked="", asked_by="", written="")
            case SummaryPiece():
                self._set(written=self.view.written + event.text)
            case SummaryWritten() | SummaryRefused():
                self._set(written="")
            case Done():
                done = {"id": event.id, "save_error": str(event.save_error or ""), "written": ""}
                self._set(**{**fields_of(event.caption), **done}, doing="", asked="", asked_by="")
            case _:
                self._set()

    def _set(self, **changes: Any) -> None:
        if self._interview is not None:
            changes["turns"] = self._interview.dialogue.turns
            changes["refused"] = self._interview.asking.log
            changes["summary"] = self._interview.summary or ""
            changes["summary_by"] = self._interview.check.by
            changes["removed"] = self._interview.check.removed
        super()._set(**changes)


def fields_of(caption: Caption) -> dict[str, Any]:
    """The fields of `LiveState` that a saved interview determines."""
    return {
        "state": caption.status,
        "turns": caption.dialogue.turns,
        "summary": caption.summary,
        "summary_by": caption.summary_by,
        "removed": caption.removed,
        "refused": caption.refused,
        "error": caption.error or "",
        "caption": caption,
        "id": caption.id,
    }


def view_of(caption: Caption) -> InterviewState:
    """The state of a saved interview."""
    shown = {name: getattr(caption, name) for name in ("plain", "opening", "findings", "problems")}
    return InterviewState(**fields_of(caption), **shown)


@dataclass(frozen=True, slots=True)
class _Question:
    text: str


@dataclass(frozen=True, slots=True)
class _Correction:
    index: int
    answer: str
    go_on: bool


@dataclass(eq=False)
class LiveInterview(LiveRun[InterviewState]):
    """One picture's interview.

    `open_picture` is called when it runs, so pixels are held no longer than needed. `earlier`: a saved interview about
    the same picture, to show and resume.
    """

    info: PictureInfo
    open_picture: Callable[[], Picture]
    vision: Callable[[], VisionBackend]
    questioner: Callable[[], BaseChatModel]
    options: InterviewOptions = field(default_factory=InterviewOptions)
    prompts: Prompts = field(default_factory=Prompts.load)
    seed: int | None = None
    save: Save | None = None
    earlier: Caption | None = None
    find_witness: Find | None = None

    def __post_init__(self) -> None:
        self._requests: deque[_Question | _Correction] = deque()
        if self.earlier is None:
            self._interview: Interview = Interview(self.prompts, self.options)
            self._begin(InterviewState())
            return
        if self.earlier.picture.sha256 != self.info.sha256:
            raise UsageError("this is not the picture of that interview; its content differs")
        self._interview = Interview.resumed(self.earlier, self.prompts, self.options)
        self._begin(view_of(self.earlier))

    @property
    def requested(self) -> bool:
        """Whether a request waits that `run` has not served."""
        return bool(self._requests)

    def ask(self, question: str) -> None:
        """Request a question; from any thread. Raises UsageError if it is empty."""
        self._request(_Question(checked_question(question)))

    def correct(self, index: int, answer: str, *, go_on: bool = True) -> None:
        """Request that `answer` replaces the answer of turn `index` (from 0); from any thread. Raises UsageError.

        `go_on`: later turns rest on the wrong answer, so they are dropped and asked again; otherwise they stay and
        only the summary is written again.
        """
        turns = self.view.turns
        if not 0 <= index < len(turns):
            raise UsageError(f"there is no answer {index + 1} in this interview")
        self._request(_Correction(index, checked_answer(answer, turns[index].question, turns[index].answer), go_on))

    def _request(self, request: _Question | _Correction) -> None:
        with self._lock:
            self._requests.append(request)
            self._set()

    def _run(self, halted: Callable[[], bool]) -> Iterator[Event]:
        self._set(state="running", doing="looking", error="", save_error="")
        questioner = self.questioner()
        check_language(self.options, questioner)
        vision, picture = self.vision(), self.open_picture()
        again = True
        while again:
            self._interview.go_on()
            self._apply_requests()
            events = interview_picture(
                picture,
                vision,
                questioner,
                seed=self.seed,
                save=self.save,
                interview=self._interview,
                earlier=self.view.caption,
                find_witness=self.find_witness,
            )
            last = yield from self._followed(events, halted)
            again = bool(self._requests) and type(last) is Done

    def _apply_requests(self) -> None:
        with self._lock:
            while self._requests:
                request = self._requests[0]
                if isinstance(request, _Correction):
                    # Turns may have been dropped since the request; then there is nothing to correct.
                    if request.index < len(self._interview.dialogue.turns):
                        self._interview.correct(request.index, request.answer, go_on=request.go_on)
                else:
                    if self._interview.pending:
                        break
                    self._interview.inject(request.text)
                self._requests.popleft()
            self._set()

    def _note(self, event: Event) -> None:
        if isinstance(event, PlainCaption):
            self._set(plain=event.text)
        elif isinstance(event, Done):
            self._set(plain=event.caption.plain)
        super()._note(event)

    def _set(self, **changes: Any) -> None:
        waiting = tuple(request.text for request in self._requests if isinstance(request, _Question))
        found = {"findings": self._interview.findings or (), "problems": self._interview.problems}
        super()._set(**changes, **found, opening=self._interview.opening, waiting=waiting)


def edited(caption: Caption, text: str) -> Caption:
    """The caption with a person's version of its text, cleaned. Raises UsageError if that is empty."""
    cleaned = plain_text(text, keep_lines=True)
    if not cleaned:
        raise UsageError("write the caption first")
    return caption.edited(cleaned)


def checked_question(question: str) -> str:
    """A person's question, cleaned. Raises UsageError if it is empty."""
    cleaned = clean_question(question)
    if not cleaned:
        raise UsageError("write a question first")
    return cleaned


def checked_answer(answer: str, question: str, current: str) -> str:
    """A person's correction of the answer `current`, cleaned. Raises UsageError if it is empty or changes nothing."""
    cleaned = clean_answer(answer, question)
    if not cleaned:
        raise UsageError("write the right answer first")
    if cleaned == current:
        raise UsageError("the answer already says this; change it first")
    return cleaned


def corrected(turn: Turn) -> bool:
    """Whether a person has corrected this answer: it differs from the model's own words after cleaning."""
    return turn.raw_answer is not None and clean_answer(turn.raw_answer, turn.question) != turn.answer
