"""What `inquisight caption` and `inquisight video` share: plan, models, and one interview after the other."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.cli.errors import EXIT_INTERRUPTED, common_exit_code, complain
from agents.cli.models import check_vision, load_vision
from agents.cli.render.interview import make_printer, show_status
from agents.cli.render.output import SHORT_ID
from agents.cli.requests import CaptionRequest, VideoRequest
from agents.interview.calls import check_language, resume_key
from agents.interview.events import Done, Event, Examined, Failed, InterviewStopped
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from agents.interview.seeds import check_seed
from agents.styles.options import StyleOptions
from agents.styles.request import style_options
from core.console.silence import hush_libraries
from core.console.status import Status
from core.datasets.left_out import LeftOut
from core.errors import InquisightError, UsageError, printable
from core.records import Caption
from core.settings import Settings, get_settings
from core.store.transcripts import TranscriptStore

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from core.vision import VisionBackend


Request = CaptionRequest | VideoRequest


@dataclass(frozen=True, slots=True)
class InterviewPlan:
    """A checked request; its errors are found before a model is loaded."""

    sources: tuple[str, ...]
    bad: tuple[InquisightError, ...]  # arguments that cannot be read
    left_out: LeftOut  # files in folders that are not read
    vision: str
    questioner: str
    options: InterviewOptions
    prompts: Prompts
    seed: int | None
    earlier: Caption | None  # of --resume
    styles: StyleOptions
    settings: Settings


def make_interview_plan(
    request: Request,
    names: Sequence[str],
    find: Callable[[str, LeftOut], Iterable[Any]],
    options: InterviewOptions,
    prompts: Prompts,
    earlier: Caption | None = None,
) -> InterviewPlan:
    """Check the shared options; `find` lists the files of a folder. Raises InquisightError."""
    settings = get_settings()
    if request.json and request.quiet:
        raise UsageError("--json and --quiet contradict each other; choose one")
    vision = first_given(request.vision, earlier and earlier.vision.get("name"), settings.vision)
    check_vision(vision)
    styles = style_options(request)
    styles.check(prompts.styles)
    left_out = LeftOut()
    sources, bad = _expanded(names, find, left_out)
    return InterviewPlan(
        sources,
        bad,
        left_out,
        vision,
        first_given(request.questioner, earlier and earlier.questioner.get("name"), settings.questioner),
        options,
        prompts,
        check_seed(first_given(request.seed, earlier and earlier.seed, settings.seed)),
        earlier,
        styles,
        settings,
    )


def first_given(*values: Any) -> Any:
    """The first value that is not None, else None; a default comes last."""
    return next((value for value in values if value is not None), None)


def _expanded(
    names: Sequence[str], find: Callable[[str, LeftOut], Iterable[Any]], left_out: LeftOut
) -> tuple[tuple[str, ...], tuple[InquisightError, ...]]:
    """Folders expanded, each file once, in order; and the errors of unreadable ones."""
    found: dict[str, None] = {}
    bad: list[InquisightError] = []
    for name in names:
        try:  # a file as it was typed: opening it reports what is wrong with it
            found.update(dict.fromkeys(map(str, find(name, left_out)) if os.path.isdir(name) else [name]))
        except InquisightError as error:
            bad.append(error)
    return tuple(found), tuple(bad)


class InterruptedRun(BaseException):
    """The interview was stopped; the command ends."""


@dataclass
class Interviewer:
    """Holds interviews one after the other, prints them and collects exit codes."""

    plan: InterviewPlan
    request: Request
    codes: list[int] = field(default_factory=list)
    status: Status = field(default_factory=Status)
    about: str = ""
    """Prefix of the current source's errors, if there are several sources."""
    _vision: VisionBackend | None = None
    _questioner: BaseChatModel | None = None

    def __post_init__(self) -> None:
        styles = self.plan.styles.styles
        self.printer = make_printer(json=self.request.json, quiet=self.request.quiet, styles=styles)

    def run(self, serve: Callable[[str], None], catch: type[InquisightError]) -> int:
        """Call `serve` for every source. One that raises `catch` is reported in one line and the others continue.

        Returns the exit code. Raises InquisightError for what concerns all sources.
        """
        hush_libraries()
        plan, status = self.plan, self.status
        self.codes += map(complain, plan.bad)
        many = len(plan.sources) + len(plan.bad) > 1
        try:
            for number, source in enumerate(plan.sources, start=1):
                if many:
                    status.prefix = f"{number}/{len(plan.sources)} {printable(Path(source).name, limit=40)}: "
                    self.about = f"{printable(source)}: "
                try:
                    serve(source)
                except catch as error:
                    status.clear()
                    self.codes.append(complain(error, "" if printable(source) in str(error) else self.about))
        except InterruptedRun:
            return EXIT_INTERRUPTED
        finally:
            status.clear()
            if self._vision is not None:
                self._vision.close()
        if plan.left_out:
            if self.request.json:
                print(json.dumps({"left_out": plan.left_out.as_json()}), flush=True)
            print(f"inquisight: {plan.left_out}", file=sys.stderr, flush=True)
            self.codes += [1] if plan.left_out.faults else []
        return common_exit_code(self.codes)

    @property
    def loaded(self) -> bool:
        """Whether the vision model is loaded."""
        return self._vision is not None

    def interview(
        self,
        sha256: str,
        described: dict[str, Any],
        options: InterviewOptions,
        start: Callable[..., Iterator[Event]],
        *about: Any,
    ) -> Done:
        """Start an interview with both models, or resume one that was `described` alike, and print it.

        `start(*about, vision, questioner, options, ...)` yields its events. Raises InterruptedRun if it was stopped.
        """
        plan, store = self.plan, TranscriptStore(self.plan.settings.database_url)
        began = time.perf_counter()
        vision, questioner = self._models()
        load_seconds = time.perf_counter() - began
        earlier = plan.earlier
        if earlier is None and not self.request.fresh:
            with suppress(InquisightError):  # an unreadable store is reported at the end, when saving fails too
                key = resume_key(sha256, vision, questioner, described, plan.seed)
                earlier = store.find_partial(key) or (store.find_complete(key) if plan.styles.styles else None)
        if earlier is not None:
            self.status.clear()
            line = f"going on after {_answers(earlier)} ({earlier.status} before)"
            if earlier.unaudited:
                line = "the description is there already; only its claims are checked"
            elif earlier.finished:
                line = f"the interview is there already ({earlier.id[:SHORT_ID]}); only its styles are written"
            print(f"inquisight: {line}", file=sys.stderr, flush=True)
        more: dict[str, Any] = {"prompts": plan.prompts, "seed": plan.seed, "earlier": earlier, "save": store.add}
        more["styles"] = plan.styles
        last = self._print(start(*about, vision, questioner, options, **more, load_seconds=load_seconds))
        self._report(last)
        if isinstance(last, InterviewStopped):
            raise InterruptedRun
        return last

    def _models(self) -> tuple[VisionBackend, BaseChatModel]:
        """Both models, loaded when the first source has been opened. Raises InquisightError."""
        if self._questioner is None:
            from agents.llm.questioners import load_questioner

            self._questioner = load_questioner(self.plan.questioner, self.plan.settings, seed=self.plan.seed)
            if self.request.prompts is not None and self.plan.questioner == "scripted":
                note = "inquisight: scripted follows rules; of --prompts, only those to the vision model have an effect"
                print(note, file=sys.stderr, flush=True)
            check_language(self.plan.options, self._questioner)
        if self._vision is None:
            self._vision = load_vision(self.plan.vision, self.status)
        return self._vision, self._questioner

    def _print(self, events: Iterator[Event]) -> Done:
        """Print events as they come; return the last one. Ctrl-C closes them, which saves what was learned."""
        last: object = None
        try:
            for last in events:
                show_status(self.status, last)
                for problem in last.problems if isinstance(last, Examined) else ():
                    line = f"{self.about}{printable(problem, limit=500)}; the interview goes on without it"
                    print(f"inquisight: {line}", file=sys.stderr, flush=True)
                self.printer.event(last)
        except KeyboardInterrupt:  # between two events; those inside a model call are caught by the driver
            events.close()  # type: ignore[attr-defined]
            raise
        assert isinstance(last, Done)
        return last

    def _report(self, last: Done) -> None:
        """Print what went wrong, and note its exit codes."""
        what, then = _answers(last.caption), "goes on"
        if last.caption.unaudited:
            what, then = "the description is", "checks it"
        elif last.caption.status == "complete":
            what, then = "the interview is", "writes its styles"
        kept = f"{what} kept as {last.id[:SHORT_ID]}, the same command {then}" if last.id else ""
        if isinstance(last, Failed) and last.error is not None:
            again = f"; {kept}" if kept else ""
            line = type(last.error)(f"{str(last.error).rstrip('. ')}{again}")
            line.__cause__ = last.error.__cause__ or last.error
            self.codes.append(complain(line, self.about))
        if isinstance(last, InterviewStopped):
            stopped = f"inquisight: {self.about}stopped; {kept or 'nothing could be kept'}"
            print(stopped, file=sys.stderr, flush=True)
        if last.save_error is not None:
            self.codes.append(complain(last.save_error, self.about))


def _answers(caption: Caption) -> str:
    count = len(caption.dialogue.turns)
    return "1 answer" if count == 1 else f"{count} answers"
