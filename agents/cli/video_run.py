"""What `inquisight video` does: check everything first, then one video after the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agents.cli.caption import CaptionPlan as CaptionPlan
from agents.cli.caption import (
    ExitCodes,
    LazyModels,
    first_given,
    follow,
    report,
    report_left_out,
    tell_going_on,
    unfinished,
)
from agents.cli.errors import EXIT_INTERRUPTED, complain
from agents.cli.render.interview import Printer, make_printer
from agents.interview.driver import Done, InterviewStopped
from agents.interview.seeds import check_seed
from agents.video.driver import FRAMES, ROUNDS, interview_video, plan_video, video_run_key
from agents.video.interview import VideoOptions
from agents.video.prompts import load_prompts
from agents.video.records import looked_at
from agents.video.sampling import SAMPLINGS, Sampling
from agents.video.sheet import as_png, contact_sheet
from agents.video.timeline import check_timeline, timeline_text
from core.console.silence import hush_libraries
from core.console.status import Status
from core.datasets.left_out import LeftOut
from core.errors import InquisightError, UsageError, printable
from core.files.outputs import check_output, whole
from core.records import Caption
from core.registry import get_registry
from core.settings import get_settings
from core.store.transcripts import TranscriptStore
from core.video.base import VideoLimits, clock
from core.video.clip import find_videos, open_video

if TYPE_CHECKING:
    from core.video.base import Video


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """The command's options; None means: as set in the environment, or the default."""

    videos: tuple[str, ...] = ()
    vision: str | None = None
    questioner: str | None = None
    frames: int | None = None
    sampling: str | None = None
    every: float | None = None
    scenes: int | None = None
    begin: float | None = None
    until: float | None = None
    rounds: int | None = None
    context: int | None = None
    prompts: Path | None = None
    seed: int | None = None
    language: str | None = None
    json: bool = False
    quiet: bool = False
    timeline: tuple[Path, ...] = ()
    sheet: Path | None = None
    overwrite: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class VideoPlan(CaptionPlan):
    """A request that was checked before a video is opened or a model is loaded."""

    sampling: Sampling = "uniform"


def run_video(request: VideoRequest) -> int:
    """Tell every video; one that fails is told in one line and the others go on. Gives back the exit code.

    Raises InquisightError for what concerns them all.
    """
    plan = make_plan(request)
    hush_libraries()
    many = len(plan.sources) + len(plan.bad) > 1
    store = TranscriptStore(plan.settings.database_url)
    printer = make_printer(json=request.json, quiet=request.quiet)
    status = Status()
    models = LazyModels(plan, status)
    outcome = ExitCodes([complain(error) for error in plan.bad])
    try:
        for number, source in enumerate(plan.sources, start=1):
            status.prefix = f"{number}/{len(plan.sources)} {printable(Path(source).name, limit=40)}: " if many else ""
            about = f"{printable(source)}: " if many else ""
            try:
                status.show("reading")
                with open_video(source, limits=VideoLimits(pixels=plan.settings.max_pixels)) as video:
                    last = _talk(video, request, plan, models, store, printer, status)
                    outcome.codes += report(last, about)
                    if isinstance(last, InterviewStopped):
                        return EXIT_INTERRUPTED
                    if last.caption.status == "complete":
                        outcome.codes += _write(video, last.caption, request)
            except InquisightError as error:
                status.clear()
                outcome.codes.append(complain(error, about if source not in str(error) else ""))
    finally:
        status.clear()
        models.close()
    if plan.left_out:
        outcome.codes += report_left_out(plan.left_out, as_json=request.json)
    return outcome.exit_code()


def make_plan(request: VideoRequest) -> VideoPlan:
    """Check the request. Raises UsageError, one line."""
    settings = get_settings()
    if not request.videos:
        raise UsageError("name at least one video: inquisight video clip.mp4 (see --help)")
    left_out = LeftOut()
    sources, bad = _sources(request.videos, left_out)
    if request.json and request.quiet:
        raise UsageError("--json and --quiet contradict each other; choose one")
    _check_frames(request)
    if len(sources) > 1 and (request.timeline or request.sheet):
        raise UsageError("--timeline and --sheet are for one video; name the videos one at a time")
    if request.overwrite and not (request.timeline or request.sheet):
        raise UsageError("--overwrite only means something together with --timeline or --sheet")
    for path in request.timeline:
        check_timeline(path)
    if request.sheet is not None and request.sheet.suffix.lower() != ".png":
        raise UsageError(f"--sheet '{printable(request.sheet)}' must end in .png")
    outputs = [*request.timeline, *([request.sheet] if request.sheet else [])]
    if len(set(outputs)) < len(outputs):
        raise UsageError("--timeline and --sheet name the same file twice")
    for path in outputs:
        check_output(path, overwrite=request.overwrite)
    options = VideoOptions(
        rounds=first_given(request.rounds, ROUNDS),
        context=first_given(request.context, settings.context),
        language=request.language,
    )
    seed = check_seed(first_given(request.seed, settings.seed))
    vision = first_given(request.vision, settings.vision)
    get_registry().find("vision backend", vision.split(":", 1)[0])
    return VideoPlan(
        sources,
        vision,
        first_given(request.questioner, settings.questioner),
        options,
        load_prompts(request.prompts),
        seed,
        settings,
        None,
        bad,
        left_out,
        sampling=_sampling(request),
    )


def _sources(named: Sequence[str], left_out: LeftOut) -> tuple[tuple[str, ...], tuple[InquisightError, ...]]:
    """Folders expanded, each video once, in order; and what is wrong with the others."""
    found: dict[str, None] = {}
    bad = []
    for one in named:
        try:
            found.update(dict.fromkeys(find_videos(one, left_out) if os.path.isdir(one) else [one]))
        except InquisightError as error:
            bad.append(error)
    return tuple(found), tuple(bad)


def _check_frames(request: VideoRequest) -> None:
    if request.frames is not None and not 1 <= request.frames <= 10_000:
        raise UsageError(f"--frames must be between 1 and 10000, not {request.frames}; {FRAMES} is usual")
    if request.scenes is not None and not 1 <= request.scenes <= 1000:
        raise UsageError(f"--scenes must be between 1 and 1000, not {request.scenes}; 1 tells the video as a whole")
    if request.every is not None and not 0.001 <= request.every < float("inf"):
        raise UsageError(f"--every must be a number of seconds above 0, not {request.every:g}")
    if request.begin is not None and request.until is not None and request.until <= request.begin:
        raise UsageError("--to must be later than --from")


def _sampling(request: VideoRequest) -> Sampling:
    """By time where --every is given, else uniform. Raises UsageError."""
    if request.sampling is None:
        return "time" if request.every is not None else "uniform"
    for known in SAMPLINGS:
        if request.sampling == known:
            if known == "time" and request.every is None:
                raise UsageError("--sampling time needs --every SECONDS")
            if known != "time" and request.every is not None:
                raise UsageError(f"--every is for --sampling time, not for --sampling {known}")
            return known
    raise UsageError(f"--sampling is '{printable(request.sampling, limit=40)}': take {', '.join(SAMPLINGS)}")


def _talk(
    video: Video,
    request: VideoRequest,
    plan: VideoPlan,
    models: LazyModels,
    store: TranscriptStore,
    printer: Printer,
    status: Status,
) -> Done:
    status.show("choosing frames")
    chosen = plan_video(
        video,
        frames=request.frames,
        sampling=plan.sampling,
        every=request.every,
        most_scenes=request.scenes,
        begin=request.begin,
        until=request.until,
        watch=lambda reached: status.show(f"looking for scenes, {clock(reached)} of {clock(video.end)}"),
    )
    options = plan.options
    if request.rounds is None:
        options = replace(options, rounds=chosen.rounds)
    assert isinstance(options, VideoOptions)
    vision, questioner = models.get()
    earlier = None
    if not request.fresh:
        key = video_run_key(video, chosen, vision, questioner, options, plan.prompts, plan.seed)
        earlier = unfinished(store, key)
    tell_going_on(earlier, status)
    events = interview_video(
        video,
        chosen,
        vision,
        questioner,
        options,
        prompts=plan.prompts,
        seed=plan.seed,
        earlier=earlier,
        save=store.add,
        load_seconds=models.seconds,
    )
    return follow(events, printer, status)


# --- files ------------------------------------------------------------------------------------------------------------


def _write(video: Video, caption: Caption, request: VideoRequest) -> list[int]:
    """The timelines and the contact sheet; the exit codes of those that could not be written."""
    codes = []
    sheet = [request.sheet] if request.sheet is not None and looked_at(caption) else []
    for path in (*request.timeline, *sheet):
        try:
            if path in sheet:
                data = as_png(contact_sheet(video, caption))
            else:
                data = timeline_text(caption, path).encode("utf-8")
            with whole(path, overwrite=request.overwrite) as file:
                file.write(data)
        except InquisightError as error:
            codes.append(complain(error))
    return codes
