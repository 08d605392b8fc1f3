"""`inquisight caption`: check the options, then interview about one picture after the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from agents.cli.errors import complain
from agents.cli.interviews import Interviewer, first_given, make_interview_plan
from agents.cli.requests import CaptionRequest
from agents.interview.calls import described_options
from agents.interview.driver import interview_picture
from agents.interview.options import asking_options, audit_options
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from agents.styles.options import style_names
from agents.styles.owner import context_of, joined_context
from agents.text.caption_fields import CAPTIONED, fields_of, targets_of
from agents.witnesses.choice import NONE, chosen
from agents.witnesses.examination import start_early
from core.captions.saving import CaptionSaver, Existing
from core.datasets.folders import find_pictures
from core.datasets.left_out import LeftOut
from core.errors import ImageError, InquisightError, UsageError, printable
from core.images.picture import open_picture
from core.records import Caption
from core.settings import get_settings
from core.store.transcripts import TranscriptStore


def run_caption(request: CaptionRequest) -> int:
    """Caption every picture; one that fails is reported in one line and the others continue. Returns the exit code.

    Raises InquisightError for what concerns all pictures.
    """
    interviewer = make_interviewer(request)
    targets = targets_of(request)
    if not targets:
        return _run(interviewer, None)
    with CaptionSaver(targets) as saver:
        saver.check(interviewer.plan.sources)
        if targets.existing is Existing.SKIP:
            _leave_out_captioned(interviewer, saver)
        return _run(interviewer, saver)


def _leave_out_captioned(interviewer: Interviewer, saver: CaptionSaver) -> None:
    """Caption no picture that has a caption wherever one would be saved; count them."""
    plan = interviewer.plan
    captioned = set(saver.captioned(plan.sources))
    for source in captioned:
        plan.left_out.add(CAPTIONED, source)
    interviewer.plan = replace(plan, sources=tuple(one for one in plan.sources if one not in captioned))


def _run(interviewer: Interviewer, saver: CaptionSaver | None) -> int:
    plan = interviewer.plan
    with_keywords = isinstance(interviewer.request, CaptionRequest) and interviewer.request.context_keywords

    def serve(source: str) -> None:
        picture = open_picture(source, max_pixels=plan.settings.max_pixels)
        if plan.earlier is not None and plan.earlier.picture.sha256 != picture.sha256:
            raise UsageError(f"{printable(picture.source)!r} is not the picture of that interview; its content differs")
        about = plan.options
        if plan.earlier is None and source != "-":
            about = replace(about, context=context_of(source, about.context, keywords=with_keywords))
        options = described_options(about, plan.prompts)
        if plan.earlier is None and not interviewer.loaded:
            start_early(about.witnesses, picture)
        last = interviewer.interview(picture.sha256, options, about, interview_picture, picture)
        if saver is not None and last.caption.finished:
            try:
                fields = fields_of(last.caption, style_names(interviewer.request.style))
                saver.save(source, fields, text=last.caption.chosen)
            except InquisightError as error:
                interviewer.codes.append(complain(error))

    return interviewer.run(serve, ImageError)


def make_interviewer(request: CaptionRequest) -> Interviewer:
    """Check the request. Raises InquisightError, one line."""
    settings = get_settings()
    earlier = None
    if request.resume is not None:
        earlier = TranscriptStore(settings.database_url).get(request.resume)
        if earlier.finished and not request.style:
            raise UsageError(
                f"the interview {request.resume!r} is complete; see `inquisight show {request.resume}`, or name "
                "a --style"
            )
        if len(request.pictures) > 1:
            raise UsageError("--resume goes on with one interview; name its picture only, or none")
        if request.fresh:
            raise UsageError("--resume and --fresh contradict each other; choose one")
    targets_of(request)
    then = earlier.options if earlier else {}
    options = InterviewOptions(
        rounds=first_given(request.rounds, then.get("rounds"), settings.rounds),
        history=first_given(request.history, then.get("history"), settings.history),
        language=first_given(request.language, then.get("language")),
        **asking_options(request, then),
        **audit_options(request.audit, request.threshold, then, claims=request.claims),
        witnesses=tuple(chosen(_witness(request, earlier, settings.witness))),
        context=joined_context([request.context]) if request.context is not None else then.get("context", ""),
    )
    prompts = Prompts.load(request.prompts)
    if earlier and prompts.sha256 != then.get("prompts"):
        raise UsageError(
            f"the interview {request.resume!r} was begun with other prompts; name them with --prompts FILE"
        )
    names = request.pictures or ((earlier.picture.source,) if earlier else ())
    if not names:
        raise UsageError("name at least one picture or folder, or - for standard input (see --help)")

    def find(folder: str, left_out: LeftOut) -> Iterable[Path]:
        return find_pictures([folder], left_out)

    return Interviewer(make_interview_plan(request, names, find, options, prompts, earlier), request)


def _witness(request: CaptionRequest, earlier: Caption | None, default: str) -> str:
    """The choice of witnesses; an interview that is resumed keeps its own."""
    if request.witness is None and earlier is not None:
        return ",".join(earlier.options.get("witnesses", ())) or NONE
    return first_given(request.witness, default)  # type: ignore[no-any-return]
