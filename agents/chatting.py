"""A conversation about pictures, turn by turn, without input or output: it yields what happens in small events.

    chat = Chat(vision, ["cat.jpg"])
    for event in chat.ask("What is funny about this?"):     # Asked, Waiting, Piece, Piece, ..., Answered
        ...
    chat.add("dog.jpg")                                     # comes up with the next question
    print(chat.say("And how do they differ?"))              # only the answer

A picture is encoded once, however often it is asked about. `chat_loop.converse` adds the commands a person types.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from agents.chat_events import (
    Answered,
    Asked,
    Event,
    Notice,
    Piece,
    Rewritten,
    Silenced,
    Started,
    Waiting,
    passing,
    tidy,
)
from agents.seeds import SEEDS, call_seed, check_seed
from agents.tasks import ChatTask, Form, Tasks
from core.entries import one_line
from core.errors import BackendError, InquisightError, UsageError, printable
from core.records import Chat as ChatRecord
from core.records import ChatTurn, Status
from core.vision import (
    CHAT_TOKENS,
    SHORT_TOKENS,
    EncodedImage,
    GenerationOptions,
    Reply,
    VisionBackend,
    VisualQuestion,
)

if TYPE_CHECKING:
    from core.images import Picture, PictureSource

TOKENS: Final = CHAT_TOKENS
TEMPERATURE: Final = 1.0  # MiniGPT-4's own; a model that does not follow instructions is asked without sampling
RETRY_TEMPERATURE: Final = 0.8  # greedy decoding would say the same again


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """How answers are made; None leaves it to the eye and the task. Raises UsageError where a value cannot work."""

    max_new_tokens: int | None = None
    temperature: float | None = None
    """0 always takes the likeliest word."""
    top_p: float = 0.9
    seed: int | None = None
    """Same seed, same eye, same questions: same answers. None: one is drawn and recorded."""
    form: Form | None = None
    context: int | None = None
    """Earlier turns the eye is reminded of; -1: all. None: all for one that holds conversations, else 1."""

    def __post_init__(self) -> None:
        if self.max_new_tokens is not None and not 1 <= self.max_new_tokens <= 100_000:
            raise UsageError(f"max-new-tokens must be between 1 and 100000, not {self.max_new_tokens}")
        if self.temperature is not None and not 0 <= self.temperature <= 10:
            raise UsageError(f"temperature must be between 0 (no chance) and 10, not {self.temperature:g}")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must be above 0 and at most 1, not {self.top_p:g}")
        check_seed(self.seed)
        if self.context is not None and self.context < -1:
            raise UsageError(f"context must be -1 (all earlier turns), 0 or more, not {self.context}")


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, so that it can be asked again."""

    prompt: str
    task: str | None
    tokens: int
    typed: bool
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spoken:
    """A turn with everything that is needed to go on after it, or to ask its question again."""

    question: Question
    turn: ChatTurn
    pictures: tuple[Picture | EncodedImage, ...]
    attempt: int


@dataclass(slots=True)
class _Heard:
    """An answer while it grows."""

    pieces: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    status: Status = "complete"
    truncated: bool = False


class Chat:
    """One conversation. Not thread-safe. `save` is called after each turn (`TranscriptStore.add`).

    A picture is whatever `VisionBackend.encode_image` takes. `spoken`: what was said before, to go on from there;
    `created`: when that began. Raises ImageError, and UsageError where there are no pictures, or more than the vision
    model takes.
    """

    def __init__(
        self,
        vision: VisionBackend,
        pictures: Sequence[PictureSource | EncodedImage],
        options: ChatOptions | None = None,
        *,
        tasks: Tasks | None = None,
        save: Callable[[ChatRecord], str] | None = None,
        spoken: Sequence[Spoken] = (),
        created: datetime | None = None,
    ) -> None:
        self.vision = vision
        self.options = options or ChatOptions()
        self.tasks = tasks or Tasks.load()
        self.seed = self.options.seed if self.options.seed is not None else secrets.randbelow(SEEDS)
        self.save = save
        self.save_error: InquisightError | None = None
        self.saved_as: str | None = None
        self._first = len(pictures)
        self._waiting: list[Picture | EncodedImage] = []
        self._spoken: list[Spoken] = list(spoken)
        self._images: dict[str, EncodedImage] = {}
        began = created or datetime.now(UTC)
        self._empty = ChatRecord(vision=vision.describe(), options=self._described(), seed=self.seed, created=began)
        if not self.pictures and not pictures:
            raise UsageError("a chat needs at least one picture")
        for picture in pictures:
            self.add(picture)

    @property
    def turns(self) -> tuple[ChatTurn, ...]:
        return tuple(spoken.turn for spoken in self._spoken)

    @property
    def spoken(self) -> tuple[Spoken, ...]:
        """The turns with what is needed to go on after them."""
        return tuple(self._spoken)

    @property
    def history(self) -> tuple[tuple[str, str], ...]:
        """The (question, answer) pairs so far, oldest first."""
        return tuple((turn.question, turn.answer) for turn in self.turns)

    @property
    def pictures(self) -> tuple[Picture | EncodedImage, ...]:
        """All pictures, in the order in which they came up; those of the next question last."""
        return (*(picture for spoken in self._spoken for picture in spoken.pictures), *self._waiting)

    @property
    def record(self) -> ChatRecord:
        """The conversation so far."""
        return self._empty.model_copy(update={"turns": self.turns})

    def started(self) -> Started:
        """What there is to tell before the first question."""
        infos = tuple(picture.info() for picture in self.pictures)
        return Started(infos, self.vision.describe(), self.vision.follows_instructions)

    def add(self, picture: PictureSource | EncodedImage) -> int:
        """Bring up `picture` with the next question; return its number, from 1. Raises UsageError and ImageError."""
        check_count(self.vision, len(self.pictures) + 1)
        opened = self.vision.open_image(picture)
        if isinstance(opened, EncodedImage):
            self._images[opened.sha256] = opened
        self._waiting.append(opened)
        return len(self.pictures)

    def say(self, text: str = "", *, task: str | None = None) -> str:
        """Put a question and return the answer. Raises like `ask`, and KeyboardInterrupt where it was stopped."""
        return answer(self.ask(text, task=task))

    def stream(self, text: str = "", *, task: str | None = None) -> Iterator[str]:
        """Like `say`, in pieces as the model writes them. Closed before its end, the question is as if never asked.

        Where a model's reply turns out late to have been its reasoning, the answer itself follows on a new line.
        """
        for event in self.ask(text, task=task):
            match event:
                case Piece(piece):
                    yield piece
                case Rewritten(whole):
                    yield f"\n{whole}"
                case Silenced() | Answered(_, ChatTurn(status="stopped")):
                    raise KeyboardInterrupt

    def ask(self, text: str = "", *, task: str | None = None) -> Iterator[Event]:
        """Put a question, or a task with `text` after its prompt. The last event is Answered or Silenced.

        KeyboardInterrupt, also one thrown into the generator, ends the answer and not the chat. Raises UsageError and
        BackendError; the question is then as if never asked.
        """
        return self._turn(self._worded(text, task), attempt=0)

    def retry(self) -> Iterator[Event]:
        """The last question again, with another seed; the earlier answer goes when there is a new one."""
        if not self._spoken:
            raise UsageError("there is no question yet that could be asked again")
        last = self._spoken.pop()
        waiting, self._waiting = self._waiting, list(last.pictures)
        done = False

        def look(event: Event) -> None:
            nonlocal done
            if isinstance(event, Answered):
                done, self._waiting = True, waiting

        try:
            yield from passing(self._turn(last.question, attempt=last.attempt + 1), look)
        finally:
            if not done:
                self._spoken.append(last)
                self._waiting = waiting

    def undo(self) -> ChatTurn | Picture | EncodedImage:
        """Take back a picture that was added last, else the last turn; its pictures stay for the next question."""
        if self._waiting and len(self.pictures) > self._first:
            return self._waiting.pop()
        if not self._spoken:
            raise UsageError("there is nothing to take back")
        last = self._spoken.pop()
        self._waiting = [*last.pictures, *self._waiting]
        self._keep()
        return last.turn

    # --- inside ---------------------------------------------------------------------------------------------------

    def _worded(self, text: str, task: str | None) -> Question:
        """The prompt, and how long its answer may be."""
        text = text.strip()
        if task is None and not text:
            raise UsageError("there is no question")
        follows, form, forms = self.vision.follows_instructions, self.options.form, self.tasks.forms
        chosen = self.tasks.get(task) if task is not None else None
        prompt = text if chosen is None else _task_prompt(chosen, form, text, follows)
        whole = chosen is not None and form is not None and getattr(chosen, form) is not None
        notices: tuple[str, ...] = ()
        if form is not None and follows and not whole:
            prompt = f"{prompt} {forms.sentence(form)}"
        if chosen is not None and not follows:
            notices = (f"{printable(self.vision.name)} follows no instructions; it is asked a question instead.",)
        return Question(prompt, task, self._room(chosen), chosen is None, notices)

    def _room(self, task: ChatTask | None) -> int:
        """How many new tokens an answer may have."""
        follows, form = self.vision.follows_instructions, self.options.form
        own = (task.max_new_tokens if task is not None and follows else None) or 0
        if self.options.max_new_tokens is not None:
            return self.options.max_new_tokens
        if form is None:
            return own or (TOKENS if follows else SHORT_TOKENS)
        if form == "long" or (task is not None and task.writes):
            return max(own, self.tasks.forms.tokens(form))
        return self.tasks.forms.tokens(form)

    def _turn(self, question: Question, attempt: int) -> Iterator[Event]:
        number = len(self._spoken) + 1
        options, notices = self._generation(question, number, attempt)
        yield Asked(number, question.prompt, question.task, question.typed and not attempt)
        for text in notices:
            yield Notice(text)
        heard = _Heard(notices=list(notices))
        began = time.perf_counter()
        yield from self._listen(question.prompt, options, heard)
        answer = "".join(heard.pieces).rstrip()
        if heard.status == "stopped" and not answer:
            yield Silenced()
            return
        if not answer.strip():
            raise BackendError(f"{printable(self.vision.name)} gave no answer; ask again, or in other words.")
        pictures, self._waiting = tuple(self._waiting), []
        turn = ChatTurn(
            question=question.prompt,
            answer=answer,
            pictures=tuple(picture.info() for picture in pictures),
            task=question.task,
            status=heard.status,
            truncated=heard.truncated,
            options=asdict(options),
            notices=tuple(heard.notices),
            seconds=round(time.perf_counter() - began, 4),
        )
        self._spoken.append(Spoken(question, turn, pictures, attempt))
        self._keep()
        yield Answered(number, turn)

    def _generation(self, question: Question, number: int, attempt: int) -> tuple[GenerationOptions, tuple[str, ...]]:
        """How this answer is decoded, and what there is to tell about it."""
        notices = question.notices
        temperature = self.options.temperature
        if temperature is None:
            temperature = TEMPERATURE if self.vision.follows_instructions else 0.0
        if attempt and not temperature:
            temperature = RETRY_TEMPERATURE
            notices += (
                f"without chance the answer would be the same; this one is drawn at temperature {temperature}.",
            )
        if not self._reads_later_pictures and self._spoken and self._waiting:
            notices += (f"{printable(self.vision.name)} gets all pictures before the first question.",)
        seed = call_seed(self.seed, "chat", number, attempt)
        return GenerationOptions(question.tokens, temperature, self.options.top_p, seed), notices

    def _listen(self, prompt: str, options: GenerationOptions, heard: _Heard) -> Iterator[Event]:
        """Fill `heard`. Raises BackendError."""
        told = len(heard.notices)
        try:
            with _overhearing(heard.notices):
                yield from self._look()
                yield Waiting("answering")
                for piece in self.vision.pieces(self._question(prompt, options)):
                    if isinstance(piece, Reply):
                        yield from self._end(piece, heard)
                        continue
                    for text in heard.notices[told:]:
                        yield Notice(text)
                    told = len(heard.notices)
                    clean = tidy(piece) if heard.pieces else tidy(piece).lstrip()
                    if clean:
                        heard.pieces.append(clean)
                        yield Piece(clean)
                for text in heard.notices[told:]:
                    yield Notice(text)
        except KeyboardInterrupt:
            heard.status = "stopped"
        except InquisightError:
            raise
        except Exception as error:
            raise BackendError(f"{printable(self.vision.name)} failed: {one_line(error)}.") from error

    def _end(self, reply: Reply, heard: _Heard) -> Iterator[Event]:
        """What the whole reply says that its pieces did not: that it was cut, or that they were reasoning."""
        heard.truncated = reply.truncated
        if reply.truncated:
            logging.getLogger("inquisight").warning(
                "the answer was cut at its limit of tokens; --max-new-tokens gives it more."
            )
        text = tidy(reply.text).strip()
        if text != "".join(heard.pieces).strip():
            heard.pieces[:] = [text]
            yield Rewritten(text)

    def _look(self) -> Iterator[Event]:
        """Encode what has not been looked at yet."""
        new = {
            one.sha256: one
            for one in self.pictures
            if not isinstance(one, EncodedImage) and one.sha256 not in self._images
        }
        if new:
            yield Waiting("looking")
            encoded = self.vision.encode(list(new.values()))
            self._images.update(zip(new, encoded, strict=True))

    def _question(self, prompt: str, options: GenerationOptions) -> VisualQuestion:
        context = self._context
        spoken = self._spoken if context == -1 else self._spoken[max(0, len(self._spoken) - context) :]
        history = tuple((one.turn.question, one.turn.answer) for one in spoken)
        if not self._reads_later_pictures:
            return VisualQuestion(self.vision.together(self._seen(self.pictures)), prompt, history, options)
        groups = [*(one.pictures for one in self._spoken), tuple(self._waiting)]
        later = [(turn, image) for turn, group in enumerate(groups[1:], 1) for image in self._seen(group)]
        first = self.vision.together(self._seen(groups[0]))
        return VisualQuestion(first, prompt, history, options, tuple(later))

    @property
    def _context(self) -> int:
        if self.options.context is not None:
            return self.options.context
        return -1 if self.vision.follows_instructions else 1

    @property
    def _reads_later_pictures(self) -> bool:
        return self.vision.interleaves and self._context == -1

    def _seen(self, pictures: Sequence[Picture | EncodedImage]) -> list[EncodedImage]:
        return [self._images[picture.sha256] for picture in pictures]

    def _described(self) -> dict[str, object]:
        return {**asdict(self.options), "seed": self.seed, "context": self._context, "tasks": self.tasks.sha256}

    def _keep(self) -> None:
        if self.save is None:
            return
        try:
            self.saved_as = self.save(self.record)
            self.save_error = None
        except InquisightError as error:
            self.save_error = error


def answer(events: Iterator[Event]) -> str:
    """The answer at the end of `Chat.ask` or `Chat.retry`; Ctrl-C is raised again."""
    for event in events:
        if isinstance(event, Answered) and event.turn.status == "complete":
            return event.turn.answer
    raise KeyboardInterrupt


def check_count(vision: VisionBackend, count: int) -> None:
    """Raise UsageError where the eye does not take so many pictures in one conversation."""
    if count > vision.max_images:
        takes = "one picture" if vision.max_images == 1 else f"at most {vision.max_images} pictures"
        raise UsageError(
            f"{printable(vision.name)} takes {takes} in a conversation; begin another one, or choose an eye that takes "
            "more with --vision (see `inquisight plugins`)"
        )


def _task_prompt(task: ChatTask, form: Form | None, text: str, follows: bool) -> str:
    if not follows:
        prompt = task.question or task.prompt
    elif form is not None:
        prompt = getattr(task, form) or task.prompt
    else:
        prompt = task.prompt
    return f"{prompt} {text}".strip()


@contextmanager
def _overhearing(notices: list[str]) -> Iterator[None]:
    """Append what a backend warns about by the `inquisight` logger in this thread (a full context, say)."""
    here = threading.get_ident()

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == here:
                text = printable(record.getMessage(), limit=500)
                if text not in notices:
                    notices.append(text)

    ear, logger = Ear(logging.WARNING), logging.getLogger("inquisight")
    logger.addHandler(ear)
    try:
        yield
    finally:
        logger.removeHandler(ear)
