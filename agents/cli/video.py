"""`inquisight video`: check the options, then describe one video after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agents.cli.errors import complain
from agents.cli.interviews import Interviewer, first_given, make_interview_plan
from agents.cli.requests import VideoRequest
from agents.interview.options import asking_options, audit_options
from agents.styles.owner import context_of, joined_context
from agents.video.driver import FRAMES, ROUNDS, interview_video, plan_video, video_options_of
from agents.video.interview import VideoOptions
from agents.video.prompts import DEFAULT_FILE, load_prompts
from agents.video.records import frame_turns
from agents.video.sampling import SAMPLINGS, Sampling
from agents.video.sheet import as_png, contact_sheet
from agents.video.timeline import check_timeline, timeline_text
from agents.witnesses.choice import chosen
from core.errors import InquisightError, UsageError, printable
from core.files.outputs import check_output, whole
from core.records import Caption
from core.settings import get_settings
from core.video.base import VideoLimits, clock
from core.video.clip import find_videos, open_video

if TYPE_CHECKING:
    from core.video.base import Video


def run_video(request: VideoRequest) -> int:
    """Describe every video; one that fails is reported in one line and the others continue. Returns the exit code."""
    if request.print_prompts:
        print(DEFAULT_FILE.read_text("utf-8"), end="")
        return 0
    sampling = _checked_sampling(request)
    interviewer = make_interviewer(request)
    plan, status = interviewer.plan, interviewer.status

    def serve(source: str) -> None:
        status.show("reading")
        with open_video(source, limits=VideoLimits(pixels=plan.settings.max_pixels)) as video:
            status.show("choosing frames")
            chosen = plan_video(
                video,
                frames=request.frames,
                sampling=sampling,
                every=request.every,
                most_scenes=request.scenes,
                begin=request.begin,
                until=request.until,
                watch=lambda reached: status.show(f"looking for scenes, {clock(reached)} of {clock(video.end)}"),
            )
            options = plan.options if request.rounds is not None else replace(plan.options, rounds=chosen.rounds)
            context = context_of(source, options.context, keywords=request.context_keywords)
            options = replace(options, context=context)
            described = video_options_of(options, plan.prompts, chosen)
            last = interviewer.interview(video.sha256, described, options, interview_video, video, chosen)
            if last.caption.finished:
                interviewer.codes += _write_files(video, last.caption, request)

    return interviewer.run(serve, InquisightError)


def make_interviewer(request: VideoRequest) -> Interviewer:
    """Check the request. Raises UsageError, one line."""
    settings = get_settings()
    if not request.videos:
        raise UsageError("name at least one video: inquisight video clip.mp4 (see --help)")
    options = VideoOptions(
        rounds=first_given(request.rounds, ROUNDS),
        history=first_given(request.history, settings.history),
        language=request.language,
        **asking_options(request),
        **audit_options(request.audit, request.threshold, claims=request.claims),
        witnesses=tuple(chosen(first_given(request.witness, settings.witness))),
        context=joined_context([request.context or ""]),
    )
    plan = make_interview_plan(request, request.videos, find_videos, options, load_prompts(request.prompts))
    if len(plan.sources) > 1 and (request.timeline or request.sheet):
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
    return Interviewer(plan, request)


def _checked_sampling(request: VideoRequest) -> Sampling:
    """By time if --every is given, else uniform by default. Raises UsageError."""
    if request.frames is not None and not 1 <= request.frames <= 10_000:
        raise UsageError(f"--frames must be between 1 and 10000, not {request.frames}; {FRAMES} is usual")
    if request.scenes is not None and not 1 <= request.scenes <= 1000:
        raise UsageError(f"--scenes must be between 1 and 1000, not {request.scenes}; 1 describes the video as a whole")
    if request.every is not None and not 0.001 <= request.every < float("inf"):
        raise UsageError(f"--every must be a number of seconds above 0, not {request.every:g}")
    if request.begin is not None and request.until is not None and request.until <= request.begin:
        raise UsageError("--to must be later than --from")
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


def _write_files(video: Video, caption: Caption, request: VideoRequest) -> list[int]:
    """Write timelines and contact sheet; returns the exit codes of those that failed."""
    codes = []
    sheet = [request.sheet] if request.sheet is not None and frame_turns(caption) else []
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
