"""The interface of a vision backend: encode a picture once, then answer any number of questions.

Capabilities are class attributes. This module imports no model library; a backend does so when it is created.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal
from weakref import WeakKeyDictionary

from core.errors import BackendError, UsageError, printable
from core.stopping import CalledOff, current_halt, in_thread

if TYPE_CHECKING:
    from core.images.picture import Picture, PictureSource
    from core.records import PictureInfo
    from core.scoring import ScoredToken

CHAT_TOKENS: Final = 300  # default limit of an answer in a chat, as in MiniGPT-4
SHORT_TOKENS: Final = 60
Aspect = Literal["action", "material", "weather", "scenery"]
"""What a question may ask for: what people and animals do, what things are made of, the weather; and number, colour and
place of what surrounds everything (sky, street)."""


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """A picture as encoded by a backend; `data` is private to it (Q-Former tokens, a data URL, a handle)."""

    sha256: str  # of the picture's original bytes
    revision: str  # of the backend
    data: Any = field(repr=False, compare=False)
    picture: PictureInfo | None = field(default=None, repr=False, compare=False)  # filled in by `encode_image`

    def info(self) -> PictureInfo:
        """The record of the picture; if the backend kept none, source and size (0 x 0) are unknown."""
        from core.records import PictureInfo

        return self.picture or PictureInfo(sha256=self.sha256, source="encoded image", width=0, height=0)

    @property
    def source(self) -> str:
        """Path or description of the picture, safe to print."""
        return self.info().source

    @property
    def key(self) -> str:
        """Cache key: the picture and the backend's revision."""
        return f"{self.sha256}:{self.revision}"


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """How an answer is decoded. Temperature 0 means greedy decoding."""

    max_new_tokens: int = SHORT_TOKENS
    temperature: float = 0.0
    top_p: float = 0.9
    seed: int | None = None
    retry_tokens: int | None = None
    """`max_new_tokens` of a second attempt if a remote model's answer was truncated; None: keep that answer."""
    token_scores: int | None = None
    """Report the tokens of the answer, with this number of the likeliest ones at each place; None: do not.

    Only a backend that `reports_tokens` reads it.
    """


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model calls, with the JSON of its arguments; `result` is what the tool gave back."""

    name: str
    arguments: str
    id: str = ""
    result: str | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """What a model may call for an answer, for a backend that `calls_tools`.

    `offered` holds the JSON of each tool in OpenAI's form. `used` holds what was called before, as (turn, words beside
    the calls, calls); turns as in `VisualQuestion`. `choice` is "auto", "any" if one has to be called, or its name.
    """

    offered: tuple[str, ...]
    used: tuple[tuple[int, str, tuple[ToolCall, ...]], ...] = ()
    choice: str = "auto"


@dataclass(frozen=True, slots=True)
class VisualQuestion:
    """One question about one encoded picture, with the earlier turns as context.

    `question=None` requests the plain caption ("a photo of ..."), without an instruction. `images` are later pictures
    of the conversation as (turn, picture), placed right before the text of that turn. Turns count the pairs of
    `history` from 0; len(history) is this question. Only a backend that `interleaves` reads them. Raises UsageError if
    a turn does not exist.
    """

    image: EncodedImage
    question: str | None
    history: tuple[tuple[str, str], ...] = ()  # (question, answer) pairs, oldest first
    options: GenerationOptions = GenerationOptions()
    images: tuple[tuple[int, EncodedImage], ...] = ()
    tools: Tools | None = None

    def __post_init__(self) -> None:
        for turn, _ in self.images:
            if not 0 <= turn <= len(self.history):
                raise UsageError(
                    f"a picture comes up at turn {turn}, but this conversation has turns 0 to {len(self.history)}."
                )

    def entering(self, turn: int) -> tuple[EncodedImage, ...]:
        """The pictures before the text of `turn`, in order; `image` is the first of turn 0."""
        first = (self.image,) if turn == 0 else ()
        return first + tuple(image for place, image in self.images if place == turn)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, why it ended and its token counts; "" or None if not reported."""

    text: str
    reason: str = ""  # "stop": the model ended it; "length": max_new_tokens were reached; "content_filter", ...
    input_tokens: int | None = None  # of the prompt as the model reads it, image tokens included
    output_tokens: int | None = None  # of the answer, without the end-of-text token
    tokens: tuple[ScoredToken, ...] = ()  # of the answer as it was generated, if `token_scores` asked for them
    calls: tuple[ToolCall, ...] = ()  # of the tools that the question offered

    @property
    def truncated(self) -> bool:
        """Whether the answer was cut because it reached the limit of new tokens."""
        return self.reason == "length"


class VisionBackend(ABC):
    """A vision model. Capabilities are class attributes, checked before work starts."""

    follows_instructions: ClassVar[bool] = False  # can hold a chat, not only short VQA
    streams: ClassVar[bool] = False  # `stream` yields more than one piece
    max_images: ClassVar[int] = 1  # pictures per question, those of earlier turns counted
    scores: ClassVar[bool] = False  # `score` reads the model's own probabilities, instead of its words
    reports_tokens: ClassVar[bool] = False  # `replies` reads `GenerationOptions.token_scores`
    interleaves: ClassVar[bool] = False  # reads `VisualQuestion.images`: pictures may come up at later turns
    languages: ClassVar[tuple[str, ...]] = ("en",)
    cannot_tell: ClassVar[frozenset[Aspect]] = frozenset()  # what no answer ever tells: questioners are told so

    @property
    def calls_tools(self) -> bool:
        """Whether it reads `VisualQuestion.tools`, which may depend on the model that was loaded."""
        return False

    @property
    def concurrent_batches(self) -> int:
        """The best number of concurrent batches.

        If it is more than 1, `encode` and `answer` may be called from that many threads, each inside `batch_worker`.
        """
        return 1

    def batch_worker(self, workers: int) -> AbstractContextManager[None]:
        """Entered by each of `workers` concurrent threads, for example to set its share of the cores."""
        return nullcontext()

    @property
    @abstractmethod
    def name(self) -> str:
        """The registered name with its argument, as users type it."""

    @property
    @abstractmethod
    def revision(self) -> str:
        """Changes whenever the encoding of a picture could change (weights, dtype, transform)."""

    @abstractmethod
    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """Encode pictures; one value per picture, in order. Raises BackendError."""

    @abstractmethod
    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        """One answer per question, in order; may be empty. Raises BackendError."""

    def encode_image(self, image: PictureSource | EncodedImage) -> EncodedImage:
        """Encode one picture: a path, bytes, open file, PIL image, NumPy array, `Picture`, or an encoded image.

        An image that this backend encoded is returned unchanged. Raises UsageError for one of another backend or
        revision, ImageError, and BackendError.
        """
        opened = self.open_image(image)
        if isinstance(opened, EncodedImage):
            return opened
        [encoded] = self.encode([opened])
        return replace(encoded, picture=opened.info())

    def open_image(self, image: PictureSource | EncodedImage) -> Picture | EncodedImage:
        """Like `encode_image`, but only opens a picture that is not encoded yet."""
        if not isinstance(image, EncodedImage):
            from core.images.picture import open_picture

            return open_picture(image)
        if image.revision != self.revision:
            raise UsageError(
                f"this image was encoded by a vision model of the revision '{printable(image.revision, 60)}', not by "
                f"{printable(self.name)} ('{printable(self.revision, 60)}'); encode the picture again with that one."
            )
        return image

    def ask(
        self,
        image: PictureSource | EncodedImage,
        question: str | None = None,
        *,
        history: Sequence[tuple[str, str]] = (),
        options: GenerationOptions | None = None,
    ) -> str:
        """Answer one question about one picture, or caption it if there is no question. The answer may be empty.

        `history` holds the earlier (question, answer) pairs, oldest first. `options=None` decodes greedily, up to 300
        tokens if the backend follows instructions, otherwise 60. Raises UsageError, ImageError and BackendError.
        """
        if options is None:
            options = GenerationOptions(CHAT_TOKENS if self.follows_instructions else SHORT_TOKENS)
        [answer] = self.answer([VisualQuestion(self.encode_image(image), question, tuple(history), options)])
        return answer

    async def aask(self, image: PictureSource | EncodedImage, question: str | None = None, **options: Any) -> str:
        """`ask` in a thread, so that the event loop stays free; at most `concurrent_batches` of them run at a time."""

        def ask() -> str:
            with self.turn():
                return self.ask(image, question, **options)

        return await in_thread(ask)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let at most `concurrent_batches` threads in; each of them may call this backend.

        Raises CalledOff if the work of this thread was halted meanwhile.
        """
        count = self.concurrent_batches
        with _slots_of(self), self.batch_worker(count) if count > 1 else nullcontext():
            if (halt := current_halt()) is not None and halt.is_set():
                raise CalledOff
            yield

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        """Yield the answer in pieces; together they equal `answer([question])[0]`."""
        yield self.answer([question])[0]

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        """Like `answer`, with the finish reason and token counts, which are unknown by default."""
        return [Reply(text) for text in self.answer(questions)]

    def score(self, questions: Sequence[VisualQuestion], choices: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        """Per question, the natural logarithm of the probability of each of its choices as the answer.

        The answer is the choice if it begins with it, in any of its `core.scoring.spellings`, and either ends there or
        goes on behind a punctuation mark, as "Yes, there is a dog." does. Choices are short ("yes", "no") and
        need not be all that the model could say: their probabilities need not add up to 1. A score is finite, or -inf
        for an answer that the model cannot give. Sampling options are ignored.

        By default the model answers once, greedily: the choice that it names gets the probability 0.9 and the others
        share the rest; an answer that names none, or more than one, gives all the same. Override this, and declare
        `scores`, where the model's probabilities can be read. Raises UsageError for choices that are missing or blank,
        and BackendError.
        """
        from core.scoring import check_choices, scores_of_words

        check_choices(questions, choices)
        greedy = [
            replace(question, options=GenerationOptions(question.options.max_new_tokens)) for question in questions
        ]
        return [
            scores_of_words(answer, each, question.question or "")
            for question, each, answer in zip(questions, choices, self.answer(greedy) if greedy else [], strict=True)
        ]

    def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
        """Like `stream`, with the whole answer as a Reply at the end."""
        text = ""
        for piece in self.stream(question):
            text += piece
            yield piece
        yield Reply(text)

    def together(self, images: Sequence[EncodedImage]) -> EncodedImage:
        """Combine several encoded pictures, in order, for one question about all of them.

        Override this if `max_images` is more than 1. Raises UsageError for more pictures than that.
        """
        if not 1 <= len(images) <= self.max_images:
            takes = "one picture at a time" if self.max_images == 1 else f"1 to {self.max_images}"
            raise UsageError(f"{len(images)} pictures in one question, but {printable(self.name)} takes {takes}.")
        if len(images) > 1:
            raise BackendError(f"{printable(self.name)} claims {self.max_images} pictures, but cannot join them.")
        return images[0]

    def describe(self) -> dict[str, str]:
        """The choices made and their reasons (device, dtype, weights), for transcripts and users."""
        return {"name": self.name, "revision": self.revision}

    def close(self) -> None:  # noqa: B027 - most backends hold nothing that needs closing
        """Release memory and processes; the backend is not used afterwards."""


_slots: WeakKeyDictionary[VisionBackend, threading.Semaphore] = WeakKeyDictionary()
_slots_lock = threading.Lock()


def _slots_of(backend: VisionBackend) -> threading.Semaphore:
    with _slots_lock:
        return _slots.setdefault(backend, threading.Semaphore(backend.concurrent_batches))
