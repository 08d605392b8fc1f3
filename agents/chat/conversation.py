"""A conversation about pictures, turn by turn, without input or output: it yields events.

    chat = Conversation(vision, ["cat.jpg"])
    for event in chat.ask("What is funny about this?"):     # Asked, Waiting, Piece, Piece, ..., ChatAnswered
        ...
    chat.add("dog.jpg")                                     # comes up with the next question
    print(chat.say("And how do they differ?"))              # only the answer

A picture is encoded once, however often it is asked about. `repl.converse` adds the commands that people type.
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

from agents.chat.events import Asked, ChatAnswered, ChatStarted, Event, Notice, Piece, Rewritten, Silenced, tidy
from agents.chat.presets import ChatTask, Form, Tasks
from agents.interview.events import Waiting
from agents.interview.seeds import SEEDS, call_seed, check_seed
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
    from core.images.picture import Picture, PictureSource

TOKENS: Final = CHAT_TOKENS
TEMPERATURE: Final = 1.0  # MiniGPT-4's own; greedy for a model that does not follow instructions
RETRY_TEMPERATURE: Final = 0.8  # greedy decoding would repeat the answer


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """How answers are decoded; None leaves it to the vision model and the task. Raises UsageError for a bad value."""

    max_new_tokens: int | None = None
    temperature: float | None = None
    """Sampling temperature; 0 is greedy."""
    top_p: float = 0.9
    seed: int | None = None
    """The same seed, model and questions give the same answers. None: one is drawn and recorded."""
    form: Form | None = None
    context: int | None = None
    """Earlier turns that the model gets; -1: all. None: all for one that holds conversations, else 1."""

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
    """A question, as it can be asked again."""

    prompt: str
    task: str | None
    tokens: int
    typed: bool
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PastTurn:
    """A turn with all that is needed to continue after it, or to ask its question again."""

    question: Question
    turn: ChatTurn
    pictures: tuple[Picture | EncodedImage, ...]
    attempt: int


@dataclass(slots=True)
class _Growing:
    """An answer while it grows."""

    pieces: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    status: Status = "complete"
    truncated: bool = False


class Conversation:
    """One conversation. Not thread-safe. `save` is called after each turn (`TranscriptStore.add`).

    A picture is whatever `VisionBackend.encode_image` takes. `past`: earlier turns to continue from; `created`: when
    they began; `conversation`: what their versions have in common. Raises ImageError, and UsageError for no pictures,
    or more than the vision model takes.
    """

    def __init__(
        self,
        vision: VisionBackend,
        pictures: Sequence[PictureSource | EncodedImage],
        options: ChatOptions | None = None,
        *,
        tasks: Tasks | None = None,
        save: Callable[[ChatRecord], str] | None = None,
        past: Sequence[PastTurn] = (),
        created: datetime | None = None,
        conversation: str = "",
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
        self._past: list[PastTurn] = list(past)
        self._images: dict[str, EncodedImage] = {}
        began = created or datetime.now(UTC)
        self._empty = ChatRecord(
            vision=vision.describe(),
            options=self._described(),
            seed=self.seed,
            created=began,
            conversation=conversation,
        )
        if not self.pictures and not pictures:
            raise UsageError("a chat needs at least one picture")
        for picture in pictures:
            self.add(picture)

    @property
    def turns(self) -> tuple[ChatTurn, ...]:
        return tuple(past.turn for past in self._past)

    @property
    def past(self) -> tuple[PastTurn, ...]:
        """The turns with all that is needed to continue after them."""
        return tuple(self._past)

    @property
    def history(self) -> tuple[tuple[str, str], ...]:
        """The (question, answer) pairs so far, oldest first."""
        return tuple((turn.question, turn.answer) for turn in self.turns)

    @property
    def pictures(self) -> tuple[Picture | EncodedImage, ...]:
        """All pictures, in the order in which they came up; those of the next question last."""
        return (*(picture for past in self._past for picture in past.pictures), *self._waiting)

    @property
    def record(self) -> ChatRecord:
        """The conversation so far."""
        return self._empty.model_copy(update={"turns": self.turns})

    def started(self) -> ChatStarted:
        """The event before the first question."""
        infos = tuple(picture.info() for picture in self.pictures)
        return ChatStarted(infos, self.vision.describe(), self.vision.follows_instructions)

    def add(self, picture: PictureSource | EncodedImage) -> int:
        """Bring up `picture` with the next question; return its number, from 1. Raises UsageError and ImageError."""
        check_count(self.vision, len(self.pictures) + 1)
        opened = self.vision.open_image(picture)
        if isinstance(opened, EncodedImage):
            self._images[opened.sha256] = opened
        self._waiting.append(opened)
        return len(self.pictures)

    def say(self, text: str = "", *, task: str | None = None) -> str:
        """Put a question and return the answer. Raises like `ask`, and KeyboardInterrupt if it was stopped."""
        return answer(self.ask(text, task=task))

    def stream(self, text: str = "", *, task: str | None = None) -> Iterator[str]:
        """Like `say`, in pieces as the model writes them. Closed before its end, the question is dropped.

        If the pieces turn out late to be the model's reasoning, the answer itself follows on a new line.
        """
        for event in self.ask(text, task=task):
            match event:
                case Piece(piece):
                    yield piece
                case Rewritten(whole):
                    yield f"\n{whole}"
                case Silenced() | ChatAnswered(_, ChatTurn(status="stopped")):
                    raise KeyboardInterrupt

    def ask(self, text: str = "", *, task: str | None = None) -> Iterator[Event]:
        """Put a question, or a task with `text` after its prompt. The last event is ChatAnswered or Silenced.

        KeyboardInterrupt, also one thrown into the generator, ends the answer and not the chat. Raises UsageError and
        BackendError; the question is then dropped.
        """
        return self._turn(self._worded(text, task))

    def retry(self) -> Iterator[Event]:
        """The last question again, with another seed; a new answer replaces the earlier one."""
        if not self._past:
            raise UsageError("there is no question yet that could be asked again")
        last = self._past.pop()
        count, waiting, self._waiting = len(self._past), self._waiting, list(last.pictures)
        try:
            yield from self._turn(last.question, last.attempt + 1, waiting)
        finally:
            if len(self._past) == count:
                self._past.append(last)
                self._waiting = waiting

    def undo(self) -> ChatTurn | Picture | EncodedImage:
        """Remove the picture that was added last, else the last turn; its pictures stay for the next question."""
        if self._waiting and len(self.pictures) > self._first:
            return self._waiting.pop()
        if not self._past:
            raise UsageError("there is nothing to take back")
        last = self._past.pop()
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
        return Question(prompt, task, self._max_new_tokens(chosen), chosen is None, notices)

    def _max_new_tokens(self, task: ChatTask | None) -> int:
        follows, form = self.vision.follows_instructions, self.options.form
        own = (task.max_new_tokens if task is not None and follows else None) or 0
        if self.options.max_new_tokens is not None:
            return self.options.max_new_tokens
        if form is None:
            return own or (TOKENS if follows else SHORT_TOKENS)
        if form == "long" or (task is not None and task.writes):
            return max(own, self.tasks.forms.tokens(form))
        return self.tasks.forms.tokens(form)

    def _turn(
        self, question: Question, attempt: int = 0, waiting: Sequence[Picture | EncodedImage] = ()
    ) -> Iterator[Event]:
        """Ask and answer; `waiting` are the pictures for the question after this one."""
        number = len(self._past) + 1
        options, notices = self._generation(question, number, attempt)
        yield Asked(number, question.prompt, question.task, question.typed and not attempt)
        for text in notices:
            yield Notice(text)
        growing = _Growing(notices=list(notices))
        began = time.perf_counter()
        yield from self._generate(question.prompt, options, growing)
        answer = "".join(growing.pieces).rstrip()
        if growing.status == "stopped" and not answer:
            yield Silenced()
            return
        if not answer.strip():
            raise BackendError(f"{printable(self.vision.name)} gave no answer; ask again, or in other words.")
        pictures, self._waiting = tuple(self._waiting), list(waiting)
        turn = ChatTurn(
            question=question.prompt,
            answer=answer,
            pictures=tuple(picture.info() for picture in pictures),
            task=question.task,
            status=growing.status,
            truncated=growing.truncated,
            options=asdict(options),
            notices=tuple(growing.notices),
            seconds=round(time.perf_counter() - began, 4),
        )
        self._past.append(PastTurn(question, turn, pictures, attempt))
        self._keep()
        yield ChatAnswered(number, turn)

    def _generation(self, question: Question, number: int, attempt: int) -> tuple[GenerationOptions, tuple[str, ...]]:
        """Decoding options of this answer, and notices about them."""
        notices = question.notices
        temperature = self.options.temperature
        if temperature is None:
            temperature = TEMPERATURE if self.vision.follows_instructions else 0.0
        if attempt and not temperature:
            temperature = RETRY_TEMPERATURE
            notices += (f"greedy decoding would repeat the answer; this one is sampled at temperature {temperature}.",)
        if not self._reads_later_pictures and self._past and self._waiting:
            notices += (f"{printable(self.vision.name)} gets all pictures before the first question.",)
        seed = call_seed(self.seed, "chat", number, attempt)
        return GenerationOptions(question.tokens, temperature, self.options.top_p, seed), notices

    def _generate(self, prompt: str, options: GenerationOptions, growing: _Growing) -> Iterator[Event]:
        """Fill `growing`. Raises BackendError."""
        reported = len(growing.notices)
        try:
            with _collect_warnings(growing.notices):
                yield from self._encode()
                yield Waiting("answering")
                for piece in self.vision.pieces(self._question(prompt, options)):
                    if isinstance(piece, Reply):
                        yield from self._end(piece, growing)
                        continue
                    for text in growing.notices[reported:]:
                        yield Notice(text)
                    reported = len(growing.notices)
                    clean = tidy(piece) if growing.pieces else tidy(piece).lstrip()
                    if clean:
                        growing.pieces.append(clean)
                        yield Piece(clean)
                for text in growing.notices[reported:]:
                    yield Notice(text)
        except KeyboardInterrupt:
            growing.status = "stopped"
        except InquisightError:
            raise
        except Exception as error:
            raise BackendError(f"{printable(self.vision.name)} failed: {one_line(error)}.") from error

    def _end(self, reply: Reply, growing: _Growing) -> Iterator[Event]:
        """Report what only the whole reply shows: that it was cut, or that the pieces were reasoning."""
        growing.truncated = reply.truncated
        if reply.truncated:
            logging.getLogger("inquisight").warning(
                "the answer was cut at its limit of tokens; --max-new-tokens gives it more."
            )
        text = tidy(reply.text).strip()
        if text != "".join(growing.pieces).strip():
            growing.pieces[:] = [text]
            yield Rewritten(text)

    def _encode(self) -> Iterator[Event]:
        """Encode the new pictures."""
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
        past = self._past if context == -1 else self._past[max(0, len(self._past) - context) :]
        history = tuple((one.turn.question, one.turn.answer) for one in past)
        if not self._reads_later_pictures:
            return VisualQuestion(self.vision.together(self._encoded(self.pictures)), prompt, history, options)
        groups = [*(one.pictures for one in self._past), tuple(self._waiting)]
        later = [(turn, image) for turn, group in enumerate(groups[1:], 1) for image in self._encoded(group)]
        first = self.vision.together(self._encoded(groups[0]))
        return VisualQuestion(first, prompt, history, options, tuple(later))

    @property
    def _context(self) -> int:
        if self.options.context is not None:
            return self.options.context
        return -1 if self.vision.follows_instructions else 1

    @property
    def _reads_later_pictures(self) -> bool:
        return self.vision.interleaves and self._context == -1

    def _encoded(self, pictures: Sequence[Picture | EncodedImage]) -> list[EncodedImage]:
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
    """The answer at the end of the events of `ask` or `retry`. Raises KeyboardInterrupt if it was stopped."""
    for event in events:
        if isinstance(event, ChatAnswered) and event.turn.status == "complete":
            return event.turn.answer
    raise KeyboardInterrupt


def check_count(vision: VisionBackend, count: int) -> None:
    """Raise UsageError if the vision model does not take so many pictures in one conversation."""
    if count > vision.max_images:
        takes = "one picture" if vision.max_images == 1 else f"at most {vision.max_images} pictures"
        raise UsageError(
            f"{printable(vision.name)} takes {takes} in a conversation; begin another one, or choose a vision model "
            "that takes more with --vision (see `inquisight plugins`)"
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
def _collect_warnings(notices: list[str]) -> Iterator[None]:
    """Append the warnings that this thread logs as `inquisight`, such as a backend's about a full context."""
    here = threading.get_ident()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == here:
                text = printable(record.getMessage(), limit=500)
                if text not in notices:
                    notices.append(text)

    collector, logger = Collector(logging.WARNING), logging.getLogger("inquisight")
    logger.addHandler(collector)
    try:
        yield
    finally:
        logger.removeHandler(collector)
