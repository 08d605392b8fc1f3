"""`minigpt4:DIRECTORY` as a vision backend: checked before it is loaded, every picture looked at once."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from core.errors import BackendError, UsageError
from core.images.picture import Picture
from core.vision import EncodedImage, GenerationOptions, Reply, VisionBackend, VisualQuestion
from plugins.hf.batching import KnownPictures, answered_in_groups
from plugins.hf.load_options import revision
from plugins.minigpt4.runtime.conversation import ImageTokens, PromptTurns
from plugins.minigpt4.runtime.loading import HOW, LoadOptions, check, load

if TYPE_CHECKING:
    from plugins.minigpt4.runtime.decoding import DecodingOptions
    from plugins.minigpt4.runtime.engine import Engine

BATCH: Final = 16  # pictures or questions at a time
KNOWN_BYTES: Final = 256 << 20  # of encoded pictures: some 500 with the 7B model's 32 x 4096 numbers of 4 bytes
CAPTION: Final = "Write one short sentence that says what this image shows."


class MiniGPT4Backend(VisionBackend):
    """A converted MiniGPT-4. Raises BackendError where the directory is missing, incomplete or of another model.

    DecodingOptions may follow the directory, as in `minigpt4:DIRECTORY?quantize=8bit`: see `LoadOptions`.
    """

    follows_instructions: ClassVar[bool] = True
    streams: ClassVar[bool] = True
    max_images: ClassVar[int] = 16  # each takes 32 of some 2,000 tokens
    interleaves: ClassVar[bool] = True

    def __init__(self, argument: str | None = None, *, options: LoadOptions | None = None) -> None:
        if not argument:
            raise BackendError(f"minigpt4 needs a directory: minigpt4:DIRECTORY; make one with `{HOW}`.")
        text, parsed = LoadOptions.parse(argument)
        self._options = options or parsed
        self._name = f"minigpt4:{argument}"
        self._checked = check(Path(text).expanduser(), self._options.format)
        self._decoding(GenerationOptions())  # an impossible one is refused before anything large is read
        loaded = load(self._checked, self._options)
        self._choices = loaded.choices
        if given := self._options.decoding:
            self._choices["decoding"] = ", ".join(f"{name} {value:g}" for name, value in given.items())
        # imports torch and transformers, which `check` above does without
        from plugins.minigpt4.runtime.engine import Engine

        self.engine: Engine = Engine(
            loaded.model, loaded.tokenizer, self._checked.format, notify=logging.getLogger("inquisight").warning
        )
        self._known = KnownPictures(KNOWN_BYTES, lambda image: sum(int(seen.tokens.nbytes) for seen in image.data))

    @property
    def name(self) -> str:
        return self._name

    @property
    def revision(self) -> str:
        return revision("minigpt4", self._checked.digest, self._choices)

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """One pass of the vision tower per different picture, in batches; `data` is a tuple of `ImageTokens`."""
        with self.engine.lock:  # so that two threads do not look at the same picture
            return self._known.encode(pictures, self._look, BATCH)

    def _look(self, pictures: list[Picture]) -> list[EncodedImage]:
        return [
            EncodedImage(picture.sha256, self.revision, (ImageTokens(f"{picture.sha256}:{self.revision}", tokens),))
            for picture, tokens in zip(pictures, self.engine.encode(self._pixels(pictures)), strict=True)
        ]

    def together(self, images: Sequence[EncodedImage]) -> EncodedImage:
        """Several encoded pictures as one, in order: one question can be about all of them. Raises UsageError.

        Of none: what stands for no picture, since Vicuna can talk in words alone.
        """
        if not images:
            return EncodedImage("", self.revision, ())
        if not 1 < len(images) <= self.max_images:
            return super().together(images)
        digest = hashlib.sha256("+".join(image.sha256 for image in images).encode()).hexdigest()
        return EncodedImage(digest, self.revision, tuple(seen for image in images for seen in self._seen(image)))

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        """Questions with equal options are answered together, those about one picture side by side."""
        return [reply.text for reply in self.replies(questions)]

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        """Like `answer`, with why each answer ended and its tokens, those of images included."""
        conversations = [self._conversation(question) for question in questions]

        def answer(places: list[int], options: GenerationOptions) -> list[Reply]:
            answers = self.engine.answer([conversations[place] for place in places], self._decoding(options))
            return [one.reply for one in answers]

        return answered_in_groups(questions, BATCH, answer)

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        yield from self.engine.stream(self._conversation(question), self._decoding(question.options))

    def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
        """Like `stream`, with the whole Reply at the end."""
        for piece in self.engine.pieces(self._conversation(question), self._decoding(question.options)):
            yield piece if isinstance(piece, str) else piece.reply

    def count_tokens(self, text: str) -> int:
        """How many tokens of the language model `text` is, without BOS and the conversation's own marks."""
        return len(self.engine.tokenizer(text, add_special_tokens=False).input_ids)

    def describe(self) -> dict[str, str]:
        return {
            "name": self.name,
            "model": "MiniGPT-4",
            "revision": self.revision,
            "weights": self._checked.digest,
            "context": f"{self.engine.context} tokens",
            **self._choices,
        }

    def close(self) -> None:
        """Let go of the model and everything that was kept."""
        self._known.clear()
        self.engine.close()

    def _pixels(self, pictures: Sequence[Picture]) -> Any:
        """(B, 3, size, size), normalised. Resized by Pillow to a square, as the original's `blip2_image_eval` does."""
        import numpy as np
        import torch
        from PIL import Image

        size = self._checked.image_size
        arrays = [
            np.asarray(picture.image.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32) / 255
            for picture in pictures
        ]
        pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
        mean, std = torch.tensor(self._checked.mean), torch.tensor(self._checked.std)
        return (pixels - mean[:, None, None]) / std[:, None, None]

    def _seen(self, image: EncodedImage) -> tuple[ImageTokens, ...]:
        if image.revision != self.revision:
            raise BackendError(
                f"this picture was encoded by {image.revision}, not by {self.revision}; "
                "encode it again with this backend."
            )
        seen: tuple[ImageTokens, ...] = image.data
        return seen

    def _conversation(self, question: VisualQuestion) -> PromptTurns:
        """Each picture before the words of the turn it came up in, as in the original. Raises UsageError."""

        def pictures(turn: int) -> list[ImageTokens]:
            return [seen for image in question.entering(turn) for seen in self._seen(image)]

        conversation = PromptTurns()
        for turn, (asked, answered) in enumerate(question.history):
            conversation = conversation.ask(*pictures(turn), asked).answered(answered)
        words = CAPTION if question.question is None else question.question
        conversation = conversation.ask(*pictures(len(question.history)), words)
        if (count := len(conversation.pictures)) > self.max_images:
            raise UsageError(f"{count} pictures in one conversation, but minigpt4 takes 1 to {self.max_images}.")
        return conversation

    def _decoding(self, options: GenerationOptions) -> DecodingOptions:
        from plugins.minigpt4.runtime.decoding import GREEDY, ORIGINAL

        chosen: dict[str, Any] = {"max_new_tokens": max(options.max_new_tokens, 1), **self._options.decoding}
        if options.temperature <= 0:
            return replace(GREEDY, **chosen)
        return replace(ORIGINAL, temperature=options.temperature, top_p=options.top_p, seed=options.seed, **chosen)
