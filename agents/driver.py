"""Move one interview: ask the models what it needs, and tell what happens in small events.

    for event in interview_picture(picture, vision, questioner, InterviewOptions(rounds=5), seed=1):
        ...
    caption = caption_picture(picture, vision, questioner)      # the same, joined; raises on failure

The picture is encoded once, when the seeing model is first needed; an image that was encoded before is not encoded
again. A model that fails ends this picture with what was learned so far. `visual_question` and `ask_questioner`
serve one need each, so that another driver can collect the needs of many interviews and answer them in one batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from agents.interview import (
    Finished,
    Interview,
    InterviewOptions,
    Message,
    NeedAnswer,
    NeedPlainCaption,
    NeedQuestion,
    NeedSummary,
)
from agents.prompts import Prompts
from agents.seeds import call_seed
from core.budgets import MORE
from core.errors import BackendError, InquisightError, QuestionerError, UsageError
from core.halting import CalledOff, current_halt
from core.records import Caption, PictureInfo, Turn, run_key
from core.tasks import Task
from core.vision import EncodedImage, GenerationOptions, Reply, VisionBackend, VisualQuestion

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from core.images import Picture

Save = Callable[[Caption], str]
"""Keep a caption, finished or not, and give back its id (`TranscriptStore.add`)."""


# --- events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """Work on a picture begins; `turns` were spoken in an earlier run that is continued."""

    picture: PictureInfo
    vision: dict[str, str]
    questioner: dict[str, str]
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A model is about to be called: "looking", "asking", "answering" or "summarising"."""

    doing: str


@dataclass(frozen=True, slots=True)
class Encoded:
    seconds: float


@dataclass(frozen=True, slots=True)
class PlainCaption:
    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class QuestionAsked:
    """Question `number` (from 1) is put to the seeing model."""

    number: int
    question: str
    asked_by: str
    seconds: float


@dataclass(frozen=True, slots=True)
class QuestionRefused:
    """The questioner repeated itself or asked nothing; it is asked again or asking ends."""

    question: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Answered:
    number: int
    turn: Turn
    seconds: float


@dataclass(frozen=True, slots=True)
class SummaryPiece:
    """A piece of the summary as the model writes it: not cleaned, for display only."""

    text: str


@dataclass(frozen=True, slots=True)
class SummaryWritten:
    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Done:
    """The last event. `id` is None where nothing was saved; `save_error` says why if that was not wanted."""

    caption: Caption
    id: str | None = None
    save_error: InquisightError | None = None


@dataclass(frozen=True, slots=True)
class Failed(Done):
    """The last event where a model failed; the caption holds what was learned so far."""

    error: InquisightError | None = None


@dataclass(frozen=True, slots=True)
class Stopped(Done):
    """The last event after an interruption (Ctrl-C)."""


Event = (
    Started
    | Waiting
    | Encoded
    | PlainCaption
    | QuestionAsked
    | QuestionRefused
    | Answered
    | SummaryPiece
    | SummaryWritten
    | Done
)


# --- one need, one call -------------------------------------------------------------------------------------------


def visual_question(
    need: NeedPlainCaption | NeedAnswer,
    image: EncodedImage,
    interview: Interview,
    *,
    instructed: bool = False,
    seed: int | None = None,
) -> VisualQuestion:
    """What the backend is asked for this need. `instructed`: it follows instructions, so it gets the longer form."""
    tokens = interview.options.answer_tokens
    if isinstance(need, NeedPlainCaption):
        options = GenerationOptions(tokens, seed=call_seed(seed, "plain"), retry_tokens=MORE * tokens)
        return VisualQuestion(image, None, (), options)
    key = "answerer.instructed" if instructed else "answerer.short"
    text = interview.prompts.text(key, question=need.question)
    options = GenerationOptions(tokens, seed=call_seed(seed, "answer", need.step), retry_tokens=MORE * tokens)
    return VisualQuestion(image, text, need.history, options)


def to_langchain(messages: Sequence[Message], task: Task) -> list[BaseMessage]:
    """LangChain messages; `task` rides on the last one for questioners that are programs (see core.tasks)."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    kinds: dict[str, type[Any]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    converted: list[BaseMessage] = [kinds[message.role](message.content) for message in messages]
    converted[-1].additional_kwargs.update(task.to_kwargs())
    return converted


def ask_questioner(need: NeedQuestion, model: BaseChatModel, interview: Interview, *, seed: int | None = None) -> Reply:
    """One reply; an empty one where the model said nothing, which the interview treats like a repeated question.

    A question that was cut is asked for once more with more tokens; where it is whole, what follows it may be cut.
    """
    from agents.questioners import EmptyReplyError, ask_reply

    tokens = interview.options.question_tokens
    try:
        return ask_reply(
            model,
            to_langchain(need.messages, need.task),
            max_tokens=tokens,
            retry_tokens=MORE * tokens,
            enough=lambda text: "?" in text or "？" in text,
            seed=call_seed(seed, "question", need.step, need.attempt),
        )
    except EmptyReplyError:
        return Reply("")


def describe_questioner(model: BaseChatModel) -> dict[str, str]:
    """What a transcript records about the questioner; no address, no key."""
    from agents.providers import SPEC

    name = (model.metadata or {}).get(SPEC) or getattr(model, "_llm_type", type(model).__name__)
    described = {"name": str(name)}
    wire = getattr(model, "model_name", None) or getattr(model, "model", None)
    if isinstance(wire, str) and wire and wire not in described["name"]:
        described["model"] = wire
    return described


def described_options(options: InterviewOptions, prompts: Prompts) -> dict[str, Any]:
    """What decides how an interview goes, besides models and seed; two runs with equal values are the same run."""
    return {**asdict(options), "prompts": prompts.sha256}


def run_key_of(
    picture: Picture | EncodedImage,
    vision: VisionBackend,
    questioner: BaseChatModel,
    options: InterviewOptions,
    prompts: Prompts,
    seed: int | None,
) -> str:
    """By what `TranscriptStore.find_partial` finds the unfinished interview that this one would continue."""
    return key_of(picture.sha256, vision, questioner, described_options(options, prompts), seed)


def key_of(
    sha256: str, vision: VisionBackend, questioner: BaseChatModel, options: dict[str, Any], seed: int | None
) -> str:
    """The run key of an interview about what has this sha256, with everything else that decides how it goes."""
    return run_key(
        picture_sha256=sha256,
        vision=vision.describe(),
        questioner=describe_questioner(questioner),
        options=options,
        seed=seed,
    )


def check_language(options: InterviewOptions, questioner: BaseChatModel) -> None:
    """Raise UsageError before work starts where the questioner says which languages it has, and this is none."""
    known = getattr(questioner, "languages", None)
    if options.language is None or known is None:
        return
    if options.language.strip().casefold() not in {str(name).casefold() for name in known}:
        raise UsageError(
            f"the questioner {describe_questioner(questioner)['name']!r} cannot write in {options.language!r}; "
            f"it has {', '.join(map(str, known))}. Leave --language out or choose a language model as questioner"
        )


# --- the driver ---------------------------------------------------------------------------------------------------


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
) -> Iterator[Event]:
    """Yield what happens until the caption is there; the last event is Done, Failed or Stopped.

    `earlier`: a stopped or failed caption of the same picture, which is continued. `interview`: one
    that the caller keeps hold of, to inject questions or correct answers between events. `save` is called
    after each answer and when the interview ends, however it ends, also by closing the generator. Raises UsageError
    for an image that another vision model has encoded.
    """
    picture = vision.open_image(picture)
    if interview is None:
        prompts = prompts or Prompts.load()
        interview = Interview.resumed(earlier, prompts, options) if earlier else Interview(prompts, options)
    run = _Run(picture, vision, questioner, interview, seed, save, dict(earlier.seconds) if earlier else {})
    run.spend("load", load_seconds)
    run.spend("total", load_seconds)
    return run.events()


def caption_picture(
    picture: Picture | EncodedImage,
    vision: VisionBackend,
    questioner: BaseChatModel,
    options: InterviewOptions | None = None,
    **more: Any,
) -> Caption:
    """Return the caption at the end of `interview_picture`.

    Raises the InquisightError of a model that failed, or of a caption that could not be saved, with the caption as far
    as it went as `error.partial`; KeyboardInterrupt where it was stopped.
    """
    return finished(interview_picture(picture, vision, questioner, options, **more))


def finished(events: Iterator[Event]) -> Caption:
    """Return the caption at the end of `events`; raises like `caption_picture`."""
    *_, last = events
    if isinstance(last, Stopped):
        raise KeyboardInterrupt
    assert isinstance(last, Done)
    error = last.error if isinstance(last, Failed) else None
    if error and last.save_error:
        error.add_note(f"The unfinished caption could not be saved either: {last.save_error}")
    if error := error or last.save_error:
        error.partial = last.caption
        raise error
    return last.caption


class _Run:
    """The state of one `interview_picture` call."""

    def __init__(
        self,
        picture: Picture | EncodedImage,
        vision: VisionBackend,
        questioner: BaseChatModel,
        interview: Interview,
        seed: int | None,
        save: Save | None,
        seconds: dict[str, float],
    ) -> None:
        self.picture, self.vision, self.questioner, self.interview = picture, vision, questioner, interview
        self.seed, self.save, self.seconds = seed, save, seconds
        self.image = picture if isinstance(picture, EncodedImage) else None
        self.error: InquisightError | None = None

    def spend(self, what: str, seconds: float) -> None:
        self.seconds[what] = self.seconds.get(what, 0.0) + seconds

    def events(self) -> Iterator[Event]:
        began = time.perf_counter()
        ended = False
        info = self.picture.info()
        try:
            yield Started(
                info, self.vision.describe(), describe_questioner(self.questioner), self.interview.dialogue.turns
            )
            try:
                while not isinstance(self.interview.need, Finished):
                    if (halt := current_halt()) is not None and halt.is_set():
                        raise CalledOff
                    yield from self._step()
            except KeyboardInterrupt:
                self.interview.stop()
            self.spend("total", time.perf_counter() - began)
            ended = True
            yield self._last(*self._saved())
        finally:
            if not ended:  # the consumer went away: keep what was learned, there is nobody to tell
                self.interview.stop()
                self.spend("total", time.perf_counter() - began)
                self._saved()

    def _step(self) -> Iterator[Event]:
        """Serve one need. A failing model ends the interview; the interview itself never raises."""
        try:
            yield from self._serve()
        except InquisightError as error:
            self.error = error
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except Exception as error:
            seeing = isinstance(self.interview.need, NeedPlainCaption | NeedAnswer)
            kind, who = (BackendError, self.vision.name) if seeing else (QuestionerError, "the questioner")
            self.error = kind(f"{who} failed: {type(error).__name__}: {_first_line(error)}")
            self.error.__cause__ = error
        if self.error:
            self.interview.fail(self.error)

    def _serve(self) -> Iterator[Event]:
        interview = self.interview
        match interview.need:
            case NeedPlainCaption() as need:
                if self.image is None:
                    yield from self._encode()
                yield Waiting("looking")
                reply, seconds = self._look(need)
                interview.feed(reply.text, seconds=seconds, truncated=reply.truncated)
                yield PlainCaption(interview.plain or "", seconds)
            case NeedAnswer() as need:
                number = need.step + 1
                if need.asked_by != "questioner":
                    yield QuestionAsked(number, need.question, need.asked_by, 0.0)
                if self.image is None:
                    yield from self._encode()
                yield Waiting("answering")
                reply, seconds = self._look(need)
                interview.feed(reply.text, seconds=seconds, truncated=reply.truncated)
                if self._silent():
                    return
                self._saved()  # a checkpoint: not even a killed process loses an answer; the end reports errors
                yield Answered(number, interview.dialogue.turns[-1], seconds)
            case NeedQuestion() as need:
                yield Waiting("asking")
                seconds = self._ask(need)
                after = interview.need
                if isinstance(after, NeedAnswer):
                    yield QuestionAsked(after.step + 1, after.question, after.asked_by, seconds)
                elif isinstance(after, NeedQuestion):
                    yield QuestionRefused(interview.refused[-1] if interview.refused else "", seconds)
            case NeedSummary() as need:
                yield Waiting("summarising")
                yield from self._summarise(need)

    def _encode(self) -> Iterator[Event]:
        yield Waiting("looking")
        assert not isinstance(self.picture, EncodedImage)
        start = time.perf_counter()
        self.image = self.vision.encode([self.picture])[0]
        seconds = time.perf_counter() - start
        self.spend("encode", seconds)
        yield Encoded(seconds)

    def _ask(self, need: NeedQuestion) -> float:
        """Have the questioner ask, and feed its question; the seconds it took."""
        start = time.perf_counter()
        reply = ask_questioner(need, self.questioner, self.interview, seed=self.seed)
        seconds = time.perf_counter() - start
        self.spend("language", seconds)
        self.interview.feed(reply.text, seconds=seconds, truncated=reply.truncated)
        self._silent()
        return seconds

    def _silent(self) -> bool:
        """Whether the interview has failed because the vision model says nothing."""
        if self.interview.error is not None:
            self.error = BackendError(f"{self.vision.name}: {self.interview.error}")
        return self.error is not None

    def _image_of(self, need: NeedPlainCaption | NeedAnswer) -> EncodedImage:
        """What the need is answered from."""
        assert self.image is not None
        return self.image

    def _look(self, need: NeedPlainCaption | NeedAnswer) -> tuple[Reply, float]:
        instructed = self.vision.follows_instructions
        question = visual_question(need, self._image_of(need), self.interview, instructed=instructed, seed=self.seed)
        start = time.perf_counter()
        [reply] = self.vision.replies([question])
        seconds = time.perf_counter() - start
        self.spend("vision", seconds)
        return reply, seconds

    def _write(self, need: NeedSummary, *place: object) -> Generator[Event, None, float]:
        """Have the questioner tell, piece by piece, and feed what it told; the seconds it took."""
        from agents.questioners import ask_reply, reply_pieces

        messages = to_langchain(need.messages, need.task)
        tokens, seed = self.interview.options.summary_tokens, call_seed(self.seed, "summary", *place)
        reply = Reply("")
        start = time.perf_counter()
        for piece in reply_pieces(self.questioner, messages, max_tokens=tokens, seed=seed):
            if isinstance(piece, Reply):
                reply = piece
            else:
                yield SummaryPiece(piece)
        if reply.truncated:  # once more, with more tokens; where that fails, this one stays
            with suppress(QuestionerError):
                reply = ask_reply(self.questioner, messages, max_tokens=MORE * tokens, seed=seed)
        seconds = time.perf_counter() - start
        self.spend("language", seconds)
        self.interview.feed(reply.text, seconds=seconds, truncated=reply.truncated)
        return seconds

    def _summarise(self, need: NeedSummary) -> Iterator[Event]:
        seconds = yield from self._write(need)
        if self.interview.summary is not None:
            yield SummaryWritten(self.interview.summary, seconds)
        else:
            self.error = self._told_nothing()

    def _told_nothing(self) -> QuestionerError:
        return QuestionerError(f"{describe_questioner(self.questioner)['name']}: {self.interview.error}")

    def _caption(self) -> Caption:
        interview = self.interview
        return Caption(
            picture=self.picture.info(),
            status=interview.status,
            error=interview.error,
            plain=interview.plain or "",
            opening=interview.opening,
            summary=interview.summary or "",
            truncated=interview.truncated,
            dialogue=interview.dialogue,
            vision=self.vision.describe(),
            questioner=describe_questioner(self.questioner),
            options=described_options(interview.options, interview.prompts),
            seed=self.seed,
            seconds={name: round(value, 4) for name, value in self.seconds.items()},
            ended_because=interview.ended_because,
        )

    def _saved(self) -> tuple[Caption, str | None, InquisightError | None]:
        caption = self._caption()
        if self.save is None:
            return caption, None, None
        try:
            return caption, self.save(caption), None
        except InquisightError as error:
            return caption, None, error

    def _last(self, caption: Caption, saved_as: str | None, save_error: InquisightError | None) -> Done:
        if self.error:
            return Failed(caption, saved_as, save_error, error=self.error)
        if caption.status == "stopped":
            return Stopped(caption, saved_as, save_error)
        return Done(caption, saved_as, save_error)


def _first_line(error: BaseException) -> str:
    text = next(iter(str(error).strip().splitlines()), "") or "no details"
    return text if len(text) <= 200 else text[:199] + "…"
