"""`minigpt4:DIRECTORY` as a vision backend: checked before it is loaded, every picture looked at once."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from core.errors import BackendError, UsageError
from core.images import Picture
from core.vision import EncodedImage, GenerationOptions, VisionBackend, VisualQuestion
from plugins.minigpt4.conversation import Conversation, Seen
from plugins.minigpt4.loading import HOW, LoadOptions, check, load

if TYPE_CHECKING:
    from plugins.minigpt4.decoding import Options
    from plugins.minigpt4.engine import Engine

BATCH = 16  # pictures or questions at a time
KNOWN_PICTURES = 256  # encoded pictures that are remembered, 32 x 4096 numbers each for the 7B model
CAPTION = "Write one short sentence that says what this image shows."


class MiniGPT4Backend(VisionBackend):
    """A converted MiniGPT-4. Raises BackendError where the directory is missing, incomplete or of another model.

    Options may follow the directory, as in `minigpt4:DIRECTORY?quantize=8bit`: see `LoadOptions`.
    """

    follows_instructions: ClassVar[bool] = True
    streams: ClassVar[bool] = True
    max_images: ClassVar[int] = 16  # each takes 32 of some 2,000 tokens
    interleaves: ClassVar[bool] = True

    def __init__(self, argument: str | None = None, *, options: LoadOptions | None = None) -> None:
        if not argument:
            raise BackendError(f"minigpt4 needs a directory: minigpt4:DIRECTORY; make one with `{HOW}`.")
        directory, parsed = LoadOptions.parse(argument)
        self._options = options or parsed
        self._name = f"minigpt4:{argument}"
        self._checked = check(directory, self._options.format)
        loaded = load(self._checked, self._options)
        self._choices = loaded.choices
        # imports torch and transformers, which `check` above does without
        from plugins.minigpt4.engine import Engine

        self.engine: Engine = Engine(
            loaded.model, loaded.tokenizer, self._checked.format, notify=logging.getLogger("inquisight").warning
        )
        self._known: OrderedDict[str, EncodedImage] = OrderedDict()

    @property
    def name(self) -> str:
        return self._name

    @property
    def revision(self) -> str:
        kind = self._choices["dtype"]
        if self._choices["quantize"] != "none":
            kind += f"-{self._choices['quantize']}"
        return f"minigpt4-{self._checked.digest}-{kind}-{self._choices['device']}"

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """One pass of the vision tower per different picture, in batches; `data` is a tuple of `Seen`."""
        with self.engine.lock:
            found: dict[str, EncodedImage] = {}
            new: dict[str, Picture] = {}
            for picture in pictures:
                known = self._known.get(picture.sha256)
                if known is not None:
                    self._known.move_to_end(picture.sha256)
                    found[picture.sha256] = known
                else:
                    new[picture.sha256] = picture
            waiting = list(new.values())
            for start in range(0, len(waiting), BATCH):
                group = waiting[start : start + BATCH]
                for picture, tokens in zip(group, self.engine.encode(self._pixels(group)), strict=True):
                    seen = Seen(f"{picture.sha256}:{self.revision}", tokens)
                    found[picture.sha256] = EncodedImage(picture.sha256, self.revision, (seen,))
            for sha256 in new:
                self._known[sha256] = found[sha256]
            while len(self._known) > KNOWN_PICTURES:
                self._known.popitem(last=False)
        return [found[picture.sha256] for picture in pictures]

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
        conversations = [self._conversation(question) for question in questions]
        answers = [""] * len(questions)
        groups: dict[GenerationOptions, list[int]] = {}
        for index, question in enumerate(questions):
            groups.setdefault(question.options, []).append(index)
        for options, indices in groups.items():
            first: dict[str, int] = {}
            for index in indices:
                first.setdefault(questions[index].image.key, len(first))
            indices.sort(key=lambda index: first[questions[index].image.key])
            for start in range(0, len(indices), BATCH):
                rows = indices[start : start + BATCH]
                said = self.engine.answer([conversations[row] for row in rows], self._decoding(options))
                for row, answer in zip(rows, said, strict=True):
                    answers[row] = answer.text
        return answers

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        yield from self.engine.stream(self._conversation(question), self._decoding(question.options))

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

    def _seen(self, image: EncodedImage) -> tuple[Seen, ...]:
        if image.revision != self.revision:
            raise BackendError(
                f"this picture was encoded by {image.revision}, not by {self.revision}; "
                "encode it again with this backend."
            )
        seen: tuple[Seen, ...] = image.data
        return seen

    def _conversation(self, question: VisualQuestion) -> Conversation:
        """Each picture before the words of the turn it came up in, as in the original. Raises UsageError."""

        def pictures(turn: int) -> list[Seen]:
            return [seen for image in question.entering(turn) for seen in self._seen(image)]

        conversation = Conversation()
        for turn, (asked, answered) in enumerate(question.history):
            conversation = conversation.ask(*pictures(turn), asked).answered(answered)
        words = CAPTION if question.question is None else question.question
        conversation = conversation.ask(*pictures(len(question.history)), words)
        if (count := len(conversation.pictures)) > self.max_images:
            raise UsageError(f"{count} pictures in one conversation, but minigpt4 takes 1 to {self.max_images}.")
        return conversation

    @staticmethod
    def _decoding(options: GenerationOptions) -> Options:
        from plugins.minigpt4.decoding import GREEDY, ORIGINAL

        limit = max(options.max_new_tokens, 1)
        if options.temperature <= 0:
            return replace(GREEDY, max_new_tokens=limit)
        return replace(
            ORIGINAL, max_new_tokens=limit, temperature=options.temperature, top_p=options.top_p, seed=options.seed
        )
