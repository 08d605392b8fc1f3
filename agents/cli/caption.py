"""What `inquisight caption` does: check everything first, then one picture after the other."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.cli.errors import EXIT_INTERRUPTED, complain
from agents.cli.render.interview import SHORT_ID, Printer, make_printer, show_status
from agents.interview.driver import (
    Done,
    Event,
    Failed,
    InterviewStopped,
    check_language,
    interview_picture,
    run_key_of,
)
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from agents.interview.seeds import check_seed
from core.console.silence import hush_libraries
from core.console.status import Status
from core.datasets.folders import find_pictures
from core.datasets.left_out import LeftOut
from core.errors import ImageError, InquisightError, UsageError, printable
from core.files.sidecar import check_sidecars, sidecar_of, write_sidecar
from core.images.picture import Picture, open_picture
from core.records import Caption
from core.registry import get_registry
from core.settings import Settings, get_settings
from core.store.transcripts import TranscriptStore

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from core.vision import VisionBackend


@dataclass(frozen=True, slots=True)
class CaptionRequest:
    """The command's options; None means: as set in the environment, or the default."""

    pictures: tuple[str, ...] = ()
    vision: str | None = None
    questioner: str | None = None
    rounds: int | None = None
    context: int | None = None
    prompts: Path | None = None
    seed: int | None = None
    language: str | None = None
    json: bool = False
    quiet: bool = False
    save_beside: bool = False
    overwrite: bool = False
    resume: str | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class CaptionPlan:
    """A request that was checked: everything that can be known to be wrong before a model is loaded is not."""

    sources: tuple[str, ...]
    vision: str
    questioner: str
    options: InterviewOptions
    prompts: Prompts
    seed: int | None
    settings: Settings
    earlier: Caption | None  # what --resume named
    bad: tuple[InquisightError, ...] = ()  # arguments that are no pictures
    left_out: LeftOut = field(default_factory=LeftOut)  # in folders


@dataclass(slots=True)
class LazyModels:
    """The two models, loaded when the first picture has been opened."""

    plan: CaptionPlan
    status: Status
    seconds: float = 0.0  # spent on loading since it was last asked for
    _vision: VisionBackend | None = None
    _questioner: BaseChatModel | None = None

    def get(self) -> tuple[VisionBackend, BaseChatModel]:
        """Both models. Raises InquisightError."""
        start = time.perf_counter()
        if self._questioner is None:
            from agents.llm.questioners import load_questioner

            self._questioner = load_questioner(self.plan.questioner, self.plan.settings, seed=self.plan.seed)
            check_language(self.plan.options, self._questioner)
        if self._vision is None:
            self.status.show(f"loading {printable(self.plan.vision)}")
            self._vision = get_registry().create_vision(self.plan.vision)
        self.seconds = time.perf_counter() - start
        return self._vision, self._questioner

    def close(self) -> None:
        if self._vision is not None:
            self._vision.close()


@dataclass(slots=True)
class ExitCodes:
    """Exit codes of the pictures that did not work out."""

    codes: list[int] = field(default_factory=list)

    def exit_code(self) -> int:
        return (self.codes[0] if len(set(self.codes)) == 1 else 1) if self.codes else 0


def run_caption(request: CaptionRequest) -> int:
    """Caption every picture; one that fails is told in one line and the others go on. Gives back the exit code.

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
            try:
                picture = open_picture(source, max_pixels=plan.settings.max_pixels)
            except ImageError as error:
                status.clear()
                outcome.codes.append(complain(error))
                continue
            last = _interview(picture, plan, models, store, printer, status, fresh=request.fresh)
            about = f"{printable(picture.source)}: " if many else ""
            outcome.codes += report(last, about)
            if isinstance(last, InterviewStopped):
                return EXIT_INTERRUPTED
            if request.save_beside and last.caption.status == "complete":
                try:
                    write_sidecar(sidecar_of(source), last.caption.text, overwrite=request.overwrite)
                except InquisightError as error:
                    outcome.codes.append(complain(error))
    finally:
        status.clear()
        models.close()
    if plan.left_out:
        outcome.codes += report_left_out(plan.left_out, as_json=request.json)
    return outcome.exit_code()


def report_left_out(left_out: LeftOut, *, as_json: bool) -> list[int]:
    """Say what folders hold and what was not read; the exit code where something should have been."""
    if as_json:
        print(json.dumps({"left_out": left_out.as_json()}), flush=True)
    print(f"inquisight: {left_out}", file=sys.stderr, flush=True)
    return [1] if left_out.faults else []


def make_plan(request: CaptionRequest) -> CaptionPlan:
    """Check the request. Raises InquisightError, one line."""
    settings = get_settings()
    earlier = None
    if request.resume is not None:
        earlier = TranscriptStore(settings.database_url).get(request.resume)
        if earlier.status == "complete":
            raise UsageError(f"the interview {request.resume!r} is complete; see `inquisight show {request.resume}`")
        if len(request.pictures) > 1:
            raise UsageError("--resume goes on with one interview; name its picture only, or none")
        if request.fresh:
            raise UsageError("--resume and --fresh contradict each other; choose one")
    if request.json and request.quiet:
        raise UsageError("--json and --quiet contradict each other; choose one")
    if request.overwrite and not request.save_beside:
        raise UsageError("--overwrite only means something together with --save-beside")

    then = earlier.options if earlier else {}
    options = InterviewOptions(
        rounds=first_given(request.rounds, then.get("rounds"), settings.rounds),
        context=first_given(request.context, then.get("context"), settings.context),
        language=first_given(request.language, then.get("language"), None),
    )
    prompts = Prompts.load(request.prompts)
    if earlier and prompts.sha256 != then.get("prompts"):
        raise UsageError(
            f"the interview {request.resume!r} was begun with other prompts; name them with --prompts FILE"
        )
    seed = check_seed(first_given(request.seed, earlier.seed if earlier else None, settings.seed))
    vision = first_given(request.vision, earlier.vision.get("name") if earlier else None, settings.vision)
    get_registry().find("vision backend", vision.split(":", 1)[0])
    questioner = first_given(
        request.questioner, earlier.questioner.get("name") if earlier else None, settings.questioner
    )

    wanted = request.pictures or ((earlier.picture.source,) if earlier else ())
    if not wanted:
        raise UsageError("name at least one picture or folder, or - for standard input (see --help)")
    left_out = LeftOut()
    sources, bad = _sources(wanted, left_out)
    if request.save_beside:
        check_sidecars(sources, overwrite=request.overwrite)
    return CaptionPlan(sources, vision, questioner, options, prompts, seed, settings, earlier, bad, left_out)


def first_given(*values: Any) -> Any:
    """The first value that is not None, else None; a default comes last."""
    return next((value for value in values if value is not None), None)


def _sources(wanted: Sequence[str], left_out: LeftOut) -> tuple[tuple[str, ...], tuple[InquisightError, ...]]:
    """Folders expanded, each picture once, in order; and what is wrong with the others."""
    found: dict[str, None] = {}
    bad: list[InquisightError] = []
    for one in wanted:
        if not os.path.isdir(one):
            found.setdefault(one)  # as it was typed: a web address is no path, and opening it says so
            continue
        try:
            found.update(dict.fromkeys(map(str, find_pictures([one], left_out))))
        except InquisightError as error:
            bad.append(error)
    return tuple(found), tuple(bad)


def _interview(
    picture: Picture,
    plan: CaptionPlan,
    models: LazyModels,
    store: TranscriptStore,
    printer: Printer,
    status: Status,
    *,
    fresh: bool,
) -> Done:
    vision, questioner = models.get()
    earlier = plan.earlier
    if earlier is not None and earlier.picture.sha256 != picture.sha256:
        raise UsageError(f"{printable(picture.source)!r} is not the picture of that interview; its content differs")
    if earlier is None and not fresh:
        earlier = unfinished(store, run_key_of(picture, vision, questioner, plan.options, plan.prompts, plan.seed))
    tell_going_on(earlier, status)
    events = interview_picture(
        picture,
        vision,
        questioner,
        plan.options,
        prompts=plan.prompts,
        seed=plan.seed,
        earlier=earlier,
        save=store.add,
        load_seconds=models.seconds,
    )
    return follow(events, printer, status)


def tell_going_on(earlier: Caption | None, status: Status) -> None:
    """Say that an interview is continued, where it is."""
    if earlier is not None:
        status.clear()
        print(f"inquisight: going on after {_answers(earlier)} ({earlier.status} before)", file=sys.stderr, flush=True)


def follow(events: Iterator[Event], printer: Printer, status: Status) -> Done:
    """Show events as they come; gives back the last one. On Ctrl-C they are closed, which keeps what was learned."""
    last: object = None
    try:
        for last in events:
            show_status(status, last)
            printer.event(last)
    except KeyboardInterrupt:  # between two events; the models' own are caught by the driver
        close: Callable[[], None] | None = getattr(events, "close", None)
        if close:
            close()
        raise
    assert isinstance(last, Done)
    return last


def unfinished(store: TranscriptStore, key: str) -> Caption | None:
    """The interview to go on with. A store that cannot be read is told at the end, when saving fails too."""
    try:
        return store.find_partial(key)
    except InquisightError:
        return None


def report(last: Done, about: str) -> list[int]:
    """Tell what went wrong with a picture; the exit codes it adds."""
    codes = []
    kept = f"{_answers(last.caption)} kept as {last.id[:SHORT_ID]}, the same command goes on" if last.id else ""
    if isinstance(last, Failed) and last.error is not None:
        again = f"; {kept}" if kept else ""
        line = type(last.error)(f"{str(last.error).rstrip('. ')}{again}")
        line.__cause__ = last.error.__cause__ or last.error
        codes.append(complain(line, about))
    if isinstance(last, InterviewStopped):
        print(f"inquisight: {about}stopped; {kept or 'nothing could be kept'}", file=sys.stderr, flush=True)
    if last.save_error is not None:
        codes.append(complain(last.save_error, about))
    return codes


def _answers(caption: Caption) -> str:
    count = len(caption.dialogue.turns)
    return "1 answer" if count == 1 else f"{count} answers"
