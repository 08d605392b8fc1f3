"""Move the interview about one video: choose frames, encode each once, and tell what happens in small events.

    with open_video("clip.mp4") as video:
        plan = plan_video(video, frames=8)
        for event in interview_video(video, plan, vision, questioner, VideoOptions(rounds=12), seed=1):
            ...

The events are those of `agents.interview.driver`, so whatever prints or watches interviews about pictures does so here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from agents.interview.driver import (
    Answered,
    Encoded,
    Event,
    QuestionAsked,
    QuestionRefused,
    Save,
    SummaryWritten,
    Waiting,
    _Run,
    described_options,
    key_of,
)
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions, NeedAnswer, NeedPlainCaption, NeedQuestion
from agents.video.interview import NeedFrameAnswer, NeedTelling, VideoInterview, VideoOptions, VideoPart
from agents.video.prompts import load_prompts
from agents.video.records import video_options
from agents.video.sampling import (
    Sampling,
    Stretch,
    between,
    by_key,
    by_scene,
    by_time,
    cuts_in,
    scenes,
    scenes_wanted,
    uniform,
)
from core.errors import BackendError, UsageError
from core.records import Caption

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from core.video.base import Video
    from core.vision import EncodedImage, VisionBackend

FRAMES: Final = 8
FRAMES_OF_SCENE: Final = 4
MOST_FRAMES: Final = 120  # by time, where nobody said a number
ROUNDS: Final = 30
ROUNDS_OF_SCENE: Final = 8
BATCH: Final = 16  # frames that are decoded and encoded together
WATCHED: Final = 0.2  # seconds between two words about progress


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """Which frames are looked at, and in which parts the video is told."""

    numbers: tuple[int, ...]  # in the video, from 0, rising
    times: tuple[float, ...]
    parts: tuple[VideoPart, ...]
    sampling: str

    @property
    def rounds(self) -> int:
        """Questions, of each part, where nobody said how many."""
        return ROUNDS_OF_SCENE if len(self.parts) > 1 else ROUNDS


def plan_video(
    video: Video,
    *,
    frames: int | None = None,
    sampling: Sampling = "uniform",
    every: float | None = None,
    most_scenes: int | None = None,
    begin: float | None = None,
    until: float | None = None,
    watch: Callable[[float], None] | None = None,
) -> VideoPlan:
    """Choose frames and parts. `frames` are those of each part; `most_scenes` 1 tells the video as a whole.

    Where scenes are wanted, all of the video is decoded in small, which takes a while with a long one; `watch` is
    called now and then with the second that was reached. Raises UsageError.
    """
    about = between(video.times, video.end, begin, until)
    wanted = most_scenes if most_scenes is not None else scenes_wanted(about.seconds)
    if wanted < 1:
        raise UsageError(f"scenes must be 1 or more, not {wanted}; 1 tells the video as a whole")
    cuts = cuts_in(_watched(video, about, watch)) if wanted > 1 or sampling == "scene" else []
    stretches = scenes(video.times, about, cuts, wanted) if wanted > 1 else [about]
    numbers: list[int] = []
    parts: list[VideoPart] = []
    for stretch in stretches:
        chosen = _chosen(video, stretch, sampling, every, frames, len(stretches) > 1, cuts)
        parts.append(VideoPart(len(numbers) + 1, len(numbers) + len(chosen), stretch.begin, stretch.end))
        numbers += chosen
    manner = f"every {every:g} s" if sampling == "time" and every is not None else sampling
    return VideoPlan(tuple(numbers), tuple(video.times[number] for number in numbers), tuple(parts), manner)


def _watched(video: Video, about: Stretch, watch: Callable[[float], None] | None) -> Iterator[tuple[int, float]]:
    told = time.monotonic()
    for number, score in video.changes(about.first, about.last):
        if watch is not None and time.monotonic() - told > WATCHED:
            told = time.monotonic()
            watch(video.times[number])
        yield number, score


def _chosen(
    video: Video,
    stretch: Stretch,
    sampling: Sampling,
    every: float | None,
    frames: int | None,
    several: bool,
    cuts: Sequence[int],
) -> list[int]:
    count = frames if frames is not None else FRAMES_OF_SCENE if several else FRAMES
    if count < 1:
        raise UsageError(f"frames must be 1 or more, not {count}")
    match sampling:
        case "uniform":
            return uniform(video.times, stretch, count)
        case "time":
            if every is None or not every > 0:
                raise UsageError("sampling by time needs --every SECONDS, more than 0")
            return by_time(video.times, stretch, every, frames if frames is not None else MOST_FRAMES)
        case "key":
            return by_key(video.times, stretch, video.keys, count)
        case "scene":
            return by_scene(video.times, stretch, cuts, count)


def video_run_key(
    video: Video,
    plan: VideoPlan,
    vision: VisionBackend,
    questioner: BaseChatModel,
    options: VideoOptions,
    prompts: Prompts,
    seed: int | None,
) -> str:
    """By what `TranscriptStore.find_partial` finds the unfinished interview that this one would continue."""
    return key_of(video.sha256, vision, questioner, _options(options, prompts, plan), seed)


def _options(options: InterviewOptions, prompts: Prompts, plan: VideoPlan) -> dict[str, Any]:
    described = video_options(plan.times, plan.parts, plan.numbers, plan.sampling)
    return {**described_options(options, prompts), "video": described}


def interview_video(
    video: Video,
    plan: VideoPlan,
    vision: VisionBackend,
    questioner: BaseChatModel,
    options: VideoOptions | None = None,
    *,
    prompts: Prompts | None = None,
    seed: int | None = None,
    earlier: Caption | None = None,
    interview: VideoInterview | None = None,
    save: Save | None = None,
    load_seconds: float = 0.0,
) -> Iterator[Event]:
    """Yield what happens until the story is told; the last event is Done, Failed or Stopped.

    `earlier`: a stopped or failed interview with the same run key, which is continued. `interview`: one under way, with
    its own prompts and options, in place of a new one. `save` as for `agents.interview.driver.interview_picture`.
    """
    if interview is None:
        interview = VideoInterview(prompts or load_prompts(), options, plan.times, plan.parts)
        if earlier is not None:
            interview.resume(earlier)
    run = _VideoRun(video, plan, vision, questioner, interview, seed, save, earlier)
    run.spend("load", load_seconds)
    run.spend("total", load_seconds)
    return run.events()


class _VideoRun(_Run):
    """One `interview_video` call: the picture's driver, with a picture for each frame."""

    interview: VideoInterview

    def __init__(
        self,
        video: Video,
        plan: VideoPlan,
        vision: VisionBackend,
        questioner: BaseChatModel,
        interview: VideoInterview,
        seed: int | None,
        save: Save | None,
        earlier: Caption | None,
    ) -> None:
        seconds = dict(earlier.seconds) if earlier else {}
        # Of a picture, the driver asks for its record only; a video has one too.
        super().__init__(video, vision, questioner, interview, seed, save, seconds)  # type: ignore[arg-type]
        self.video, self.plan = video, plan
        self.frames: dict[int, EncodedImage] = {}  # of the part that is being talked about

    def _serve(self) -> Iterator[Event]:
        interview = self.interview
        match interview.need:
            case NeedFrameAnswer() as need:
                if need.asked_by != "questioner":
                    yield QuestionAsked(need.step + 1, need.labelled, need.asked_by, 0.0)
                if need.frame not in self.frames:
                    part = next(part for part in interview.parts if need.frame in part)
                    alone = need.asked_by == "person"
                    yield from self._encode_part(
                        VideoPart(need.frame, need.frame, part.begin, part.end) if alone else part
                    )
                yield Waiting("answering")
                reply, seconds = self._look(need)
                interview.feed(reply.text, seconds=seconds, truncated=reply.truncated)
                if self._silent():
                    return
                self._saved()
                yield Answered(need.step + 1, interview.dialogue.turns[need.step], seconds)
            case NeedQuestion() as need:
                yield Waiting("asking")
                seconds = self._ask(need)
                after = interview.need
                if isinstance(after, NeedFrameAnswer) and after.asked_by == "questioner":
                    yield QuestionAsked(after.step + 1, after.labelled, after.asked_by, seconds)
                elif isinstance(after, NeedQuestion):
                    yield QuestionRefused(interview.refused[-1], seconds)
            case NeedTelling() as need:
                yield Waiting("summarising")
                yield from self._tell(need)

    def _encode_part(self, part: VideoPart) -> Iterator[Event]:
        """Look at every frame of the part, once and in batches; those of earlier parts are let go."""
        self.frames.clear()
        numbers = [self.plan.numbers[frame - 1] for frame in part.frames]
        spread = "frame" if part.first == part.last else f"frames {part.first} to"
        yield Waiting(f"looking at {spread} {part.last}")
        start = time.perf_counter()
        pictures = self.video.pictures(numbers)
        frames = iter(part.frames)
        while batch := [picture for _, picture in islice(pictures, BATCH)]:
            for encoded in self.vision.encode(batch):
                self.frames[next(frames)] = encoded
        seconds = time.perf_counter() - start
        self.spend("encode", seconds)
        if len(self.frames) != len(part.frames):
            raise BackendError(f"{self.vision.name} encoded {len(self.frames)} of {len(part.frames)} frames.")
        yield Encoded(seconds)

    def _image_of(self, need: NeedPlainCaption | NeedAnswer) -> EncodedImage:
        assert isinstance(need, NeedFrameAnswer)
        return self.frames[need.frame]

    def _tell(self, need: NeedTelling) -> Iterator[Event]:
        interview, before = self.interview, self.interview.dialogue
        seconds = yield from self._write(need, need.part, need.attempt)
        if interview.error is not None:
            self.error = self._told_nothing()
        elif need.part is not None and interview.dialogue is not before:
            self._saved()
            place = interview.place_of(need.part)
            turn = interview.dialogue.turns[place]
            yield QuestionAsked(place + 1, turn.question, turn.asked_by, 0.0)
            yield Answered(place + 1, turn, seconds)
        elif interview.summary is not None:
            yield SummaryWritten(interview.summary, seconds)

    def _caption(self) -> Caption:
        options = _options(self.interview.options, self.interview.prompts, self.plan)
        return super()._caption().model_copy(update={"options": options, "opening": ""})
