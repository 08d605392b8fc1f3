"""`minigpt4:DIRECTORY` as a vision backend, and what it shares with `blip2:`; checked before the weights are read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from core.images.picture import Picture
from core.scoring import check_choices
from core.vision import EncodedImage, GenerationOptions, Reply, VisualQuestion
from plugins.base import ReplyBackend
from plugins.hf.batching import KnownPictures, answered_in_groups
from plugins.hf.load_options import revision
from plugins.minigpt4.runtime.conversation import ImageTokens, PromptTurns
from plugins.minigpt4.runtime.loading import LoadOptions, check, load

if TYPE_CHECKING:
    from plugins.hf.generation import DecodingOptions
    from plugins.minigpt4.runtime.engine import Engine

BATCH: Final = 16  # pictures or questions at a time
KNOWN_BYTES: Final = 256 << 20  # of encoded pictures: some 500 with the 7B model's 32 x 4096 numbers of 4 bytes


class EngineBackend(ReplyBackend):
    """A backend that answers with an `Engine`; `data` of an encoded picture is a tuple of `ImageTokens`."""

    streams: ClassVar[bool] = True
    scores: ClassVar[bool] = True
    reports_tokens: ClassVar[bool] = True
    plugin: ClassVar[str]

    def __init__(self, argument: str | None, engine: Engine, digest: str, choices: dict[str, str]) -> None:
        self._name = f"{self.plugin}:{argument}"
        self.engine = engine
        self._digest = digest
        self._choices = choices
        self._known = KnownPictures(KNOWN_BYTES, lambda image: sum(int(part.tokens.nbytes) for part in image.data))

    @property
    def revision(self) -> str:
        return revision(self.plugin, self._digest, self._choices)

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """One pass of the vision tower per different picture, in batches."""
        with self.engine.lock:  # so that two threads do not encode the same picture
            return self._known.encode(pictures, self._encode_new, BATCH)

    def _encode_new(self, pictures: list[Picture]) -> list[EncodedImage]:
        return [
            EncodedImage(picture.sha256, self.revision, (ImageTokens(f"{picture.sha256}:{self.revision}", tokens),))
            for picture, tokens in zip(pictures, self.engine.encode(self._pixels(pictures)), strict=True)
        ]

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        """Questions with equal options are answered together, those about one picture side by side."""
        conversations = [self._conversation(question) for question in questions]

        def answer(places: list[int], options: GenerationOptions) -> list[Reply]:
            return self.engine.answer([conversations[place] for place in places], self._decoding(options))

        return answered_in_groups(questions, BATCH, answer)

    def score(self, questions: Sequence[VisualQuestion], choices: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        """By the language model's probabilities."""
        check_choices(questions, choices)
        return self.engine.score([self._conversation(question) for question in questions], choices)

    def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
        yield from self.engine.pieces(self._conversation(question), self._decoding(question.options))

    def describe(self) -> dict[str, str]:
        return {
            "name": self.name,
            "model": "MiniGPT-4",
            "revision": self.revision,
            "weights": self._digest,
            "context": f"{self.engine.context} tokens",
            **self._choices,
        }

    def close(self) -> None:
        """Release the model and everything that was kept."""
        self._known.clear()
        self.engine.close()

    @abstractmethod
    def _pixels(self, pictures: Sequence[Picture]) -> Any:
        """(B, 3, height, width), normalised."""

    @abstractmethod
    def _conversation(self, question: VisualQuestion) -> PromptTurns:
        """The question with its pictures and earlier turns."""

    @abstractmethod
    def _decoding(self, options: GenerationOptions) -> DecodingOptions:
        """The engine's options for a question's."""


class MiniGPT4Backend(EngineBackend):
    """A converted MiniGPT-4. Raises BackendError if the directory is missing, incomplete or of another model.

    Options may follow the directory, as in `minigpt4:DIRECTORY?quantize=8bit`: see `LoadOptions`.
    """

    follows_instructions: ClassVar[bool] = True
    max_images: ClassVar[int] = 16  # each takes 32 of some 2,000 tokens
    interleaves: ClassVar[bool] = True
    answers_without_pictures: ClassVar[bool] = True
    plugin: ClassVar[str] = "minigpt4"

    def __init__(self, argument: str | None = None, *, options: LoadOptions | None = None) -> None:
        text, parsed = LoadOptions.parse(argument)
        self._options = options or parsed
        self._checked = check(Path(text).expanduser(), self._options.format)
        self._decoding(GenerationOptions())  # an impossible one is refused before anything large is read
        loaded = load(self._checked, self._options)
        if given := self._options.decoding:
            loaded.choices["decoding"] = ", ".join(f"{name} {value:g}" for name, value in given.items())
        # imports torch and transformers, which `check` above does without
        from plugins.minigpt4.runtime.engine import Engine

        engine = Engine(loaded.model, loaded.tokenizer, self._checked.format)
        super().__init__(argument, engine, self._checked.digest, loaded.choices)

    def count_tokens(self, text: str) -> int:
        """How many tokens of the language model `text` is, without BOS and the conversation's own marks."""
        return len(self.engine.tokenizer(text, add_special_tokens=False).input_ids)

    def _pixels(self, pictures: Sequence[Picture]) -> Any:
        """Return (B, 3, size, size), normalised."""
        from plugins.minigpt4.runtime.pixels import pixels

        return pixels(pictures, self._checked.image_size, self._checked.mean, self._checked.std)

    def _conversation(self, question: VisualQuestion) -> PromptTurns:
        """Each picture before the words of the turn it came up in, as in the original. Raises UsageError."""
        conversation = PromptTurns()
        for parts, words, answer in self._turns(question):
            conversation = conversation.ask(*parts, words)
            if answer is not None:
                conversation = conversation.answered(answer)
        return conversation

    def _decoding(self, options: GenerationOptions) -> DecodingOptions:
        from plugins.hf.generation import GREEDY
        from plugins.minigpt4.runtime.engine import ORIGINAL

        chosen: dict[str, Any] = {
            "max_new_tokens": max(options.max_new_tokens, 1),
            "token_scores": options.token_scores,
            **self._options.decoding,
        }
        if options.temperature <= 0:
            return replace(GREEDY, **chosen)
        return replace(ORIGINAL, temperature=options.temperature, top_p=options.top_p, seed=options.seed, **chosen)
