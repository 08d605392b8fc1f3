"""An interview about a video that one thread drives while others watch, stop and resume it.

    live = LiveVideo(info, open_it, vision, questioner, VideoParameters(frames=8), save=store.add, show=keep_frame)
    for event in live.run(halted): ...          # one thread drives
    live.view                                   # any thread: the current state
    live.run(halted)                            # after a stop or failure: resumes
    live.ask(3, "What is it?")                  # between two runs: a person's question about a frame
    live.correct(2, "a red boat")               # between two runs: the next run summarises again

The protocol is `agents.video.interview`, the driver `agents.video.driver`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from agents.interview.calls import check_language
from agents.interview.events import Event
from agents.interview.live import LiveRun, LiveState, checked_answer, checked_question, fields_of
from agents.interview.options import AskingMode, AuditMode, Fallback, asking_options
from agents.interview.prompts import Prompts
from agents.video.driver import VideoPlan, interview_video, plan_video
from agents.video.interview import VideoInterview, VideoOptions, VideoPart, frame_of, label, without_label
from agents.video.prompts import load_prompts
from agents.video.records import is_video
from agents.video.sampling import Sampling
from core.errors import UsageError
from core.video.base import clock

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agents.interview.driver import Save
    from core.images.picture import Picture
    from core.records import Caption, PictureInfo
    from core.video.base import Video
    from core.vision import VisionBackend


@dataclass(frozen=True, slots=True)
class VideoParameters:
    """How to describe a video; None: the default of `inquisight video`."""

    frames: int | None = None
    sampling: Sampling = "uniform"
    every: float | None = None
    scenes: int | None = None
    begin: float | None = None
    until: float | None = None
    rounds: int | None = None
    history: int = 1
    language: str | None = None
    most: int | None = None
    """Maximum number of frames in all parts together."""
    witnesses: tuple[str, ...] = ()
    """Names of the witnesses that examine frames."""
    asking: AskingMode = "free"
    fallback: Fallback = "scripted"
    min_rounds: int | None = None
    audit: AuditMode = "none"
    context: str = ""
    """What the owner of the video tells of it, as `agents.styles.owner.joined_context` makes it."""

    def plan(self, video: Video, watch: Callable[[float], None] | None = None) -> VideoPlan:
        """Choose frames and parts. Raises UsageError."""
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
        more = {**asking_options(self), "audit": self.audit, "witnesses": self.witnesses, "context": self.context}
        return VideoOptions(rounds=rounds, history=self.history, language=self.language, **more)


@dataclass(frozen=True, slots=True)
class VideoState(LiveState):
    """State of an interview about a video; `turns` and `asked` are labelled with their frame."""

    times: tuple[float, ...] = ()
    """Of frames 1, 2 ...; empty until they are chosen."""
    parts: tuple[VideoPart, ...] = ()


def plan_of(caption: Caption) -> VideoPlan:
    """The plan that a saved interview followed. Raises UsageError for a picture's."""
    if not is_video(caption):
        raise UsageError("this is the interview about a picture, not about a video")
    video = caption.options["video"]
    return VideoPlan(
        tuple(int(frame["number"]) for frame in video["frames"]),
        tuple(float(frame["seconds"]) for frame in video["frames"]),
        tuple(VideoPart(int(p["first"]), int(p["last"]), float(p["begin"]), float(p["end"])) for p in video["parts"]),
        str(video["sampling"]),
    )


def view_of(caption: Caption) -> VideoState:
    """The state of a saved interview."""
    plan = plan_of(caption)
    return VideoState(**fields_of(caption), times=plan.times, parts=plan.parts)


@dataclass(eq=False)
class LiveVideo(LiveRun[VideoState]):
    """One video's interview.

    `open_video` is called when it runs. `show` gets each frame that is encoded, by its number from 1, in the driving
    thread. `earlier`: a saved interview about the same video, to show and resume.
    """

    info: PictureInfo
    open_video: Callable[[], Video]
    vision: Callable[[], VisionBackend]
    questioner: Callable[[], BaseChatModel]
    parameters: VideoParameters = field(default_factory=VideoParameters)
    prompts: Prompts = field(default_factory=load_prompts)
    seed: int | None = None
    save: Save | None = None
    show: Callable[[int, Picture], None] = lambda number, picture: None
    earlier: Caption | None = None

    def __post_init__(self) -> None:
        self._plan: VideoPlan | None = None
        self._interview: VideoInterview | None = None
        self._begin(VideoState())
        if self.earlier is not None:
            if self.earlier.picture.sha256 != self.info.sha256:
                raise UsageError("this is not the video of that interview; its content differs")
            if self.earlier.options.get("prompts", self.prompts.sha256) != self.prompts.sha256:
                raise UsageError(
                    "this interview was begun with prompts of your own; go on with `inquisight video --prompts FILE`"
                )
            plan = self._plan = plan_of(self.earlier)
            known = ("rounds", "history", "language", "asking", "fallback", "min_rounds", "audit", "threshold")
            same = {k: self.earlier.options[k] for k in known if k in self.earlier.options}
            witnesses = tuple(self.earlier.options.get("witnesses", ()))
            options = VideoOptions(**same, witnesses=witnesses, context=self.earlier.told)
            self._interview = VideoInterview(self.prompts, options, plan.times, plan.parts).resume(self.earlier)
            self._begin(view_of(self.earlier))

    def ask(self, frame: int, question: str) -> None:
        """Put a question about a frame in the next run; it replaces one that waits. Raises UsageError."""
        cleaned = checked_question(question)
        with self._at_rest() as interview:
            interview.inject(label(frame, cleaned))

    def correct(self, index: int, answer: str) -> None:
        """Replace the answer of turn `index` (from 0) and summarise again in the next run. Raises UsageError."""
        with self._at_rest() as interview:
            turns = interview.dialogue.turns
            if not 0 <= index < len(turns) or frame_of(turns[index].question) is None:
                raise UsageError(f"there is no answer {index + 1} about a frame in this interview")
            turn = turns[index]
            interview.correct(index, checked_answer(answer, without_label(turn.question), turn.answer))

    @contextmanager
    def _at_rest(self) -> Iterator[VideoInterview]:
        """The interview, while no thread drives it; its summary is outdated afterwards."""
        if not self._driving.acquire(blocking=False):
            raise UsageError("this interview is going on; wait for its end, or stop it")
        try:
            if self._interview is None:
                raise UsageError("this interview has not begun")
            yield self._interview
            self._set(state="stopped")
        finally:
            self._driving.release()

    def _run(self, halted: Callable[[], bool]) -> Iterator[Event]:
        if self.view.state == "complete" and not self.view.unaudited:
            return
        self._set(state="running", doing="reading", error="", save_error="")
        halted()  # lets the caller show the state at once
        with self.open_video() as video:
            plan = self._planned(video, halted)
            if self._interview is None:
                self._interview = VideoInterview(self.prompts, self.parameters.options(plan), plan.times, plan.parts)
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
            yield from self._followed(events, halted)

    def _planned(self, video: Video, halted: Callable[[], bool]) -> VideoPlan:
        def watch(reached: float) -> None:
            self._set(doing=f"looking for scenes, {clock(reached)} of {clock(video.end)}")
            if halted():
                raise KeyboardInterrupt

        if self._plan is None:
            self._set(doing="choosing frames")
            self._plan = self.parameters.plan(video, watch)
        return self._plan


class _Showing:
    """A video that passes each decoded frame to `show`, so none is decoded twice."""

    def __init__(self, video: Video, numbers: Sequence[int], show: Callable[[int, Picture], None]) -> None:
        self._video, self._show = video, show
        self._frames = {number: frame for frame, number in enumerate(numbers, start=1)}

    def __getattr__(self, name: str) -> object:
        return getattr(self._video, name)

    def pictures(self, numbers: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        """As `Video.pictures`."""
        for number, picture in self._video.pictures(numbers):
            if number in self._frames:
                self._show(self._frames[number], picture)
            yield number, picture
