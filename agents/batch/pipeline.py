"""Many interviews at once: while some wait for the questioner, others are answered, in full batches.

    how = How(InterviewOptions(rounds=5), Prompts.load(), seed=1)
    for outcome in interview_many(tasks, vision, questioner, how):
        outcome.tag, outcome.caption, outcome.error

Each picture is interviewed exactly as `agents.driver.interview_picture` does it, with the same prompts and seeds, so
that its caption is the same whatever else runs beside it. A finished interview makes room for the next: no more than
`How.running` are in memory, and of decoded pictures that wait to be looked at no more than twice `PIXELS`.
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

from agents.batch.calls import Callers, ends_all
from agents.batch.seeing import PIXELS, ROWS, Eye, Row, Seen
from agents.driver import (
    ask_questioner,
    describe_questioner,
    described_options,
    to_langchain,
    visual_question,
)
from agents.interview import (
    Finished,
    Interview,
    InterviewOptions,
    NeedAnswer,
    NeedPlainCaption,
    NeedQuestion,
    NeedSummary,
)
from agents.prompts import Prompts
from agents.seeds import call_seed
from core.budgets import MORE
from core.errors import BackendError, InquisightError, QuestionerError, printable
from core.halting import CalledOff, Halt, current_halt
from core.images import Picture
from core.records import Caption, PictureInfo
from core.vision import EncodedImage, Reply, VisionBackend

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

LATE: Final = 10.0  # seconds for what is under way when an error ends the work
IN_A_ROW: Final = 25  # failed pictures without a good one between them: then something else is wrong than the pictures


class TooManyFailedError(InquisightError):
    """One picture after the other failed, so the batch stops before it has spoiled them all."""


@dataclass(frozen=True, slots=True)
class How:
    """How interviews are held, and how many at once."""

    options: InterviewOptions
    prompts: Prompts
    seed: int | None = None
    batch: int = 32  # pictures or questions that the eye gets at a time
    concurrency: int = 32  # calls of the questioner at a time
    eyes: int | None = None  # batches that are with the eye at a time; None: as many as it does best with
    in_a_row: int = IN_A_ROW

    @property
    def running(self) -> int:
        """Interviews at a time: all callers busy, a batch with the eye, and so many waiting that one row is full."""
        return self.concurrency + self.batch * ((self.eyes or 1) + len(ROWS))


@dataclass(frozen=True, slots=True)
class Task:
    """A picture to be interviewed about; `tag` comes back with the outcome."""

    tag: Any
    picture: Picture | EncodedImage
    earlier: Caption | None = None  # an unfinished interview about it, to go on with


@dataclass(frozen=True, slots=True)
class Ready:
    """Something that needs no interview, to be given back in its turn."""

    tag: Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """The caption; where `error` is set it holds what had been learned until then."""

    tag: Any
    caption: Caption
    error: InquisightError | None = None


@dataclass(slots=True, eq=False)
class _Run:
    """One interview under way."""

    tag: Any
    interview: Interview
    info: PictureInfo
    picture: Picture | None  # until it has been looked at
    image: EncodedImage | None = None
    error: InquisightError | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)

    def spend(self, what: str, seconds: float) -> None:
        self.seconds[what] = self.seconds.get(what, 0.0) + seconds


@dataclass(frozen=True, slots=True)
class _NoMore:
    error: BaseException | None = None


def interview_many(
    tasks: Iterable[Task | Ready],
    vision: VisionBackend,
    questioner: BaseChatModel,
    how: How,
    *,
    stop: threading.Event | None = None,
    halt: Halt | None = None,
) -> Generator[Outcome | Ready, None, None]:
    """Yield each picture's outcome as soon as it is there. Closing the generator ends the work.

    `tasks` is read in a separate thread, no faster than there is room. `stop`: no further picture is begun, those
    under way are finished. Raises the error of a model that would befall every picture (no key, no server), and
    TooManyFailedError: then `halt` is set, in the thread that met the error, so that no call begins any more. Captions
    that calls under way complete within `LATE` seconds are still yielded; other interviews under way are lost.
    """
    pipeline = _Pipeline(vision, questioner, how, stop or threading.Event(), halt or Halt(current_halt()))
    try:
        yield from pipeline.run(iter(tasks))
    finally:
        pipeline.close()


class _Pipeline:
    def __init__(
        self, vision: VisionBackend, questioner: BaseChatModel, how: How, stop: threading.Event, halt: Halt
    ) -> None:
        eyes = how.eyes or vision.concurrent_batches
        how = replace(_fitted(how, questioner), eyes=eyes)
        self.vision, self.questioner, self.how, self.stop, self.halt = vision, questioner, how, stop, halt
        self.described = (vision.describe(), describe_questioner(questioner))  # once: some count calls in it
        self.options = described_options(how.options, how.prompts)
        self.events: queue.SimpleQueue[tuple[_Run | None, Any]] = queue.SimpleQueue()
        self.eye = Eye(vision, lambda run, seen: self.events.put((run, seen)), batch=how.batch, workers=eyes, halt=halt)
        self.callers = Callers(
            lambda run, said, seconds: self.events.put((run, (said, seconds))), how.concurrency, halt
        )
        self.room = threading.Semaphore(how.running)
        self.pixels = _Pixels(2 * PIXELS)  # one batch is looked at while the next is read
        self.closed = threading.Event()
        self.bad = 0  # in a row

    def run(self, tasks: Iterator[Task | Ready]) -> Iterator[Outcome | Ready]:
        try:
            yield from self._run(tasks)
            return
        except (Exception, CalledOff) as caught:  # noqa: BLE001 - raised again below
            error = caught
        self.halt.set(error)
        yield from self._late()
        raise self.halt.reason or error

    def _late(self) -> Iterator[Outcome]:
        """The captions that are complete with what calls under way still bring."""
        end = time.monotonic() + LATE
        while self.callers.at_work or not self.events.empty():
            try:
                run, what = self.events.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return
            if run is None or run.error is not None:
                continue
            with suppress(Exception, CalledOff):
                self._take(run, what)
                if run.interview.summary is not None:
                    yield self._outcome(run)

    def _run(self, tasks: Iterator[Task | Ready]) -> Iterator[Outcome | Ready]:
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
            if isinstance(what, Task):
                run = self._begin(what)
                under_way += 1
            else:
                assert run is not None
                self._take(run, what)
            if self._go_on(run):
                continue
            under_way -= 1
            self.room.release()
            yield self._outcome(run)
            self._check(run)
        feeder.join()

    def close(self) -> None:
        self.closed.set()
        self.pixels.close()
        self.callers.close()
        self.eye.close()

    # --- pictures come in -----------------------------------------------------------------------------------------

    def _feed(self, tasks: Iterator[Task | Ready]) -> None:
        error: BaseException | None = None
        try:
            while self._has_room():
                task = next(tasks, None)
                if task is None:
                    break
                if isinstance(task, Task) and isinstance(task.picture, Picture):
                    self.pixels.take(task.picture)
                self.events.put((None, task))
        except BaseException as caught:  # noqa: BLE001 - raised where somebody can hear it
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

    def _begin(self, task: Task) -> _Run:
        how = self.how
        interview = (
            Interview.resumed(task.earlier, how.prompts, how.options)
            if task.earlier
            else Interview(how.prompts, how.options)
        )
        picture = task.picture
        if isinstance(picture, EncodedImage):
            return _Run(task.tag, interview, picture.info(), None, picture)
        return _Run(task.tag, interview, picture.info(), picture)

    # --- what interviews need, and what they get ------------------------------------------------------------------

    def _go_on(self, run: _Run) -> bool:
        """Have the next need served; False where the interview is over."""
        interview, how = run.interview, self.how
        match interview.need:
            case Finished():
                if run.picture is not None:  # it went on where nothing had to be looked at
                    self.pixels.give_back(run.picture)
                    run.picture = None
                return False
            case NeedPlainCaption() | NeedAnswer() as need:
                if run.image is None:
                    assert run.picture is not None
                    self.eye.look(run, run.picture)
                    return True
                instructed = self.vision.follows_instructions
                question = visual_question(need, run.image, interview, instructed=instructed, seed=how.seed)
                row: Row = "plain"
                if isinstance(need, NeedAnswer):
                    row = "opening" if need.asked_by == "opening" else "asked"
                self.eye.ask(run, question, row)
            case NeedQuestion() as need:
                self.callers.put(run, partial(ask_questioner, need, self.questioner, interview, seed=how.seed))
            case need:
                from agents.questioners import ask_reply

                messages = to_langchain(need.messages, need.task)
                tokens, seed = how.options.summary_tokens, call_seed(how.seed, "summary")
                call = partial(ask_reply, self.questioner, messages, max_tokens=tokens, retry_tokens=MORE * tokens)
                self.callers.put(run, partial(call, seed=seed))
        return True

    def _take(self, run: _Run, what: Seen | tuple[Reply | BaseException, float]) -> None:
        """Hand in what a model gave."""
        if isinstance(what, Seen):
            looked = run.image is None
            if looked and run.picture is not None:
                self.pixels.give_back(run.picture)
                run.picture = None
            if what.error is not None:
                self._fail(run, what.error, BackendError, self.vision.name)
                return
            run.spend("encode" if looked else "vision", what.seconds)
            if looked:
                run.image = what.result
            else:
                reply: Reply = what.result
                run.interview.feed(reply.text, seconds=what.seconds, truncated=reply.truncated)
                self._check_answers(run)
            return
        said, seconds = what
        if isinstance(said, BaseException):
            self._fail(run, said, QuestionerError, "the questioner")
            return
        run.spend("language", seconds)
        summarised = isinstance(run.interview.need, NeedSummary)
        run.interview.feed(said.text, seconds=seconds, truncated=said.truncated)
        if summarised and run.interview.status == "failed":
            run.error = QuestionerError(f"{self.described[1]['name']}: {run.interview.error}")
        self._check_answers(run)

    def _check_answers(self, run: _Run) -> None:
        """Whether the interview has failed because the vision model says nothing."""
        if run.error is None and run.interview.status == "failed":
            run.error = BackendError(f"{self.vision.name}: {run.interview.error}")
            run.interview.fail(run.error)

    def _fail(self, run: _Run, error: BaseException, kind: type[InquisightError], who: str) -> None:
        if isinstance(error, CalledOff) or ends_all(error):
            raise error
        if not isinstance(error, InquisightError):
            line = printable(str(error).strip().partition("\n")[0] or "no details")
            told = kind(f"{who} failed: {type(error).__name__}: {line}")
            told.__cause__ = error
            error = told
        run.error = error
        run.interview.fail(error)

    # --- captions go out ------------------------------------------------------------------------------------------

    def _outcome(self, run: _Run) -> Outcome:
        interview = run.interview
        run.spend("total", time.perf_counter() - run.began)
        caption = Caption(
            picture=run.info,
            status=interview.status,
            error=interview.error,
            plain=interview.plain or "",
            opening=interview.opening,
            summary=interview.summary or "",
            truncated=interview.truncated,
            dialogue=interview.dialogue,
            vision=self.described[0],
            questioner=self.described[1],
            options=self.options,
            seed=self.how.seed,
            seconds={name: round(value, 4) for name, value in run.seconds.items()},
            ended_because=interview.ended_because,
        )
        return Outcome(run.tag, caption, run.error)

    def _check(self, run: _Run) -> None:
        self.bad = self.bad + 1 if run.error else 0
        if self.bad >= self.how.in_a_row:
            wrong = TooManyFailedError(f"{self.bad} pictures in a row failed, the last with: {run.error}")
            wrong.exit_code = run.error.exit_code if run.error else 1
            raise wrong


def _fitted(how: How, questioner: BaseChatModel) -> How:
    """A pipeline in this process has one random generator for all its calls, so they must not overlap."""
    from agents.providers import PROVIDER

    local_model = (questioner.metadata or {}).get(PROVIDER) == "huggingface"
    return replace(how, concurrency=1) if local_model else how


class _Pixels:
    """Keeps the feeder from decoding more than fits; one picture always fits."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0
        self._changed = threading.Condition()
        self._closed = False

    def take(self, picture: Picture) -> None:
        size = picture.width * picture.height
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self.held or self.held + size <= self.limit)
            self.held += size

    def give_back(self, picture: Picture) -> None:
        with self._changed:
            self.held -= picture.width * picture.height
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
