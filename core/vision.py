"""What a model that sees must offer: encode a picture once, then answer any number of questions.

A backend is a class with capabilities as class attributes and three methods. Nothing here imports a
model library; a backend does so in its own module, when it is first created.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from core.errors import BackendError, UsageError, printable

if TYPE_CHECKING:
    from core.images.picture import Picture


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """What a backend keeps of a picture so that it never looks at it twice.

    `data` is opaque to everyone but the backend that made it (Q-Former tokens, a data URL, a handle).
    """

    sha256: str  # of the picture's original bytes
    revision: str  # the backend's `revision` that made it
    data: Any = field(repr=False, compare=False)

    @property
    def key(self) -> str:
        """Cache key: same picture, same backend revision, same value."""
        return f"{self.sha256}:{self.revision}"


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """How an answer is decoded. Temperature 0 means greedy decoding."""

    max_new_tokens: int = 60
    temperature: float = 0.0
    top_p: float = 0.9
    seed: int | None = None
    retry_tokens: int | None = None
    """`max_new_tokens` of one more try where a remote model's answer was cut; None: the cut answer stands."""


@dataclass(frozen=True, slots=True)
class VisualQuestion:
    """One question about one encoded picture, with the earlier turns the backend may look back on.

    `question=None` asks for the plain caption ("a photo of ..."), which needs no instruction. `images` are pictures
    that came up later in the conversation: (turn, picture), right before the words of that turn. Turns count the
    pairs of `history` from 0; len(history) is this question. Only a backend that `interleaves` reads them. Raises
    UsageError where a turn does not exist.
    """

    image: EncodedImage
    question: str | None
    history: tuple[tuple[str, str], ...] = ()  # (question, answer) pairs, oldest first
    options: GenerationOptions = GenerationOptions()
    images: tuple[tuple[int, EncodedImage], ...] = ()

    def __post_init__(self) -> None:
        for turn, _ in self.images:
            if not 0 <= turn <= len(self.history):
                raise UsageError(
                    f"a picture comes up at turn {turn}, but this conversation has turns 0 to {len(self.history)}."
                )

    def entering(self, turn: int) -> tuple[EncodedImage, ...]:
        """The pictures that come up right before the words of `turn`, in order; `image` is the first of turn 0."""
        first = (self.image,) if turn == 0 else ()
        return first + tuple(image for place, image in self.images if place == turn)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, why it ended and how many tokens it took. What a model or server does not report is "" or None."""

    text: str
    reason: str = ""  # "stop": the model ended it; "length": max_new_tokens were reached; "content_filter", ...
    input_tokens: int | None = None  # of the prompt as the model reads it, image tokens included
    output_tokens: int | None = None  # of the answer, without the end-of-text token

    @property
    def truncated(self) -> bool:
        """Whether the answer was cut because it reached the limit of new tokens."""
        return self.reason == "length"


class VisionBackend(ABC):
    """Something that sees. Capabilities are class attributes, checked before work starts."""

    follows_instructions: ClassVar[bool] = False  # can hold a chat, not only short VQA
    streams: ClassVar[bool] = False  # `stream` yields more than one piece
    max_images: ClassVar[int] = 1  # pictures per question, those of earlier turns counted
    interleaves: ClassVar[bool] = False  # reads `VisualQuestion.images`: pictures may come up at later turns
    languages: ClassVar[tuple[str, ...]] = ("en",)

    @property
    def concurrent_batches(self) -> int:
        """How many batches it does best to work on at once, where many are waiting.

        Where that is more than 1, `encode` and `answer` are safe to be called from as many threads, each of them
        inside of `batch_worker`.
        """
        return 1

    def batch_worker(self, workers: int) -> AbstractContextManager[None]:
        """Entered by each of so many threads that work on batches at once; gives it its share of the cores, say."""
        return nullcontext()

    @property
    @abstractmethod
    def name(self) -> str:
        """The registered name with its argument, as a user would type it."""

    @property
    @abstractmethod
    def revision(self) -> str:
        """Changes whenever the same picture could give another encoding (weights, dtype, transform)."""

    @abstractmethod
    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """Look at each picture once; one value per picture, in order. Raises BackendError."""

    @abstractmethod
    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        """One answer per question, in order; an empty string where the model said nothing. Raises BackendError."""

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        """Yield the answer in pieces whose concatenation equals `answer([question])[0]`."""
        yield self.answer([question])[0]

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        """Like `answer`, with why each answer ended and its token counts. By default both are unknown."""
        return [Reply(text) for text in self.answer(questions)]

    def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
        """Like `stream`, with the whole answer as a Reply at the end. By default reason and counts are unknown."""
        text = ""
        for piece in self.stream(question):
            text += piece
            yield piece
        yield Reply(text)

    def together(self, images: Sequence[EncodedImage]) -> EncodedImage:
        """Several encoded pictures as one, in order, so that one question can be about all of them.

        To be overridden where `max_images` is more than 1. Raises UsageError for more pictures than that.
        """
        if not 1 <= len(images) <= self.max_images:
            takes = "one picture at a time" if self.max_images == 1 else f"1 to {self.max_images}"
            raise UsageError(f"{len(images)} pictures in one question, but {printable(self.name)} takes {takes}.")
        if len(images) > 1:
            raise BackendError(f"{printable(self.name)} claims {self.max_images} pictures, but cannot join them.")
        return images[0]

    def describe(self) -> dict[str, str]:
        """What was chosen and why (device, dtype, weights), for transcripts and for the user's eyes."""
        return {"name": self.name, "revision": self.revision}

    def close(self) -> None:  # noqa: B027 - most backends hold nothing that needs closing
        """Release memory and processes; the backend is not used afterwards."""
