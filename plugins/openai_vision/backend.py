"""`openai:MODEL` as a vision backend: pictures become data URLs once, questions are sent together."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

from core.errors import BackendError, UsageError
from core.images.picture import Picture
from core.net.endpoints import find_endpoint
from core.net.remote import concurrently, for_all
from core.scoring import check_choices, scores_of_words
from core.settings import Settings, get_settings
from core.stopping import CalledOff
from core.vision import EncodedImage, GenerationOptions, Reply, VisualQuestion
from plugins.base import ReplyBackend
from plugins.openai_vision.options import EndpointOptions
from plugins.openai_vision.pictures import data_url
from plugins.openai_vision.scores import ANSWER_TOKENS, TokenOdds, scores_of_tokens
from plugins.openai_vision.server import EndpointError, Server


class SomeFailedError(BackendError):
    """Some questions of a batch were not answered. `replies` holds the others, and None for each failure.

    `for_all`: any other question would fail, too.
    """

    def __init__(self, message: str, replies: Sequence[Reply | None] = (), *, for_all: bool = False) -> None:
        super().__init__(message)
        self.for_all = for_all
        self.replies = list(replies)


class OpenAIBackend(ReplyBackend):
    """A model behind an OpenAI-compatible server. Raises UsageError for a name or options that cannot work.

    Options follow the model, as in `openai:MODEL?base_url=http://localhost:8000/v1`: see `EndpointOptions`.
    """

    follows_instructions: ClassVar[bool] = True
    streams: ClassVar[bool] = True
    scores: ClassVar[bool] = True  # where the server gives log-probabilities
    max_images: ClassVar[int] = 16
    interleaves: ClassVar[bool] = True
    answers_without_pictures: ClassVar[bool] = True

    def __init__(self, argument: str | None = None, *, settings: Settings | None = None) -> None:
        model, self.options = EndpointOptions.parse(argument)
        self._name = f"openai:{argument}"
        settings = settings or get_settings()
        endpoint = find_endpoint(
            settings, vision=True, typed=self.options.base_url, key_env=self.options.key_env, spec=self._name
        )
        if endpoint.needs_key:
            raise UsageError(f"openai needs a key for {endpoint.server}: set {endpoint.keys}.")
        self.server = Server(model, endpoint, settings)

    @property
    def revision(self) -> str:
        chosen = self.options
        parts = (self.server.model, self.server.endpoint.address, chosen.max_side, chosen.format, chosen.detail)
        return f"openai-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """Make each picture's data URL, once; nothing is sent yet. `data` is a tuple of URLs."""
        made: dict[str, EncodedImage] = {}
        for picture in pictures:
            if picture.sha256 not in made:
                url = data_url(picture.image, self.options.max_side, self.options.format)
                made[picture.sha256] = EncodedImage(picture.sha256, self.revision, (url,))
        return [made[picture.sha256] for picture in pictures]

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        """All questions are sent at once, `workers` at a time.

        Raises BackendError; SomeFailedError, which carries the other answers, if a part of a batch failed.
        """
        calls = [partial(self.server.reply, self._messages(question), question.options) for question in questions]
        results = concurrently(calls, workers=self.options.workers, give_up=_in_vain)
        replies = [result for result in results if isinstance(result, Reply)]
        if len(replies) == len(results):
            return replies
        worst = _worst(results)
        if not replies or not isinstance(worst, BackendError):
            raise worst
        kept = [result if isinstance(result, Reply) else None for result in results]
        lost = len(results) - len(replies)
        message = f"{lost} of {len(results)} questions were not answered: {worst}"
        raise SomeFailedError(message, kept, for_all=for_all(worst)) from worst

    def score(self, questions: Sequence[VisualQuestion], choices: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        """By the log-probabilities of a short answer, one request each; by its words if the server gives none."""
        check_choices(questions, choices)
        calls = [partial(self._score, question, each) for question, each in zip(questions, choices, strict=True)]
        results = concurrently(calls, workers=self.options.workers, give_up=_in_vain)
        scores = [result for result in results if isinstance(result, tuple)]
        if len(scores) < len(results):
            raise _worst(results)
        return scores

    def _score(self, question: VisualQuestion, choices: Sequence[str], stop: threading.Event) -> tuple[float, ...]:
        options = GenerationOptions(min(max(question.options.max_new_tokens, 1), ANSWER_TOKENS))
        odds: list[tuple[TokenOdds, ...]] = []  # of each attempt
        reply = self.server.reply(self._messages(question), options, stop, odds=odds.append)
        return scores_of_tokens(odds[-1], choices) or scores_of_words(reply.text, choices, question.question or "")

    def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
        yield from self.server.pieces(self._messages(question), question.options)

    def _messages(self, question: VisualQuestion) -> list[dict[str, Any]]:
        """Each picture right before the words of the turn it came up in. Raises UsageError for too many pictures."""
        messages: list[dict[str, Any]] = []
        detail = {"detail": self.options.detail} if self.options.detail else {}
        for urls, words, answer in self._turns(question):
            parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url, **detail}} for url in urls]
            if parts and words:
                parts.append({"type": "text", "text": words})
            if parts or words:
                messages.append({"role": "user", "content": parts or words})
            if answer is not None:
                messages.append({"role": "assistant", "content": answer})
        return messages

    def describe(self) -> dict[str, str]:
        """With the tokens that the server has counted so far, those of pictures included."""
        return {
            "name": self.name,
            "model": self.server.model,
            "revision": self.revision,
            "server": self.server.endpoint.server,
            "why": self.server.endpoint.why,
            "pictures": f"{self.options.format}, at most {self.options.max_side} pixels a side",
            **{name: str(count) for name, count in self.server.counts.items()},
        }

    def close(self) -> None:
        """Close the connections."""
        self.server.close()


def _worst(results: Sequence[object]) -> BaseException:
    """The error that says most about a batch; CalledOff if there is no other."""
    errors = [error for error in results if isinstance(error, BaseException) and not isinstance(error, CalledOff)]
    return next(filter(_in_vain, errors), errors[0]) if errors else CalledOff()


def _in_vain(error: BaseException) -> bool:
    """Whether the rest of the batch would fail in the same way, or the error is unexpected."""
    if isinstance(error, EndpointError):
        return error.for_all
    return not isinstance(error, BackendError | CalledOff)
