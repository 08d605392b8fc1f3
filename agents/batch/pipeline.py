"""Many interviews at once: while some wait for the questioner, others are answered, in full batches.

    config = PipelineConfig(InterviewOptions(rounds=5), Prompts.load(), seed=1)
    for outcome in interview_many(tasks, vision, questioner, config):
        outcome.tag, outcome.caption, outcome.error

Each caption equals that of `agents.interview.driver.interview_picture`: same prompts, same seeds. At most
`PipelineConfig.in_flight` interviews are in memory, and decoded pictures of at most twice `PIXELS`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from agents.batch.budget import Budget
from agents.batch.vision_queue import INTERVIEW_ROWS, PIXELS, Row, VisionQueue, VisionResult
from agents.claims.questioner import ReadClaims
from agents.interview.calls import (
    Session,
    ask_questioner,
    describe_questioner,
    described_options,
    follows_rules,
    read_claims,
    visual_question,
)
from agents.interview.prompts import Prompts
from agents.interview.protocol import (
    Finished,
    Interview,
    InterviewOptions,
    NeedAnswer,
    NeedFindings,
    NeedPlainCaption,
)
from agents.llm.calls import Callers, ends_all, may_overlap
from agents.styles.options import StyleOptions
from agents.witnesses.examination import NO_PIXELS, Examined, Find
from core.errors import InquisightError
from core.images.picture import Picture
from core.records import Caption, StyledText
from core.stopping import CalledOff, Halt, current_halt
from core.vision import EncodedImage, Reply, VisionBackend

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agents.batch.witness_queue import WitnessQueue

_Replied = Reply | ReadClaims | tuple[StyledText, ...]
LATE: Final = 10.0  # seconds for calls under way when an error ends the work
IN_A_ROW: Final = 25  # consecutive failures after which the pictures are not the reason


class TooManyFailedError(InquisightError):
    """Many consecutive pictures failed, so the batch stops before all are marked as failed."""


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """How to run interviews, and how many at once."""

    options: InterviewOptions
    prompts: Prompts
    seed: int | None = None
    batch: int = 32  # pictures or questions per batch of the vision model
    concurrency: int = 32  # concurrent calls of the questioner
    vision_batches: int | None = None  # concurrent vision batches; None: the model's own number
    in_a_row: int = IN_A_ROW
    find_witness: Find | None = None  # returns a witness by its name; None: the registry's
    styles: StyleOptions | None = None  # texts to write after each interview

    @property
    def in_flight(self) -> int:
        """Maximum interviews in flight: enough to keep every LLM worker busy and one full vision batch queued."""
        rows = INTERVIEW_ROWS - (self.options.audit == "none") + bool(self.options.witnesses)
        return self.concurrency + self.batch * ((self.vision_batches or 1) + rows)


@dataclass(frozen=True, slots=True)
class InterviewTask:
    """A picture to interview about; the outcome carries the same `tag`."""

    tag: Any
    picture: Picture | EncodedImage
    earlier: Caption | None = None  # an unfinished interview about it, to resume
    context: str | None = None  # what the owner tells of it; None: as in the options


@dataclass(frozen=True, slots=True)
class Ready:
    """An item that needs no interview; it is yielded in its turn."""

    tag: Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """A caption; if `error` is set, what was learned before it."""

    tag: Any
    caption: Caption
    error: InquisightError | None = None


@dataclass(slots=True, eq=False)
class _Run:
    """One interview under way."""

    tag: Any
    session: Session
    picture: Picture | None  # until it is encoded
    image: EncodedImage | None = None
    examined: Examined | None = None  # until the interview needs it
    audited: bool = False  # whether its claims were sent to be judged
    began: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True, slots=True)
class _NoMore:
    error: BaseException | None = None


def interview_many(
    tasks: Iterable[InterviewTask | Ready],
    vision: VisionBackend,
    questioner: BaseChatModel,
    config: PipelineConfig,
    *,
    stop: threading.Event | None = None,
    halt: Halt | None = None,
) -> Generator[Outcome | Ready, None, None]:
    """Yield each picture's outcome when it is finished. Closing the generator ends the work.

    `tasks` is read in a separate thread, no faster than there is room. `stop`: begin no further picture, finish those
    under way. Raises an error that every picture would meet (no key, no server), and TooManyFailedError. Then `halt`
    is set, in the thread that met the error, so no call begins any more. Captions that calls under way complete within
    `LATE` seconds are still yielded; other interviews under way are lost.
    """
    pipeline = _Pipeline(vision, questioner, config, stop or threading.Event(), halt or Halt(current_halt()))
    try:
        yield from pipeline.run(iter(tasks))
    finally:
        pipeline.close()


class _Pipeline:
    def __init__(
        self,
        vision: VisionBackend,
        questioner: BaseChatModel,
        config: PipelineConfig,
        stop: threading.Event,
        halt: Halt,
    ) -> None:
        batches = config.vision_batches or vision.concurrent_batches
        config = replace(config, vision_batches=batches)
        if not may_overlap(questioner):
            config = replace(config, concurrency=1)
        self.vision, self.questioner, self.config, self.stop, self.halt = vision, questioner, config, stop, halt
        self.described = (vision.describe(), describe_questioner(questioner))  # once: some count calls in it
        self.options = described_options(config.options, config.prompts)
        self.by_rules = follows_rules(questioner)
        self.events: queue.SimpleQueue[tuple[_Run | None, Any]] = queue.SimpleQueue()
        self.vision_queue = VisionQueue(
            vision,
            lambda run, result: self.events.put((run, result)),
            batch=config.batch,
            workers=batches,
            halt=halt,
            threshold=config.options.threshold,
        )
        self.callers = Callers(
            lambda run, reply, seconds: self.events.put((run, (reply, seconds))), config.concurrency, halt
        )
        self.witness_queue = self._make_witness_queue()
        self.room = threading.Semaphore(config.in_flight)
        self.pixels = Budget(2 * PIXELS)  # one batch is encoded while the next is read
        self.closed = threading.Event()
        self.failed_in_a_row = 0

    def _make_witness_queue(self) -> WitnessQueue | None:
        if not self.config.options.witnesses:
            return None
        from agents.batch.witness_queue import WitnessQueue
        from agents.witnesses.examination import load

        names, find = self.config.options.witnesses, self.config.find_witness
        load(names, find)
        return WitnessQueue(names, lambda run, result: self.events.put((run, result)), find, self.halt)

    def run(self, tasks: Iterator[InterviewTask | Ready]) -> Iterator[Outcome | Ready]:
        try:
            yield from self._run(tasks)
            return
        except (Exception, CalledOff) as caught:  # noqa: BLE001 - raised again below
            error = caught
        self.halt.set(error)
        yield from self._late()
        raise self.halt.reason or error

    def _late(self) -> Iterator[Outcome]:
        """The captions that calls under way still complete."""
        end = time.monotonic() + LATE
        while self.callers.at_work or not self.events.empty():
            try:
                run, what = self.events.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return
            if run is None or run.session.error is not None:
                continue
            with suppress(Exception, CalledOff):
                self._receive(run, what)
                if run.session.interview.summary is not None and not run.session.needs_audit:
                    yield self._outcome(run)

    def _run(self, tasks: Iterator[InterviewTask | Ready]) -> Iterator[Outcome | Ready]:
        feeder = threading.Thread(target=self._feed, args=(tasks,), daemon=True, name="pictures")
        feeder.start()
        under_way, more = 0, True
        while more or under_way:
            run, what = self.events.get()
            if isinstance(what, _NoMore):
                if what.error is not None:
                    raise what.error
                more = False
                continue
            if isinstance(what, Ready):
                self.room.release()
                yield what
                continue
            if isinstance(what, InterviewTask):
                run = self._begin(what)
                under_way += 1
            else:
                assert run is not None
                self._receive(run, what)
            if self._request_next(run):
                continue
            under_way -= 1
            self.room.release()
            yield self._outcome(run)
            self._check_failures(run.session.error)
        feeder.join()

    def close(self) -> None:
        self.closed.set()
        self.pixels.close()
        self.callers.close()
        if self.witness_queue is not None:
            self.witness_queue.close()
        self.vision_queue.close()

    # --- pictures come in -----------------------------------------------------------------------------------------

    def _feed(self, tasks: Iterator[InterviewTask | Ready]) -> None:
        error: BaseException | None = None
        try:
            while self._has_room():
                task = next(tasks, None)
                if task is None:
                    break
                if isinstance(task, InterviewTask) and isinstance(task.picture, Picture):
                    self.pixels.take(_pixels(task.picture))
                self.events.put((None, task))
        except BaseException as caught:  # noqa: BLE001 - raised in the main thread
            error = caught
        finally:
            close = getattr(tasks, "close", None)
            if close is not None:
                close()
            self.events.put((None, _NoMore(error)))

    def _has_room(self) -> bool:
        while not (self.closed.is_set() or self.stop.is_set()):
            if self.room.acquire(timeout=0.2):
                return True
        return False

    def _begin(self, task: InterviewTask) -> _Run:
        prompts, options, picture, described = self.config.prompts, self.config.options, task.picture, self.options
        if task.context is not None and task.context != options.context:
            options = replace(options, context=task.context)
            described = described_options(options, prompts)
        interview = Interview.resumed(task.earlier, prompts, options) if task.earlier else Interview(prompts, options)
        interview.asking.by_rules, interview.asking.cannot_tell = self.by_rules, self.vision.cannot_tell
        about, models = picture.info(), self.described
        session = Session(interview, about, self.config.seed, lambda: models, described, styles=self.config.styles)
        if task.earlier is not None:
            session.resume(task.earlier)
        if isinstance(picture, EncodedImage):
            return _Run(task.tag, session, None, picture)
        return _Run(task.tag, session, picture)

    # --- what interviews need, and what they get ------------------------------------------------------------------

    def _request_next(self, run: _Run) -> bool:
        """Send the next need to its model; False if the interview is over."""
        interview, seed = run.session.interview, self.config.seed
        if isinstance(interview.need, NeedFindings) and (run.examined is not None or run.picture is None):
            run.session.feed_findings(run.examined or Examined(problems=(NO_PIXELS,)))
        need = interview.need
        if run.session.needs_claims and (run.image or run.picture):
            text = interview.summary or ""
            self.callers.put(run, partial(read_claims, text, self.questioner, seed=seed))
            return True
        if isinstance(need, Finished) and run.session.needs_audit and (run.image or run.picture):
            self._request_audit(run)
            return True
        if run.session.needs_styles:
            self.callers.put(run, partial(run.session.all_styles, self.questioner))
            return True
        if isinstance(need, Finished):
            self._release_pixels(run)  # a resumed interview may have needed no vision model
            return False
        if interview.lacks_findings and run.examined is None and run.picture is not None:
            assert self.witness_queue is not None
            self.witness_queue.put(run, run.picture)  # first: later its pixels are released
            return True
        assert not isinstance(need, NeedFindings)
        if not isinstance(need, NeedPlainCaption | NeedAnswer):
            self.callers.put(run, partial(ask_questioner, need, self.questioner, interview, seed=seed))
        elif run.image is None:
            assert run.picture is not None
            self.vision_queue.encode(run, run.picture)
        else:
            question = visual_question(
                need, run.image, interview, instructed=self.vision.follows_instructions, seed=seed
            )
            row: Row = "plain"
            if isinstance(need, NeedAnswer):
                row = "opening" if need.asked_by == "opening" else "asked"
            self.vision_queue.ask(run, question, row)
        return True

    def _request_audit(self, run: _Run) -> None:
        if run.image is not None:
            run.audited = True
            self.vision_queue.audit(run, run.session.claims_to_check(run.image))
        else:  # a resumed interview
            assert run.picture is not None
            self.vision_queue.encode(run, run.picture)

    def _receive(
        self, run: _Run, what: VisionResult | Examined | CalledOff | tuple[_Replied | BaseException, float]
    ) -> None:
        """Pass on a model's result."""
        session = run.session
        if isinstance(what, CalledOff):
            raise what
        if isinstance(what, Examined):
            run.examined = what
            return
        if not isinstance(what, VisionResult):
            reply, seconds = what
            if isinstance(reply, BaseException):
                self._fail(run, reply)
                return
            seconds = session.add_seconds("language", seconds)
            if isinstance(reply, ReadClaims):
                session.read = reply
            elif isinstance(reply, Reply):
                session.feed(reply, seconds)
            return
        encoding = run.image is None
        if encoding:
            self._release_pixels(run)
        if what.error is not None:
            self._fail(run, what.error)
            return
        if run.audited:
            session.take_audit(what.result, what.seconds)
            return
        session.add_seconds("encode" if encoding else "vision", what.seconds)
        if encoding:
            run.image = what.result
        else:
            session.feed(what.result, what.seconds)

    def _release_pixels(self, run: _Run) -> None:
        if run.picture is not None:
            self.pixels.give_back(_pixels(run.picture))
            run.picture = None

    def _fail(self, run: _Run, error: BaseException) -> None:
        if isinstance(error, CalledOff) or ends_all(error):
            raise error
        run.session.fail(error)

    # --- captions go out ------------------------------------------------------------------------------------------

    def _outcome(self, run: _Run) -> Outcome:
        run.session.add_seconds("total", time.perf_counter() - run.began)
        return Outcome(run.tag, run.session.caption(), run.session.error)

    def _check_failures(self, error: InquisightError | None) -> None:
        self.failed_in_a_row = self.failed_in_a_row + 1 if error else 0
        if error and self.failed_in_a_row >= self.config.in_a_row:
            wrong = TooManyFailedError(f"{self.failed_in_a_row} pictures in a row failed, the last with: {error}")
            wrong.exit_code = error.exit_code
            raise wrong


def _pixels(picture: Picture) -> int:
    return picture.width * picture.height
