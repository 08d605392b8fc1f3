"""An interview about a video that somebody watches from another thread, and may stop and go on with.

    watched = Watched(info, open_it, eye, questioner, Wishes(frames=8), save=store.add, show=keep_frame)
    for event in watched.run(halted): ...       # one thread drives
    watched.view                                # any thread looks: a frozen picture of how it stands
    watched.run(halted)                         # again, where it had stopped or failed: it goes on
    watched.ask(3, "What is it?")               # between two runs: a person's own question, and what a person knows
    watched.correct(2, "a red boat")            # better; the next run sees to it, and the story is told anew

The protocol is `agents.video.interview`, the calls are `agents.video.driver`; this adds a view.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from agents.interview.driver import (
    Answered,
    Done,
    Event,
    QuestionAsked,
    Started,
    SummaryPiece,
    SummaryWritten,
    Waiting,
    check_language,
)
from agents.interview.live import State, ended
from agents.interview.prompts import Prompts
from agents.text.cleaning import clean_answer, clean_question
from agents.video.driver import VideoPlan, interview_video, plan_video
from agents.video.interview import VideoInterview, VideoOptions, VideoPart, frame_of, label, without_label
from agents.video.prompts import load_prompts
from agents.video.records import is_video
from agents.video.sampling import Sampling
from core.entries import one_line
from core.errors import InquisightError, UsageError
from core.video.base import clock

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agents.interview.driver import Save
    from core.images.picture import Picture
    from core.records import Caption, PictureInfo, Turn
    from core.video.base import Video
    from core.vision import VisionBackend


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a video is to be told; None: as `inquisight video` does it unasked."""

    frames: int | None = None
    sampling: Sampling = "uniform"
    every: float | None = None
    scenes: int | None = None
    begin: float | None = None
    until: float | None = None
    rounds: int | None = None
    context: int = 1
    language: str | None = None
    most: int | None = None
    """Frames that somebody is ready to look at, in all parts together."""

    def plan(self, video: Video, watch: Callable[[float], None] | None = None) -> VideoPlan:
        """Which frames and parts these are. Raises UsageError."""
        plan = plan_video(
            video,
            frames=self.frames,
            sampling=self.sampling,
            every=self.every,
            most_scenes=self.scenes,
            begin=self.begin,
            until=self.until,
            watch=watch,
        )
        if self.most is not None and len(plan.numbers) > self.most:
            raise UsageError(
                f"these would be {len(plan.numbers)} frames, more than the {self.most} allowed; take fewer of them, or "
                "a part of the video"
            )
        return plan

    def options(self, plan: VideoPlan) -> VideoOptions:
        """For the interview. Raises UsageError."""
        rounds = plan.rounds if self.rounds is None else self.rounds
        return VideoOptions(rounds=rounds, context=self.context, language=self.language)


@dataclass(frozen=True, slots=True)
class VideoView:
    """How the interview about a video stands."""

    state: State = "new"
    doing: str = ""
    """What is being waited for, as the driver's `Waiting` says it, or "reading", "choosing frames"; "" for nothing."""
    times: tuple[float, ...] = ()
    """Of frames 1, 2 ...; empty while they are not chosen."""
    parts: tuple[VideoPart, ...] = ()
    turns: tuple[Turn, ...] = ()
    """As the record keeps them: labelled with their frame; summaries of parts among them."""
    asked: str = ""
    """The question that is being answered, labelled."""
    written: str = ""
    """The telling as far as it is written, not cleaned."""
    summary: str = ""
    error: str = ""
    caption: Caption | None = None
    id: str | None = None
    """Of the transcript, once it is kept."""
    save_error: str = ""


def plan_of(caption: Caption) -> VideoPlan:
    """The plan that a kept interview followed. Raises UsageError for a picture's."""
    if not is_video(caption):
        raise UsageError("this is the interview about a picture, not about a video")
    said = caption.options["video"]
    return VideoPlan(
        tuple(int(frame["number"]) for frame in said["frames"]),
        tuple(float(frame["seconds"]) for frame in said["frames"]),
        tuple(VideoPart(int(p["first"]), int(p["last"]), float(p["begin"]), float(p["end"])) for p in said["parts"]),
        str(said["sampling"]),
    )


def view_of(caption: Caption) -> VideoView:
    """How a kept interview stands."""
    plan = plan_of(caption)
    return VideoView(
        state=caption.status,
        times=plan.times,
        parts=plan.parts,
        turns=caption.dialogue.turns,
        summary=caption.summary,
        error=caption.error or "",
        caption=caption,
        id=caption.id,
    )


@dataclass(eq=False)
class Watched:
    """One video's interview, driven by one thread and looked at by others.

    `open_video` is called when it runs. `show` gets each frame that an eye looks at, by its number from 1, and is
    called by the driving thread. `earlier`: a kept interview about the same video, to be shown and gone on with.
    """

    info: PictureInfo
    open_video: Callable[[], Video]
    vision: Callable[[], VisionBackend]
    questioner: Callable[[], BaseChatModel]
    wishes: Wishes = field(default_factory=Wishes)
    prompts: Prompts = field(default_factory=load_prompts)
    seed: int | None = None
    save: Save | None = None
    show: Callable[[int, Picture], None] = lambda number, picture: None
    earlier: Caption | None = None

    def __post_init__(self) -> None:
        self._lock, self._driving = threading.Lock(), threading.Lock()
        self._plan: VideoPlan | None = None
        self._interview: VideoInterview | None = None
        self._view = VideoView()
        if self.earlier is not None:
            if self.earlier.picture.sha256 != self.info.sha256:
                raise UsageError("this is not the video of that interview; its content differs")
            if self.earlier.options.get("prompts", self.prompts.sha256) != self.prompts.sha256:
                raise UsageError(
                    "this interview was begun with prompts of your own; go on with `inquisight video --prompts FILE`"
                )
            plan = self._plan = plan_of(self.earlier)
            known = ("rounds", "context", "language")
            options = VideoOptions(**{k: self.earlier.options[k] for k in known if k in self.earlier.options})
            self._interview = VideoInterview(self.prompts, options, plan.times, plan.parts).resume(self.earlier)
            self._view = view_of(self.earlier)

    @property
    def view(self) -> VideoView:
        """How it stands now."""
        with self._lock:
            return self._view

    # --- what a person wishes, between two runs ---------------------------------------------------------------------

    def ask(self, frame: int, question: str) -> None:
        """A person's own question about a frame, for the next run; it replaces one that waits. Raises UsageError."""
        cleaned = clean_question(question)
        if not cleaned:
            raise UsageError("write a question first")
        with self._at_rest() as interview:
            interview.inject(label(frame, cleaned))

    def correct(self, index: int, answer: str) -> None:
        """Replace the answer of turn `index` (from 0) by what a person knows, for the next run. Raises UsageError."""
        with self._at_rest() as interview:
            turns = interview.dialogue.turns
            if not 0 <= index < len(turns) or frame_of(turns[index].question) is None:
                raise UsageError(f"there is no answer {index + 1} about a frame in this interview")
            cleaned = clean_answer(answer, without_label(turns[index].question))
            if not cleaned:
                raise UsageError("write the right answer first")
            if cleaned == turns[index].answer:
                raise UsageError("this is the answer that stands there already")
            interview.correct(index, cleaned)
            self._set(turns=interview.dialogue.turns)

    @contextmanager
    def _at_rest(self) -> Iterator[VideoInterview]:
        """The interview, which nobody drives meanwhile; what stood of its story is outdated afterwards."""
        if not self._driving.acquire(blocking=False):
            raise UsageError("this interview is going on; wait for its end, or stop it")
        try:
            if self._interview is None:
                raise UsageError("this interview has not begun")
            yield self._interview
            self._set(state="stopped", summary="")
        finally:
            self._driving.release()

    # --- driving ----------------------------------------------------------------------------------------------------

    def run(self, halted: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Drive it to its end; `halted` is asked between events, and while scenes are looked for. InquisightError."""
        if not self._driving.acquire(blocking=False):
            raise UsageError("this interview is going on already")
        try:
            yield from self._run(halted)
        except (KeyboardInterrupt, GeneratorExit):
            self._set(state="stopped", doing="", asked="", written="")
            raise
        except Exception as error:
            said = str(error) if isinstance(error, InquisightError) else one_line(error)
            self._set(state="failed", doing="", asked="", written="", error=said)
            raise
        finally:
            self._driving.release()

    def _run(self, halted: Callable[[], bool]) -> Iterator[Event]:
        if self.view.state == "complete":
            return
        self._set(state="running", doing="reading", error="", save_error="")
        halted()  # who asks sees at once what is being done
        with self.open_video() as video:
            plan = self._planned(video, halted)
            if self._interview is None:
                self._interview = VideoInterview(self.prompts, self.wishes.options(plan), plan.times, plan.parts)
            interview = self._interview
            interview.go_on()
            self._set(doing="", times=plan.times, parts=plan.parts)
            questioner = self.questioner()
            check_language(interview.options, questioner)
            vision = self.vision()
            if halted():
                raise KeyboardInterrupt
            events = interview_video(
                cast("Video", _Showing(video, plan.numbers, self.show)),
                plan,
                vision,
                questioner,
                seed=self.seed,
                earlier=self.view.caption,
                interview=interview,
                save=self.save,
            )
            for event in events:
                self._note(event)
                yield event
                if halted() and not isinstance(event, Started | Done):
                    # To the driver it is a Ctrl-C: it keeps what it has and says so.
                    event = events.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
                    self._note(event)
                    yield event
                    return

    def _planned(self, video: Video, halted: Callable[[], bool]) -> VideoPlan:
        def watch(reached: float) -> None:
            self._set(doing=f"looking for scenes, {clock(reached)} of {clock(video.end)}")
            if halted():
                raise KeyboardInterrupt

        if self._plan is None:
            self._set(doing="choosing frames")
            self._plan = self.wishes.plan(video, watch)
        return self._plan

    def _note(self, event: Event) -> None:
        match event:
            case Started():
                self._set(turns=event.turns)
            case Waiting():
                self._set(doing=event.doing)
            case QuestionAsked():
                self._set(asked=event.question)
            case Answered():
                turns = self.view.turns  # one that was told anew keeps its place
                turns = (*turns[: event.number - 1], event.turn, *turns[event.number :])
                self._set(turns=turns, asked="", written="")
            case SummaryPiece():
                self._set(written=self.view.written + event.text)
            case SummaryWritten():
                self._set(summary=event.text, written="")
            case Done():
                self._set(**ended(event), turns=event.caption.dialogue.turns)

    def _set(self, **changes: object) -> None:
        with self._lock:
            self._view = replace(self._view, **changes)  # type: ignore[arg-type]


class _Showing:
    """A video that shows each frame it hands out, so that none is decoded twice for those who watch."""

    def __init__(self, video: Video, numbers: Sequence[int], show: Callable[[int, Picture], None]) -> None:
        self._video, self._show = video, show
        self._frames = {number: frame for frame, number in enumerate(numbers, start=1)}

    def __getattr__(self, name: str) -> object:
        return getattr(self._video, name)

    def pictures(self, numbers: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        """As the video's."""
        for number, picture in self._video.pictures(numbers):
            self._show(self._frames[number], picture)
            yield number, picture
