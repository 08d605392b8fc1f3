"""An interview that somebody watches and steers from another thread: stop, ask something, put an answer right.

    interview = LiveInterview(info, open_it, vision, questioner, InterviewOptions(rounds=8), save=store.add)
    for event in interview.run(halted): ...     # one thread drives
    interview.view                              # any thread looks: a frozen picture of how it stands
    interview.ask("Is it raining?")             # any thread; it is put when the question at hand is answered
    interview.correct(2, "a dog")               # likewise; what followed from the wrong answer is asked anew
    interview.run(halted)                       # again, where it had ended: it goes on with what was wanted

The protocol is `agents.interview.protocol`, the calls are `agents.interview.driver`; this adds a mailbox and a view.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from agents.interview.driver import (
    Answered,
    Done,
    Event,
    Failed,
    PlainCaption,
    QuestionAsked,
    QuestionRefused,
    Started,
    SummaryPiece,
    SummaryWritten,
    Waiting,
    check_language,
    interview_picture,
)
from agents.interview.prompts import Prompts
from agents.interview.protocol import Interview, InterviewOptions, NeedAnswer
from agents.text.cleaning import clean_answer, clean_question
from core.entries import one_line
from core.errors import InquisightError, UsageError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agents.interview.driver import Save
    from core.images.picture import Picture
    from core.records import Caption, PictureInfo, Turn
    from core.vision import VisionBackend

State = Literal["new", "running", "complete", "stopped", "failed"]
# The driver holds no request of the interview at these events, so that what comes next may be changed.
_BETWEEN = (Started, PlainCaption, Answered, QuestionRefused, SummaryWritten)


def ended(event: Done) -> dict[str, Any]:
    """What a view says of an interview that came to its end, stopped or failed."""
    caption = event.caption
    return {
        "state": caption.status,
        "doing": "",
        "asked": "",
        "written": "",
        "summary": caption.summary,
        "error": str(event.error) if isinstance(event, Failed) else "",
        "caption": caption,
        "id": event.id,
        "save_error": str(event.save_error or ""),
    }


@dataclass(frozen=True, slots=True)
class InterviewState:
    """How an interview stands."""

    state: State = "new"
    turns: tuple[Turn, ...] = ()
    asked: str = ""
    """The question that is being answered."""
    asked_by: str = ""
    doing: str = ""
    """What is being waited for: "looking", "asking", "answering", "summarising" or ""."""
    plain: str = ""
    opening: str = ""
    summary: str = ""
    written: str = ""
    """The summary as far as it is written, not cleaned."""
    waiting: tuple[str, ...] = ()
    """Questions of a person that have not been put yet."""
    error: str = ""
    caption: Caption | None = None
    id: str | None = None
    """Of the transcript, once it is kept."""
    save_error: str = ""


@dataclass(frozen=True, slots=True)
class _Question:
    text: str


@dataclass(frozen=True, slots=True)
class _Correction:
    index: int
    answer: str
    go_on: bool


@dataclass(eq=False)
class LiveInterview:
    """One picture's interview, driven by one thread and steered by others.

    `open_picture` is called when it runs, so that the pixels are held no longer than needed. `earlier`: a kept
    interview of the same picture, to be shown and gone on with.
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

    def __post_init__(self) -> None:
        if self.earlier is not None:
            if self.earlier.picture.sha256 != self.info.sha256:
                raise UsageError("this is not the picture of that interview; its content differs")
            self._interview = Interview.resumed(self.earlier, self.prompts, self.options)
        else:
            self._interview = Interview(self.prompts, self.options)
        self._wishes: deque[_Question | _Correction] = deque()
        self._lock = threading.Lock()
        self._driving = threading.Lock()
        self._view = InterviewState() if self.earlier is None else view_of(self.earlier)

    @property
    def view(self) -> InterviewState:
        """How it stands now."""
        return self._view

    @property
    def wanted(self) -> bool:
        """Whether somebody wished something that `run` has not seen to."""
        return bool(self._wishes)

    @property
    def running(self) -> bool:
        """Whether a thread drives it."""
        return self._driving.locked()

    # --- wishes, from any thread --------------------------------------------------------------------------------

    def ask(self, question: str) -> None:
        """A person's own question. Raises UsageError where it is none."""
        cleaned = clean_question(question)
        if not cleaned:
            raise UsageError("write a question first")
        self._wish(_Question(cleaned))

    def correct(self, index: int, answer: str, *, go_on: bool = True) -> None:
        """Replace the answer of turn `index` (from 0) by what a person knows.

        `go_on`: the turns after it rest on the wrong answer, so they are dropped and asking goes on from there;
        otherwise they stay and only the summary is written anew. Raises UsageError.
        """
        turns = self._view.turns
        if not 0 <= index < len(turns):
            raise UsageError(f"there is no answer {index + 1} in this interview")
        cleaned = clean_answer(answer, turns[index].question)
        if not cleaned:
            raise UsageError("write the right answer first")
        if cleaned == turns[index].answer:
            raise UsageError("this is the answer that stands there already")
        self._wish(_Correction(index, cleaned, go_on))

    def _wish(self, wish: _Question | _Correction) -> None:
        with self._lock:
            self._wishes.append(wish)
            self._show()

    # --- driving ------------------------------------------------------------------------------------------------

    def run(self, halted: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Drive it until nothing is wanted any more; `halted` is asked between events. Models raise InquisightError.

        May be called again after it has ended, stopped or failed: it goes on.
        """
        if not self._driving.acquire(blocking=False):
            raise UsageError("this interview is going on already")
        try:
            yield from self._run(halted)
        except (KeyboardInterrupt, GeneratorExit):
            self._set(state="stopped", doing="", asked="")
            raise
        except Exception as error:
            said = str(error) if isinstance(error, InquisightError) else one_line(error)
            self._set(state="failed", doing="", asked="", error=said)
            raise
        finally:
            self._driving.release()

    def _run(self, halted: Callable[[], bool]) -> Iterator[Event]:
        self._set(state="running", doing="looking", error="", save_error="")
        questioner = self.questioner()
        check_language(self.options, questioner)
        vision, picture = self.vision(), self.open_picture()
        again = True
        while again:
            self._interview.go_on()
            self._grant()
            events = interview_picture(
                picture,
                vision,
                questioner,
                seed=self.seed,
                save=self.save,
                interview=self._interview,
                earlier=self._view.caption,
            )
            stopped = False
            event: Event | None = None
            for event in events:
                self._note(event)
                yield event
                if halted() and not isinstance(event, Started | Done):
                    # To the driver it is a Ctrl-C: it keeps what it has and says so.
                    event = events.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
                    self._note(event)
                    yield event
                    stopped = True
                    break
                if isinstance(event, _BETWEEN):
                    self._grant()
            again = bool(self._wishes) and not stopped and type(event) is Done

    def _grant(self) -> None:
        """Do what was wished, as far as it can be done now."""
        with self._lock:
            while self._wishes:
                wish = self._wishes[0]
                if isinstance(wish, _Correction):
                    # Turns may have gone since it was wished; then there is nothing to correct.
                    if wish.index < len(self._interview.dialogue.turns):
                        self._interview.correct(wish.index, wish.answer, go_on=wish.go_on)
                else:
                    if self._interview.pending:
                        break
                    self._interview.inject(wish.text)
                self._wishes.popleft()
            self._show()

    # --- the view -----------------------------------------------------------------------------------------------

    def _note(self, event: Event) -> None:
        match event:
            case Waiting():
                need = self._interview.need
                asked = (need.question, need.asked_by) if isinstance(need, NeedAnswer) else ("", "")
                self._set(doing=event.doing, asked=asked[0], asked_by=asked[1])
            case QuestionAsked():
                self._set(asked=event.question, asked_by=event.asked_by)
            case PlainCaption():
                self._set(plain=event.text)
            case Answered():
                self._set(asked="", asked_by="")
            case SummaryPiece():
                self._set(written=self._view.written + event.text)
            case SummaryWritten():
                self._set(summary=event.text, written="")
            case Done():
                self._set(**ended(event), asked_by="", plain=event.caption.plain)
            case _:
                self._set()

    def _set(self, **changes: object) -> None:
        with self._lock:
            self._view = replace(self._view, **changes)  # type: ignore[arg-type]
            self._show()

    def _show(self) -> None:
        """What the interview and the mailbox say themselves."""
        interview = self._interview
        self._view = replace(
            self._view,
            turns=interview.dialogue.turns,
            opening=interview.opening,
            summary=interview.summary or "",
            waiting=tuple(wish.text for wish in self._wishes if isinstance(wish, _Question)),
        )


def view_of(caption: Caption) -> InterviewState:
    """How a kept interview stands."""
    return InterviewState(
        state=caption.status,
        turns=caption.dialogue.turns,
        plain=caption.plain,
        opening=caption.opening,
        summary=caption.summary,
        error=caption.error or "",
        caption=caption,
        id=caption.id,
    )


def corrected(turn: Turn) -> bool:
    """Whether a person has put this answer right: it is not what cleaning makes of the model's own words."""
    return turn.raw_answer is not None and clean_answer(turn.raw_answer, turn.question) != turn.answer
