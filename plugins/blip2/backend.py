"""`blip2:NAME` as a vision backend: checked before it is loaded, every picture looked at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

from core.errors import BackendError, printable
from core.images.picture import Picture
from core.vision import EncodedImage, GenerationOptions, Reply, VisionBackend, VisualQuestion
from plugins.blip2.loading import HOW, Blip2LoadOptions, check, load
from plugins.hf.batching import KnownPictures, answered_in_groups
from plugins.hf.load_options import revision
from plugins.minigpt4.runtime.conversation import ImageTokens, PromptTurns

if TYPE_CHECKING:
    from plugins.blip2.engine import OptEngine, T5Engine
    from plugins.minigpt4.runtime.decoding import DecodingOptions

BATCH: Final = 16  # pictures or questions at a time
KNOWN_BYTES: Final = 256 << 20  # of encoded pictures: some 800 with OPT-2.7b's 32 x 2560 numbers of 4 bytes


class Blip2Backend(VisionBackend):
    """A BLIP-2 with OPT or Flan-T5. Raises BackendError where it is missing, incomplete or another model.

    DecodingOptions may follow the name, as in `blip2:DIRECTORY?dtype=bfloat16`: see `Blip2LoadOptions`.
    """

    follows_instructions: ClassVar[bool] = False
    streams: ClassVar[bool] = True
    max_images: ClassVar[int] = 1

    def __init__(self, argument: str | None = None) -> None:
        if not argument:
            raise BackendError(f"blip2 needs a model: {HOW}.")
        text, options = Blip2LoadOptions.parse(argument)
        self._name = f"blip2:{argument}"
        self._checked = check(text, options)
        loaded = load(self._checked, options)
        self._choices = loaded.choices
        self._image_processor = loaded.image_processor
        from plugins.blip2 import engine  # imports torch and transformers, which `check` above does without

        kind = engine.OptEngine if self._checked.decoder_only else engine.T5Engine
        self.engine: OptEngine | T5Engine = kind(
            loaded.model, loaded.tokenizer, self._checked.caption, notify=logging.getLogger("inquisight").warning
        )
        self._known = KnownPictures(KNOWN_BYTES, lambda image: int(image.data.tokens.nbytes))

    @property
    def name(self) -> str:
        return self._name

    @property
    def revision(self) -> str:
        return revision("blip2", self._checked.directory.digest, self._choices)

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """One pass of vision tower and Q-Former per different picture, in batches; `data` is a `ImageTokens`."""
        return self._known.encode(pictures, self._look, BATCH)

    def _look(self, pictures: list[Picture]) -> list[EncodedImage]:
        pixels = self._image_processor([picture.image for picture in pictures], return_tensors="pt").pixel_values
        return [
            EncodedImage(picture.sha256, self.revision, ImageTokens(f"{picture.sha256}:{self.revision}", tokens))
            for picture, tokens in zip(pictures, self.engine.encode(pixels), strict=True)
        ]

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

    def describe(self) -> dict[str, str]:
        reuse = "its tokens' keys and values are kept" if self._checked.decoder_only else "its tokens are kept"
        return {
            "name": self.name,
            "model": f"BLIP-2 with {self._choices['language model']}",
            "revision": self.revision,
            "weights": self._checked.directory.digest,
            "context": f"{self.engine.context} tokens",
            "pictures": f"each is looked at once, {reuse}",
            **self._choices,
        }

    def close(self) -> None:
        """Let go of the model and everything that was kept."""
        self._known.clear()
        self.engine.close()

    def _conversation(self, question: VisualQuestion) -> PromptTurns:
        """The picture, the earlier pairs, the question. A plain caption looks back on nothing."""
        image = question.image
        if image.revision != self.revision:
            raise BackendError(
                f"this picture was encoded by {printable(image.revision)}, not by {self.revision}; "
                "encode it again with this backend."
            )
        seen: ImageTokens = image.data
        if question.question is None:
            return PromptTurns().ask(seen)
        first: tuple[ImageTokens, ...] = (seen,)
        conversation = PromptTurns()
        for asked, answered in question.history:
            conversation = conversation.ask(*first, asked).answered(answered)
            first = ()
        return conversation.ask(*first, question.question)

    @staticmethod
    def _decoding(options: GenerationOptions) -> DecodingOptions:
        from plugins.minigpt4.runtime.decoding import GREEDY

        chosen = replace(GREEDY, max_new_tokens=max(options.max_new_tokens, 1))
        if options.temperature <= 0:
            return chosen
        return replace(chosen, do_sample=True, temperature=options.temperature, top_p=options.top_p, seed=options.seed)
