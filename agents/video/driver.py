"""Drive the interview about one video: choose frames, encode each once, and yield events.

    with open_video("clip.mp4") as video:
        plan = plan_video(video, frames=8)
        for event in interview_video(video, plan, vision, questioner, VideoOptions(rounds=12), seed=1):
            ...

The events are those of `agents.interview.events`, so printers and pages for pictures work for videos too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from agents.interview.calls import described_options
from agents.interview.driver import InterviewRun, Save
from agents.interview.events import Answered, Encoded, Event, Examined, QuestionAsked, Waiting
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions, NeedAnswer, NeedPlainCaption, NeedSummary
from agents.styles.options import StyleOptions
from agents.video.interview import NeedFrameAnswer, NeedVideoSummary, VideoInterview, VideoOptions, VideoPart
from agents.video.prompts import load_prompts
from agents.video.records import conflicts_in, video_options
from agents.video.sampling import (
    Sampling,
    Stretch,
    between,
    by_key,
    by_scene,
    by_time,
    cuts_in,
    default_scenes,
    scenes,
    uniform,
)
from core.errors import BackendError, UsageError
from core.records import Caption
from core.stopping import CalledOff, current_halt
from core.video.base import VideoError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agents.audit.captions import AuditedCaption
    from agents.witnesses.examination import Find
    from core.video.base import Video
    from core.vision import EncodedImage, VisionBackend

FRAMES: Final = 8
FRAMES_OF_SCENE: Final = 4
MOST_FRAMES: Final = 120  # by time, without --frames
ROUNDS: Final = 30
ROUNDS_OF_SCENE: Final = 8
BATCH: Final = 16  # frames that are decoded and encoded together
WATCHED: Final = 0.2  # seconds between progress reports


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """The chosen frames, and the parts of the video."""

    numbers: tuple[int, ...]  # in the video, from 0, ascending
    times: tuple[float, ...]
    parts: tuple[VideoPart, ...]
    sampling: str

    @property
    def rounds(self) -> int:
        """Default number of questions per part."""
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
    """Choose frames and parts. `frames` is the number per part; `most_scenes` 1 describes the video as a whole.

    Finding scenes decodes the whole video at a small size; `watch` gets the second that was reached. Raises UsageError.
    """
    about = between(video.times, video.end, begin, until)
    most = most_scenes if most_scenes is not None else default_scenes(about.seconds)
    if most < 1:
        raise UsageError(f"scenes must be 1 or more, not {most}; 1 describes the video as a whole")
    cuts = cuts_in(_watched(video, about, watch)) if most > 1 or sampling == "scene" else []
    stretches = scenes(video.times, about, cuts, most) if most > 1 else [about]
    numbers: list[int] = []
    parts: list[VideoPart] = []
    for stretch in stretches:
        chosen = _chosen(video, stretch, sampling, every, frames, len(stretches) > 1, cuts)
        parts.append(VideoPart(len(numbers) + 1, len(numbers) + len(chosen), stretch.begin, stretch.end))
        numbers += chosen
    manner = f"every {every:g} s" if sampling == "time" and every is not None else sampling
    return VideoPlan(tuple(numbers), tuple(video.times[number] for number in numbers), tuple(parts), manner)


def _watched(video: Video, about: Stretch, watch: Callable[[float], None] | None) -> Iterator[tuple[int, float]]:
    reported = time.monotonic()
    for number, score in video.changes(about.first, about.last):
        if watch is not None and time.monotonic() - reported > WATCHED:
            reported = time.monotonic()
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


def video_options_of(options: InterviewOptions, prompts: Prompts, plan: VideoPlan) -> dict[str, Any]:
    """What decides how the interview goes, besides models and seed; see `agents.interview.calls.resume_key`."""
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
    find_witness: Find | None = None,
    styles: StyleOptions | None = None,
) -> Iterator[Event]:
    """Yield events until the summary is finished; the last one is Done, Failed or InterviewStopped.

    `earlier`: a stopped or failed interview with the same key, which is resumed. `interview`: one under way, with its
    prompts and options. `save`, `find_witness` and `styles` as for `agents.interview.driver.interview_picture`;
    the texts of the styles are written from the summary.
    """
    if interview is None:
        interview = VideoInterview(prompts or load_prompts(), options, plan.times, plan.parts)
        if earlier is not None:
            interview.resume(earlier)
    return VideoRun(video, plan, vision, questioner, interview, seed, save, earlier, find_witness, styles).events(
        load_seconds
    )


class VideoRun(InterviewRun):
    """One `interview_video` call: the driver of a picture, with an encoded image for each frame."""

    interview: VideoInterview

    def __init__(self, video: Video, plan: VideoPlan, *more: Any) -> None:
        super().__init__(video, *more)
        self.video, self.plan = video, plan
        self.frames: dict[int, EncodedImage] = {}  # of the current part; of all, if the story is audited
        self.session.options = video_options_of(self.interview.options, self.interview.prompts, plan)

    def _encode(self) -> Iterator[Event]:
        """Encode every frame of the part that the next answer needs, once and in batches.

        Earlier parts are dropped, unless the story is audited.
        """
        need = self.interview.need
        assert isinstance(need, NeedFrameAnswer)
        if need.frame in self.frames:
            return
        [part] = [part for part in self.interview.parts if need.frame in part]
        frames = range(need.frame, need.frame + 1) if need.asked_by == "person" else part.frames
        if self.interview.options.audit == "none":  # else they are asked about again at the end
            self.frames.clear()
        yield from self._encode_frames(frames)

    def _encode_frames(self, wanted: Iterable[int]) -> Iterator[Event]:
        """Encode those of these frames that are not encoded yet."""
        frames = [frame for frame in wanted if frame not in self.frames]
        if not frames:
            return
        spread = "frame" if len(frames) == 1 else f"frames {frames[0]} to"
        yield Waiting(f"looking at {spread} {frames[-1]}")
        start = time.perf_counter()
        pictures = self.video.pictures([self.plan.numbers[frame - 1] for frame in frames])
        before, numbers = len(self.frames), iter(frames)
        while batch := [picture for _, picture in islice(pictures, BATCH)]:
            for encoded in self.vision.encode(batch):
                self.frames[next(numbers)] = encoded
        seconds = self.session.add_seconds("encode", time.perf_counter() - start)
        if (encoded_now := len(self.frames) - before) != len(frames):
            raise BackendError(f"{self.vision.name} encoded {encoded_now} of {len(frames)} frames.")
        yield Encoded(seconds)

    def _take_findings(self) -> Iterator[Event]:
        """Let the witnesses examine frames of the whole video, and pass on what they say about each part."""
        from agents.video.evidence import facts
        from agents.video.examination import ExaminedVideo, examine_video

        interview, parts = self.interview, self.interview.parts
        about = between(self.video.times, self.video.end, parts[0].begin, parts[-1].end)
        found = ExaminedVideo()
        try:
            names = interview.options.witnesses
            for doing in examine_video(self.video, about, self.plan.numbers, names, found, self.find_witness):
                if (halt := current_halt()) is not None and halt.is_set():
                    raise CalledOff
                yield Waiting(doing)
            said = facts(found.moments, [(part.begin, part.end) for part in parts])
        except VideoError as error:
            said, found.problems = [], [*found.problems, f"the witnesses could not go on: {error}".rstrip(". ")]
        before = len(interview.dialogue.turns)
        self.session.add_seconds("witnesses", found.seconds)
        interview.feed_facts(said, found.problems, seconds=found.seconds)
        turns = interview.dialogue.turns[before:]
        self._saved()
        yield Examined((), tuple(found.problems), found.seconds)
        for number, turn in enumerate(turns, start=before + 1):
            yield QuestionAsked(number, turn.question, turn.asked_by, 0.0)
            yield Answered(number, turn, turn.seconds_answer)

    def _image_of(self, need: NeedPlainCaption | NeedAnswer) -> EncodedImage:
        assert isinstance(need, NeedFrameAnswer)
        return self.frames[need.frame]

    def _summarise(self, need: NeedSummary) -> Iterator[Event]:
        assert isinstance(need, NeedVideoSummary)
        interview, before = self.interview, self.interview.dialogue
        seconds = yield from self._write(need, need.part, need.attempt)
        if self.session.error is not None:
            return
        if need.part is not None and interview.dialogue is not before:
            self._saved()
            place = interview.place_of(need.part)
            turn = interview.dialogue.turns[place]
            yield QuestionAsked(place + 1, turn.question, turn.asked_by, 0.0)
            yield Answered(place + 1, turn, seconds)
        else:
            yield from self._written(seconds)

    def _audited(self) -> Generator[Event, None, AuditedCaption]:
        """The judged claims of the story; each is asked of frames, until one supports it."""
        from agents.audit.auditor import PictureClaims, audit_claims
        from agents.video.audit import FrameAudit

        session, options = self.session, self.interview.options
        audit = FrameAudit(session.claims, self.interview.dialogue.turns, len(self.plan.numbers))
        seconds = 0.0
        while asked := audit.next_frames():
            if (halt := current_halt()) is not None and halt.is_set():
                raise CalledOff
            yield from self._encode_frames(asked)
            yield Waiting("auditing")
            start = time.perf_counter()
            claims = [PictureClaims(self.frames[frame], audit.claims, asked=some) for frame, some in asked.items()]
            audit.take(asked, audit_claims(self.vision, claims, threshold=options.threshold))
            seconds += time.perf_counter() - start
        return session.take_audit(audit.judged, seconds)

    def _caption(self) -> Caption:
        caption = super()._caption()
        return caption.model_copy(update={"opening": "", "conflicts": conflicts_in(caption.dialogue.turns)})
