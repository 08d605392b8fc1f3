"""`transformers:NAME` as a vision backend: the model's own processor and template, every picture looked at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

from core.entries import one_line
from core.errors import BackendError, InquisightError, printable
from core.images.picture import Picture
from core.vision import EncodedImage, GenerationOptions, Reply, VisualQuestion
from plugins.base import ReplyBackend
from plugins.hf.batching import KnownPictures, answered_in_groups, control_tokens, without
from plugins.hf.checkpoint import LOADING_ERRORS
from plugins.hf.load_options import revision
from plugins.vlm.loading import VlmLoadOptions, check, load

if TYPE_CHECKING:
    from plugins.vlm.seeing import Look
    from plugins.vlm.talking import PromptRow, TemplateTurn

BATCH: Final = 8  # questions at a time
KNOWN_BYTES: Final = 1 << 30  # of pictures with their features
PROCESSED_BYTES: Final = 256 << 20  # of pictures as the processor made them
READ_BYTES: Final = 1 << 30  # of keys and values of what was read
LESS: Final = "ask about fewer or smaller pictures, or load the model in 8 or 4 bit"


class TransformersBackend(ReplyBackend):
    """A vision-language model with a chat template. Raises BackendError where it is missing, incomplete or unfit.

    Options may follow the name, as in `transformers:DIRECTORY?quantize=4bit`: see `VlmLoadOptions`. Thread-safe.
    """

    follows_instructions: ClassVar[bool] = True
    streams: ClassVar[bool] = True
    max_images: ClassVar[int] = 16  # how many of them a model understands is its own affair
    interleaves: ClassVar[bool] = True

    def __init__(self, argument: str | None = None) -> None:
        text, options = VlmLoadOptions.parse(argument)
        self._name = f"transformers:{argument}"
        self._directory = check(text)
        loaded = load(self._directory, options)
        self._choices = loaded.choices
        self.model, self.processor, self.template = loaded.model, loaded.processor, loaded.template
        # imports torch, which `check` above does without
        from plugins.hf import generation
        from plugins.vlm import reading, seeing, talking

        self._seeing, self._talking, self._generation = seeing, talking, generation
        self.tokenizer = self.processor.tokenizer
        self._pictures = seeing.PictureProcessor(self.processor.image_processor, PROCESSED_BYTES)
        self.processor.image_processor = self._pictures
        self._looker, self._why_not = seeing.looker(self.model)
        self._reader = reading.PrefixReader(self.model, self.tokenizer.pad_token_id or 0, READ_BYTES)
        self.lock = threading.RLock()
        self.looked = 0  # pictures that went through the vision tower ahead of all questions
        self._known = KnownPictures(KNOWN_BYTES, lambda image: sum(look.nbytes for look in image.data))
        self._marks = control_tokens(self.tokenizer)
        if mark := getattr(self.processor, "image_token", None):
            self._marks = (str(mark), *self._marks)
        self._eos_token_ids = sorted(generation.eos_token_ids(self.model.generation_config, self.tokenizer))
        text_config = self.model.config.get_text_config()
        self.context = int(getattr(text_config, "max_position_embeddings", None) or 1 << 30)
        self._notify = logging.getLogger("inquisight").warning
        where = f"the chat template of {printable(self._directory.path)} ({self._choices['template']})"
        talking.try_template(self.processor, self.template, where)

    @property
    def revision(self) -> str:
        return revision("transformers", self._directory.digest, self._choices)

    # -- pictures ---------------------------------------------------------------------------------------------------

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """Process each different picture once and, where the model allows it, let its vision tower look once.

        One at a time, because processors cut pictures into different numbers of pieces; `data` is a tuple of `Look`.
        """
        return self._known.encode(pictures, lambda group: [self._look(picture) for picture in group], BATCH)

    def _look(self, picture: Picture) -> EncodedImage:
        import torch

        look = self._seeing.Look(picture.image, key=picture.sha256)
        again = True
        while again:
            try:
                with self._answering("look at a picture"):
                    row = self._prepare([self._talking.TemplateTurn((look,), "?")])
                    if self._looker is not None:
                        self._see(look, row)
                return EncodedImage(picture.sha256, self.revision, (look,))
            except torch.OutOfMemoryError:
                pass  # outside of this block, so that the failed tensors are gone
            again = self._room()
        raise BackendError(f"not enough memory to look at {picture.source}; {LESS}.")

    def _see(self, look: Look, row: PromptRow) -> None:
        placeholders = int((row.inputs["input_ids"] == self.model.config.image_token_id).sum())
        found = self._seeing.features(self._looker, self._reader.place(row.inputs), placeholders)
        if isinstance(found, str):
            self._looker, self._why_not = None, found
            return
        look.features, look.kind = found
        self.looked += 1

    # -- answers ----------------------------------------------------------------------------------------------------

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        """Questions with equal options are answered together, where the vision tower's output can be handed on."""
        conversations = [self._conversation(question) for question in questions]

        def answer(places: list[int], options: GenerationOptions) -> list[Reply]:
            options = self._limited(options)
            return self._said([self._fitting(conversations[place], options) for place in places], options)

        return answered_in_groups(questions, BATCH, answer)

    def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
        options = self._limited(question.options)
        row = self._fitting(self._conversation(question), options)

        def run(report: Callable[[str], None], cancelled: threading.Event) -> Reply:
            import torch

            try:
                return self._generate([row], options, report, cancelled)[0]
            except torch.OutOfMemoryError as error:
                self._room()
                raise BackendError(f"not enough memory for this question; {LESS}.") from error

        yield from self._generation.stream(run)

    def describe(self) -> dict[str, str]:
        once = "each goes through the vision tower once"
        if self._reader.why_not:
            once += f"; the language model reads it again with every question ({self._reader.why_not})"
        else:
            once += ", and the language model reads it once"
        again = f"each is processed once, but looked at again with every question ({self._why_not})"
        return {
            "name": self.name,
            "model": type(self.model).__name__,
            "revision": self.revision,
            "weights": self._directory.digest,
            "context": f"{self.context} tokens",
            "pictures": once if self._looker is not None else again,
            **self._choices,
        }

    def close(self) -> None:
        """Let go of the model and everything that was kept."""
        with self.lock:
            self._known.clear()
            self._pictures.forget()
            self._reader.forget()
            self.model = self._reader.model = None
            self._looker = None

    # -- means ------------------------------------------------------------------------------------------------------

    def _conversation(self, question: VisualQuestion) -> list[TemplateTurn]:
        """Each picture before the words of the turn it came up in. Raises UsageError for too many."""
        turn = self._talking.TemplateTurn
        return [
            turn(looks, without(words, self._marks), None if answer is None else without(answer, self._marks))
            for looks, words, answer in self._turns(question)
        ]

    def _limited(self, options: GenerationOptions) -> GenerationOptions:
        """With an answer of at most half of what the model reads at once."""
        return replace(options, max_new_tokens=min(max(options.max_new_tokens, 1), max(self.context // 2, 1)))

    def _fitting(self, turns: list[TemplateTurn], options: GenerationOptions) -> PromptRow:
        """Leaves out the oldest words until prompt and answer fit. Raises BackendError where they never do."""
        room = self.context - options.max_new_tokens
        dropped = 0
        while True:
            row = self._prepare(turns)
            if len(row) <= room:
                break
            if len(turns) == 1:
                raise BackendError(
                    f"the pictures and the question take {len(row)} tokens, and beside the answer the model reads "
                    f"{room}; ask about fewer or smaller pictures, shorter, or for a shorter answer."
                )
            turns, dropped = self._talking.without_oldest(turns), dropped + 1
        if dropped:
            what = "exchange was" if dropped == 1 else f"{dropped} exchanges were"
            self._notify(
                f"the conversation is longer than the {self.context} tokens the model can read: the oldest {what} "
                "left out; pictures stay."
            )
        return row

    def _prepare(self, turns: Sequence[TemplateTurn]) -> PromptRow:
        with self._answering("prepare a question"):
            return self._talking.prepare(self.processor, self.template, turns)

    def _said(self, rows: Sequence[PromptRow], options: GenerationOptions) -> list[Reply]:
        """In one batch where it can be, in halves where the memory does not suffice. Raises BackendError."""
        import torch

        if len(rows) > 1 and any(look.features is None for row in rows for look in row.looks):
            return [reply for row in rows for reply in self._generate([row], options)]
        try:
            return self._generate(rows, options)
        except torch.OutOfMemoryError:
            pass  # outside of this block, so that the failed batch's tensors are gone
        kept = self._room()
        half = (len(rows) + 1) // 2
        if len(rows) == 1:
            if kept:
                return self._said(rows, options)
            raise BackendError(f"not enough memory for this question; {LESS}.")
        self._notify(f"not enough memory for {len(rows)} questions at a time: going on with {half} at a time.")
        return self._said(rows[:half], options) + self._said(rows[half:], options)

    def _generate(
        self,
        rows: Sequence[PromptRow],
        options: GenerationOptions,
        report: Callable[[str], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> list[Reply]:
        with self._answering("answer"):
            if all(look.features is not None for row in rows for look in row.looks):
                reading = self._reader.begin(rows)
                if reading is None:
                    return [reply for row in rows for reply in self._generate([row], options)]
                inputs = reading.arguments
            else:
                reading, inputs = None, self._reader.place(rows[0].inputs)
            decoders = [self._generation.StreamDecoder(self.tokenizer) for _ in rows]
            listener = self._generation.Listener(decoders, self._eos_token_ids, report, cancelled)
            replies = self._talking.generate_replies(self.model, rows, inputs, listener, options, self._reader.pad)
            if reading is not None:
                self._reader.keep(reading)
            return replies

    def _room(self) -> bool:
        """Let go of what the model has read, for want of memory; whether there was anything."""
        import torch

        with self.lock:
            kept: bool = self._reader.forget()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return kept

    @contextmanager
    def _answering(self, what: str) -> Iterator[None]:
        """Holds the lock, computes without gradients, and makes what the model raises one line."""
        import torch

        with self.lock, torch.inference_mode():
            if self.model is None:
                raise BackendError(f"{self.name} was closed.")
            try:
                yield
            except (InquisightError, torch.OutOfMemoryError):
                raise
            except (*LOADING_ERRORS, IndexError) as error:
                raise BackendError(f"{type(self.model).__name__} could not {what}: {one_line(error)}.") from error
