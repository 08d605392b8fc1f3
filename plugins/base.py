"""Base class of the built-in vision backends that answer with a `Reply`; their encoded data is a tuple of parts."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

from core.errors import BackendError, UsageError, printable
from core.vision import EncodedImage, Reply, VisionBackend, VisualQuestion

CAPTION: Final = "Write one short sentence that says what this image shows."  # instead of a plain caption


class ReplyBackend(VisionBackend):
    """A backend whose subclass has `_name`, `revision`, `encode`, `replies` and `pieces`."""

    answers_without_pictures: ClassVar[bool] = False  # `together([])` gives a question in words alone
    _name: str

    @property
    def name(self) -> str:
        return self._name

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        """The texts of `replies`."""
        return [reply.text for reply in self.replies(questions)]

    @abstractmethod
    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        """One answer per question, in order, with why it ended and its tokens, those of images included."""

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        """The texts of `pieces`."""
        yield from (piece for piece in self.pieces(question) if isinstance(piece, str))

    @abstractmethod
    def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
        """The answer as it comes, then the whole Reply."""

    def together(self, images: Sequence[EncodedImage]) -> EncodedImage:
        """Several encoded pictures as one, in order: one question can be about all of them. Raises UsageError."""
        if not images and self.answers_without_pictures:
            return EncodedImage("", self.revision, ())
        if not 1 < len(images) <= self.max_images:
            return super().together(images)
        digest = hashlib.sha256("+".join(image.sha256 for image in images).encode()).hexdigest()
        return EncodedImage(digest, self.revision, tuple(part for image in images for part in self._parts(image)))

    def _turns(self, question: VisualQuestion) -> list[tuple[tuple[Any, ...], str, str | None]]:
        """(parts of pictures, words, answer) of each turn; the answer of the last one is None. Raises UsageError."""
        words = CAPTION if question.question is None else question.question
        turns = [
            (tuple(part for image in question.entering(number) for part in self._parts(image)), asked, answer)
            for number, (asked, answer) in enumerate([*question.history, (words, None)])
        ]
        if (count := sum(len(parts) for parts, _, _ in turns)) > self.max_images:
            raise UsageError(
                f"{count} pictures in one conversation, but {printable(self.name)} takes at most {self.max_images}."
            )
        return turns

    def _parts(self, image: EncodedImage) -> tuple[Any, ...]:
        """The data of an encoded picture. Raises BackendError for one of another backend or revision."""
        if image.revision != self.revision:
            raise BackendError(
                f"this picture was encoded by {printable(image.revision)}, not by {self.revision}; "
                "encode it again with this backend."
            )
        parts: tuple[Any, ...] = image.data
        return parts
