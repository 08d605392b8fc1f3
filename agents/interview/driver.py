"""Drive one interview: call the models for what it needs and yield events.

    for event in interview_picture(picture, vision, questioner, InterviewOptions(rounds=5), seed=1):
        ...
    caption = caption_picture(picture, vision, questioner)      # the same, blocking; raises if a model failed

The image is encoded once, when the vision model is first needed; an encoded image is not encoded again. Meanwhile the
witnesses of the options examine it in another thread. A model that fails ends the interview with what was learned so
far; a witness that fails does not. If the audit fails, the caption is complete, and only the audit is resumed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agents.interview.asking import FALLBACK, QUESTIONER
from agents.interview.calls import (
    Session,
    ask_questioner,
    describe_questioner,
    follows_rules,
    read_claims,
    to_langchain,
    visual_question,
)
from agents.interview.events import (
    Answered,
    Audited,
    Done,
    Encoded,
    Event,
    Examined,
    Failed,
    InterviewStopped,
    PlainCaption,
    QuestionAsked,
    QuestionRefused,
    Started,
    StyleWritten,
    SummaryPiece,
    SummaryRefused,
    SummaryWritten,
    Waiting,
)
from agents.interview.prompts import Prompts
from agents.interview.protocol import (
    Finished,
    Interview,
    InterviewOptions,
    NeedAnswer,
    NeedFindings,
    NeedPlainCaption,
    NeedQuestion,
    NeedSummary,
)
from agents.interview.seeds import call_seed
from agents.interview.summaries import RULES
from agents.styles.options import StyleOptions
from core.errors import InquisightError, QuestionerError
from core.images.picture import Picture
from core.net.budgets import MORE
from core.records import Caption, Dialogue
from core.stopping import CalledOff, current_halt
from core.text import repeats_itself
from core.vision import EncodedImage, Reply, VisionBackend

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agents.audit.captions import AuditedCaption
    from agents.witnesses.examination import Examined as Examination
    from agents.witnesses.examination import Find
    from core.video.base import Video

Save = Callable[[Caption], str]
"""Save a caption, finished or not, and return its id (`TranscriptStore.add`)."""


def interview_picture(
    picture: Picture | EncodedImage,
    vision: VisionBackend,
    questioner: BaseChatModel,
    options: InterviewOptions | None = None,
    *,
    prompts: Prompts | None = None,
    seed: int | None = None,
    earlier: Caption | None = None,
    save: Save | None = None,
    interview: Interview | None = None,
    load_seconds: float = 0.0,
    find_witness: Find | None = None,
    styles: StyleOptions | None = None,
) -> Iterator[Event]:
    """Yield events until the caption is finished; the last one is Done, Failed or InterviewStopped.

    `earlier`: a stopped or failed caption of the same picture, which is resumed. `interview`: one that the caller
    holds, to inject questions or correct answers between events. `save` is called after each answer and at the end,
    also if the generator is closed. `find_witness`: returns a witness by its name, by default the registry's.
    `styles`: texts to write at the end; of an `earlier` caption that is complete, only these are written. Raises
    UsageError for an image that another vision model has encoded.
    """
    picture = vision.open_image(picture)
    if interview is None:
        prompts = prompts or Prompts.load()
        interview = Interview.resumed(earlier, prompts, options) if earlier else Interview(prompts, options)
    run = InterviewRun(picture, vision, questioner, interview, seed, save, earlier, find_witness, styles)
    return run.events(load_seconds)


def caption_picture(
    picture: Picture | EncodedImage,
    vision: VisionBackend,
    questioner: BaseChatModel,
    options: InterviewOptions | None = None,
    **more: Any,
) -> Caption:
    """Return the caption at the end of `interview_picture`.

    Raises the InquisightError of a model that failed or of a save that failed, with the unfinished caption as
    `error.partial`; KeyboardInterrupt if it was stopped.
    """
    return finished(interview_picture(picture, vision, questioner, options, **more))


def finished(events: Iterator[Event]) -> Caption:
    """Return the caption at the end of `events`; raises like `caption_picture`."""
    *_, last = events
    if isinstance(last, InterviewStopped):
        raise KeyboardInterrupt
    assert isinstance(last, Done)
    error = last.error if isinstance(last, Failed) else None
    if error and last.save_error:
        error.add_note(f"The unfinished caption could not be saved either: {last.save_error}")
    if error := error or last.save_error:
        error.partial = last.caption
        raise error
    return last.caption


class InterviewRun:
    """The state of one `interview_picture` call."""

    def __init__(
        self,
        picture: Picture | EncodedImage | Video,
        vision: VisionBackend,
        questioner: BaseChatModel,
        interview: Interview,
        seed: int | None,
        save: Save | None,
        earlier: Caption | None,
        find_witness: Find | None = None,
        styles: StyleOptions | None = None,
    ) -> None:
        self.picture, self.vision, self.questioner, self.interview = picture, vision, questioner, interview
        self.seed, self.save = seed, save
        interview.asking.by_rules = follows_rules(questioner)
        interview.asking.cannot_tell = vision.cannot_tell
        self.find_witness = find_witness
        self.examination: Future[list[Examination]] | None = None
        self.image = picture if isinstance(picture, EncodedImage) else None
        self.session = Session(
            interview,
            picture.info(),
            seed,
            lambda: (vision.describe(), describe_questioner(questioner)),
            styles=styles,
        )
        if earlier is not None:
            self.session.resume(earlier)
        self.interrupted = False

    def events(self, load_seconds: float = 0.0) -> Iterator[Event]:
        session, interview = self.session, self.interview
        session.add_seconds("load", load_seconds)
        session.add_seconds("total", load_seconds)
        began = time.perf_counter()
        ended = False
        try:
            yield Started(session.picture, *session.describe(), interview.dialogue.turns)
            try:
                yield from self._start_examination()
                while not isinstance(interview.need, Finished):
                    if (halt := current_halt()) is not None and halt.is_set():
                        raise CalledOff
                    try:
                        yield from self._serve()
                    except Exception as error:
                        session.fail(error)
                yield from self._audit()
                yield from self._write_styles()
            except KeyboardInterrupt:
                self.interrupted = True
                session.stop()
            session.add_seconds("total", time.perf_counter() - began)
            ended = True
            yield self._last(*self._saved())
        finally:
            if not ended:  # the consumer went away: save what was learned; nobody is left to receive an event
                session.stop()
                session.add_seconds("total", time.perf_counter() - began)
                self._saved()

    def _serve(self) -> Iterator[Event]:
        """Serve one need."""
        interview = self.interview
        match interview.need:
            case NeedPlainCaption() as need:
                if self.image is None:
                    yield from self._encode()
                yield Waiting("looking")
                seconds = self._answer(need)
                yield PlainCaption(interview.plain or "", seconds)
            case NeedAnswer() as need:
                if need.asked_by not in (QUESTIONER, FALLBACK):
                    yield QuestionAsked(need.step + 1, need.labelled, need.asked_by, 0.0)
                if self.image is None:
                    yield from self._encode()
                yield Waiting("answering")
                seconds = self._answer(need)
                if self.session.error is None:
                    self._look_for_asked(need)
                    self._saved()  # a checkpoint: not even a killed process loses an answer; the end reports errors
                    yield Answered(need.step + 1, interview.dialogue.turns[need.step], seconds)
            case NeedFindings():
                yield Waiting("examining")
                yield from self._take_findings()
            case NeedQuestion() as need:
                yield Waiting("asking")
                start = time.perf_counter()
                reply = ask_questioner(need, self.questioner, interview, seed=self.seed)
                refused = interview.asking.counts.refused
                seconds = self._feed("language", reply, start)
                after = interview.need
                if isinstance(after, NeedAnswer):
                    yield QuestionAsked(after.step + 1, after.labelled, after.asked_by, seconds)
                elif (last := interview.asking.last) and interview.asking.counts.refused > refused:
                    yield QuestionRefused(last.text, seconds, last.reason)
            case NeedSummary() as need:
                yield Waiting("summarising")
                yield from self._summarise(need)

    def _audit(self) -> Iterator[Event]:
        """Check the claims of the summary, if the options ask for that."""
        if not self.session.needs_audit:
            return
        self.session.stop()
        self._saved()  # a checkpoint, as if it was stopped here: not even a killed process loses the summary
        try:
            if self.session.needs_claims:
                yield Waiting("reading")
                start = time.perf_counter()
                self.session.read = read_claims(self.interview.summary or "", self.questioner, seed=self.seed)
                self.session.add_seconds("language", time.perf_counter() - start)
            audited = yield from self._audited()
            yield Audited(audited.claims, self.session.audited_text, audited.questions, audited.seconds)
        except Exception as error:
            self.session.fail(error)

    def _audited(self) -> Generator[Event, None, AuditedCaption]:
        """The judged claims of the summary."""
        if self.image is None:
            yield from self._encode()
        yield Waiting("auditing")
        assert self.image is not None
        return self.session.audit(self.vision, self.image)

    def _write_styles(self) -> Iterator[Event]:
        """Write the texts of the styles that were asked for."""
        if not self.session.needs_styles:
            return
        self._saved()  # a checkpoint: not even a killed process loses the interview
        try:
            yield Waiting("styling")
            start = time.perf_counter()
            for written in self.session.write_styles(self.questioner):
                self.session.add_seconds("language", time.perf_counter() - start)
                yield StyleWritten(written)
                yield Waiting("styling")
                start = time.perf_counter()
        except Exception as error:
            self.session.fail(error)

    def _start_examination(self) -> Iterator[Event]:
        """Load the witnesses, and let them examine the picture while the vision model is at work."""
        names = self.interview.options.witnesses
        ended = isinstance(self.interview.need, Finished)
        if isinstance(self.picture, Picture) and self.interview.lacks_findings and not ended:
            yield Waiting("examining")
            from agents.witnesses.examination import examine_pictures, load

            load(names, self.find_witness)
            thread = ThreadPoolExecutor(1, thread_name_prefix="witnesses")
            self.examination = thread.submit(examine_pictures, names, [self.picture], self.find_witness)
            thread.shutdown(wait=False)

    def _take_findings(self) -> Iterator[Event]:
        from agents.witnesses.examination import NO_PIXELS
        from agents.witnesses.examination import Examined as Examination

        [found] = self.examination.result() if self.examination else [Examination(problems=(NO_PIXELS,))]
        numbers = self.session.feed_findings(found)
        turns = [(number + 1, self.interview.dialogue.turns[number]) for number in numbers]
        self._saved()
        yield Examined(found.findings, found.problems, found.seconds)
        for number, turn in turns:
            yield QuestionAsked(number, turn.question, turn.asked_by, 0.0)
            yield Answered(number, turn, turn.seconds_answer)

    def _look_for_asked(self, need: NeedAnswer) -> None:
        """Let witnesses that take names look for what a question asks for."""
        interview = self.interview
        if need.asked_by == "opening" or not isinstance(self.picture, Picture) or not interview.options.witnesses:
            return
        from agents.witnesses.asked import joined, look_for_asked

        start, turns = time.perf_counter(), list(interview.dialogue.turns)
        turn, names = turns[need.step], interview.options.witnesses
        found = look_for_asked(turn.question, turn.answer, self.picture, names, self.find_witness)
        self.session.add_seconds("witnesses", time.perf_counter() - start)
        interview.problems = tuple(dict.fromkeys((*interview.problems, *found.problems)))
        interview.findings = joined(interview.findings or (), found.findings)
        if found.answer:
            own = turn.raw_answer if turn.raw_answer is not None else turn.answer
            update = {"answer": found.answer, "answered_by": found.names, "certainty": "sure", "raw_answer": own}
            turns[need.step] = turn.model_copy(update=update)
            interview.dialogue = Dialogue(turns=tuple(turns))

    def _encode(self) -> Iterator[Event]:
        yield Waiting("looking")
        assert isinstance(self.picture, Picture)
        start = time.perf_counter()
        self.image = self.vision.encode([self.picture])[0]
        yield Encoded(self.session.add_seconds("encode", time.perf_counter() - start))

    def _image_of(self, need: NeedPlainCaption | NeedAnswer) -> EncodedImage:
        """The image that the need is about."""
        assert self.image is not None
        return self.image

    def _answer(self, need: NeedPlainCaption | NeedAnswer) -> float:
        """Call the vision model and pass on its reply; returns the seconds it took."""
        instructed = self.vision.follows_instructions
        question = visual_question(need, self._image_of(need), self.interview, instructed=instructed, seed=self.seed)
        start = time.perf_counter()
        [reply] = self.vision.replies([question])
        return self._feed("vision", reply, start)

    def _feed(self, what: str, reply: Reply, start: float) -> float:
        seconds = self.session.add_seconds(what, time.perf_counter() - start)
        self.session.feed(reply, seconds)
        return seconds

    def _write(self, need: NeedSummary, *place: object) -> Generator[Event, None, float]:
        """Stream the summary and pass it on; returns the seconds it took."""
        from agents.llm.questioners import ask_reply, reply_pieces

        messages = to_langchain(need.messages, need.task)
        start = time.perf_counter()
        if need.by == RULES:
            return self._feed("language", ask_questioner(need, self.questioner, self.interview, seed=self.seed), start)
        tokens, seed = self.interview.options.summary_tokens, call_seed(self.seed, "summary", *place)
        reply = Reply("")
        for piece in reply_pieces(self.questioner, messages, max_tokens=tokens, seed=seed):
            if isinstance(piece, Reply):
                reply = piece
            else:
                yield SummaryPiece(piece)
        # Once more, with more tokens; if that fails, the truncated one is kept.
        if reply.truncated and not repeats_itself(reply.text):
            with suppress(QuestionerError):
                reply = ask_reply(self.questioner, messages, max_tokens=MORE * tokens, seed=seed)
        return self._feed("language", reply, start)

    def _summarise(self, need: NeedSummary) -> Iterator[Event]:
        seconds = yield from self._write(need, *((need.attempt,) if need.attempt else ()))
        yield from self._written(seconds)

    def _written(self, seconds: float) -> Iterator[Event]:
        """The summary, or that its draft was refused."""
        check = self.interview.check
        if self.interview.summary is not None:
            yield SummaryWritten(self.interview.summary, seconds, check.removed, check.by)
        elif self.session.error is None and check.fault:
            yield SummaryRefused(check.fault, seconds)

    def _caption(self) -> Caption:
        return self.session.caption()

    def _saved(self) -> tuple[Caption, str | None, InquisightError | None]:
        caption = self._caption()
        if self.save is None:
            return caption, None, None
        try:
            return caption, self.save(caption), None
        except InquisightError as error:
            return caption, None, error

    def _last(self, caption: Caption, saved_as: str | None, save_error: InquisightError | None) -> Done:
        if self.session.error:
            return Failed(caption, saved_as, save_error, error=self.session.error)
        if caption.status == "stopped" or caption.unaudited or (self.interrupted and self.session.needs_styles):
            return InterviewStopped(caption, saved_as, save_error)
        return Done(caption, saved_as, save_error)
