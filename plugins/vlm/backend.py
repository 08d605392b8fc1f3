"""`transformers:NAME` as a vision backend: the model's own processor and template, every picture encoded once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from core.entries import one_line
from core.errors import BackendError, InquisightError, printable
from core.images.picture import Picture
from core.scoring import check_choices
from core.vision import EncodedImage, GenerationOptions, Reply, VisualQuestion
from plugins.base import ReplyBackend
from plugins.hf.batching import KnownPictures, answered_in_groups, control_tokens, without
from plugins.hf.checkpoint import LOADING_ERRORS
from plugins.hf.load_options import revision
from plugins.vlm.loading import VlmLoadOptions, check, load
from plugins.vlm.tools import MARKS as TOOL_MARKS
from plugins.vlm.tools import beginning, with_calls

if TYPE_CHECKING:
    from plugins.vlm.features import EncodedPicture
    from plugins.vlm.prefix_reader import Reading
    from plugins.vlm.prompts import PromptRow, TemplateTurn
    from plugins.vlm.tools import Used

BATCH: Final = 8  # questions at a time
SCORED: Final = 16  # spellings of answers at a time
KNOWN_BYTES: Final = 1 << 30  # of pictures with their features
PROCESSED_BYTES: Final = 256 << 20  # of pictures as the processor made them
READ_BYTES: Final = 1 << 30  # of keys and values of what was read
T = TypeVar("T")
R = TypeVar("R")


class TransformersBackend(ReplyBackend):
    """A vision-language model with a chat template. Raises BackendError if it is missing, incomplete or unsuitable.

    Options may follow the name, as in `transformers:DIRECTORY?quantize=4bit`: see `VlmLoadOptions`. Thread-safe.
    """

    follows_instructions: ClassVar[bool] = True
    streams: ClassVar[bool] = True
    scores: ClassVar[bool] = True
    reports_tokens: ClassVar[bool] = True
    max_images: ClassVar[int] = 16  # how many of them a model understands depends on the model
    interleaves: ClassVar[bool] = True

    def __init__(self, argument: str | None = None) -> None:
        text, options = VlmLoadOptions.parse(argument)
        self._name = f"transformers:{argument}"
        self._directory = check(text)
        loaded = load(self._directory, options)
        self._choices = loaded.choices
        self.model, self.processor, self.template = loaded.model, loaded.processor, loaded.template
        # imports torch, which `check` above does without
        import torch

        from plugins.hf import generation, scoring
        from plugins.vlm import features, prefix_reader, prompts, scores

        self._features, self._prompts, self._generation = features, prompts, generation
        self._scoring, self._scores = scoring, scores
        self.tokenizer = self.processor.tokenizer
        self._pictures = features.PictureProcessor(self.processor.image_processor, PROCESSED_BYTES)
        self.processor.image_processor = self._pictures
        self._feature_method, self._why_not = features.feature_method(self.model)
        self._reader = prefix_reader.PrefixReader(self.model, self.tokenizer.pad_token_id or 0, READ_BYTES)
        self.lock = threading.RLock()
        self.encoded = 0  # pictures that went through the vision tower before all questions
        self._known = KnownPictures(KNOWN_BYTES, lambda image: sum(part.nbytes for part in image.data))
        self._marks = control_tokens(self.tokenizer)
        if mark := getattr(self.processor, "image_token", None):
            self._marks = (str(mark), *self._marks)
        self._eos_token_ids = sorted(generation.eos_token_ids(self.model.generation_config, self.tokenizer))
        closing = scoring.closing_tokens(scoring.token_texts(self.tokenizer), ())
        self._closing = torch.tensor(sorted({*closing, *self._eos_token_ids}))
        text_config = self.model.config.get_text_config()
        self.context = int(getattr(text_config, "max_position_embeddings", None) or 1 << 30)
        self._notify = logging.getLogger("inquisight").warning
        where = f"the chat template of {printable(self._directory.path)} ({self._choices['template']})"
        prompts.try_template(self.processor, self.template, where)
        self._has_tools = prompts.has_tools(self.processor, self.template)

    @property
    def revision(self) -> str:
        return revision("transformers", self._directory.digest, self._choices)

    @property
    def calls_tools(self) -> bool:
        """Whether the chat template has tools."""
        return self._has_tools

    # -- pictures ---------------------------------------------------------------------------------------------------

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """Process each different picture once and, if the model supports it, run its vision tower once.

        One at a time, because processors cut pictures into different numbers of tiles; `data` is a tuple of
        `EncodedPicture`.
        """
        return self._known.encode(pictures, self._encode_new, BATCH)

    def _encode_new(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        return [image for picture in pictures for image in self._in_halves(self._encode_one, [picture], "picture")]

    def _encode_one(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        [picture] = pictures
        encoded = self._features.EncodedPicture(picture.image, key=picture.sha256)
        with self._answering("encode a picture"):
            row = self._prepare([self._prompts.TemplateTurn((encoded,), "?")])
            if self._feature_method is not None:
                self._add_features(encoded, row)
        return [EncodedImage(picture.sha256, self.revision, (encoded,))]

    def _add_features(self, encoded: EncodedPicture, row: PromptRow) -> None:
        placeholders = int((row.inputs["input_ids"] == self.model.config.image_token_id).sum())
        found = self._features.features(self._feature_method, self._reader.place(row.inputs), placeholders)
        if isinstance(found, str):
            self._feature_method, self._why_not = None, found
            return
        encoded.features, encoded.kind = found
        self.encoded += 1

    # -- answers ----------------------------------------------------------------------------------------------------

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        """Questions with equal options are answered together, if the vision tower's output can be passed on."""
        conversations = [self._conversation(question) for question in questions]

        def answer(places: list[int], options: GenerationOptions) -> list[Reply]:
            options = self._limited(options)
            replies = self._reply([self._fitting(conversations[place], options) for place in places], options)
            for at, place in enumerate(places):
                if (tools := questions[place].tools) is not None:
                    replies[at] = with_calls(replies[at], tools, conversations[place][-1].begun)
            return replies

        return answered_in_groups(questions, BATCH, answer)

    def score(self, questions: Sequence[VisualQuestion], choices: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        """By the model's probabilities; what prompts have in common is read once, if the model allows that."""
        check_choices(questions, choices)
        found = {one: self._spelt(one) for each in choices for one in each}
        longest = max((len(ids) for some in found.values() for ids in some), default=0)
        options = self._limited(GenerationOptions(longest + 1))
        rows: list[PromptRow] = []
        owners: list[tuple[int, str]] = []
        for places in self._scoring.by_picture(questions, max(len(questions), 1)):
            for place in places:
                row = self._fitting(self._conversation(questions[place]), options)
                for choice in dict.fromkeys(choices[place]):
                    rows += [self._scores.answered(row, ids) for ids in found[choice]]
                    owners += [(place, choice)] * len(found[choice])
        odds: dict[tuple[int, str], list[float]] = {}
        for start in range(0, len(rows), SCORED):
            values = self._in_halves(self._score, rows[start : start + SCORED], "answer")
            for owner, value in zip(owners[start : start + SCORED], values, strict=True):
                odds.setdefault(owner, []).append(value)
        return [
            tuple(self._scoring.either(odds.get((place, choice), [])) for choice in each)
            for place, each in enumerate(choices)
        ]

    def _spelt(self, choice: str) -> list[tuple[int, ...]]:
        def encode(text: str) -> list[int]:
            ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
            return ids

        found: list[tuple[int, ...]] = self._scoring.spelt(without(choice, self._marks), encode)
        return found

    def _score(self, rows: Sequence[PromptRow]) -> list[float]:
        """The log-probability of the answer at the end of each row."""
        if len(rows) > 1 and any(picture.features is None for row in rows for picture in row.pictures):
            return [value for row in rows for value in self._score([row])]
        with self._answering("score an answer"):
            prepared = self._inputs(rows)
            if prepared is None:
                return [value for row in rows for value in self._score([row])]
            count = max(row.answer for row in rows) + 1
            logits = self._scores.last_logits(self.model, prepared[1], count, self._reader.pad)
            odds = logits.float().log_softmax(-1)
            ids = [tuple(row.inputs["input_ids"][0, len(row) - row.answer :].tolist()) for row in rows]
            return [
                self._scoring.whole(odds[place, count - len(answer) - 1 :], answer, self._closing)
                for place, answer in enumerate(ids)
            ]

    def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
        if question.tools is not None:  # a call is no text to be shown
            [reply] = self.replies([question])
            yield from (reply.text, reply)
            return
        options = self._limited(question.options)
        row = self._fitting(self._conversation(question), options)

        def run(report: Callable[[str], None], cancelled: threading.Event) -> Reply:
            return self._generate([row], options, report, cancelled)[0]

        yield from self._generation.stream(run)

    def describe(self) -> dict[str, str]:
        once = "each goes through the vision tower once"
        if self._reader.why_not:
            once += f"; the language model reads it again with every question ({self._reader.why_not})"
        else:
            once += ", and the language model reads it once"
        again = f"each is processed once, but encoded again with every question ({self._why_not})"
        return {
            "name": self.name,
            "model": type(self.model).__name__,
            "revision": self.revision,
            "weights": self._directory.digest,
            "context": f"{self.context} tokens",
            "pictures": once if self._feature_method is not None else again,
            **self._choices,
        }

    def close(self) -> None:
        """Let go of the model and everything that was kept."""
        with self.lock:
            self._known.clear()
            self._pictures.forget()
            self._reader.store.clear()
            self.model = self._reader.model = None
            self._feature_method = None

    # -- means ------------------------------------------------------------------------------------------------------

    def _conversation(self, question: VisualQuestion) -> list[TemplateTurn]:
        """Each picture before the words of the turn it came up in. Raises UsageError for too many."""
        turn, tools = self._prompts.TemplateTurn, question.tools
        marks = self._marks if tools is None else (*self._marks, *TOOL_MARKS)
        used: dict[int, list[Used]] = {}
        for number, words, calls in tools.used if tools else ():
            results = (
                replace(one, arguments=without(one.arguments, marks), result=without(one.result or "", marks))
                for one in calls
            )
            used.setdefault(number, []).append((without(words, marks), tuple(results)))
        turns = [
            turn(
                pictures,
                without(words, marks),
                None if answer is None else without(answer, marks),
                tuple(used.get(number, ())),
            )
            for number, (pictures, words, answer) in enumerate(self._turns(question))
        ]
        if tools is None:
            return turns
        begun = "" if tools.choice == "auto" else beginning(self.template, tools.choice)
        return [*turns[:-1], replace(turns[-1], tools=tools.offered, begun=begun)]

    def _limited(self, options: GenerationOptions) -> GenerationOptions:
        """With an answer of at most half of what the model reads at once."""
        return replace(options, max_new_tokens=min(max(options.max_new_tokens, 1), max(self.context // 2, 1)))

    def _fitting(self, turns: list[TemplateTurn], options: GenerationOptions) -> PromptRow:
        """Drop the oldest words until prompt and answer fit. Raises BackendError if they never do."""
        limit = self.context - options.max_new_tokens
        dropped = 0
        while True:
            row = self._prepare(turns)
            if len(row) <= limit:
                break
            if len(turns) == 1:
                raise BackendError(
                    f"the pictures and the question take {len(row)} tokens, and beside the answer the model reads "
                    f"{limit}; ask about fewer or smaller pictures, shorter, or for a shorter answer."
                )
            turns, dropped = self._prompts.without_oldest(turns), dropped + 1
        if dropped:
            what = "exchange was" if dropped == 1 else f"{dropped} exchanges were"
            self._notify(
                f"the conversation is longer than the {self.context} tokens the model can read: the oldest {what} "
                "left out; pictures stay."
            )
        return row

    def _prepare(self, turns: Sequence[TemplateTurn]) -> PromptRow:
        with self._answering("prepare a question"):
            return self._prompts.prepare(self.processor, self.template, turns)

    def _reply(self, rows: Sequence[PromptRow], options: GenerationOptions) -> list[Reply]:
        """In one batch if possible, in halves if memory runs out. Raises BackendError."""
        if len(rows) > 1 and any(picture.features is None for row in rows for picture in row.pictures):
            return [reply for row in rows for reply in self._reply([row], options)]
        return self._in_halves(lambda some: self._generate(some, options), rows, "question")

    def _in_halves(self, work: Callable[[Sequence[T]], list[R]], items: Sequence[T], what: str) -> list[R]:
        def free() -> bool:
            with self.lock:
                return self._reader.store.clear()

        return self._generation.in_halves(work, items, what, free=free, notify=self._notify)

    def _generate(
        self,
        rows: Sequence[PromptRow],
        options: GenerationOptions,
        report: Callable[[str], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> list[Reply]:
        with self._answering("answer"):
            prepared = self._inputs(rows)
            if prepared is None:
                return [reply for row in rows for reply in self._generate([row], options)]
            reading, inputs = prepared
            decoders = [self._generation.StreamDecoder(self.tokenizer) for _ in rows]
            recorder = self._generation.DecodingOptions(token_scores=options.token_scores).recorder(len(rows))
            listener = self._generation.Listener(decoders, self._eos_token_ids, report, cancelled, recorder)
            replies = self._prompts.generate_replies(self.model, rows, inputs, listener, options, self._reader.pad)
            if reading is not None:
                self._reader.keep(reading)
            return replies

    def _inputs(self, rows: Sequence[PromptRow]) -> tuple[Reading | None, dict[str, Any]] | None:
        """What is read of the rows, and arguments of generate(); None if they cannot be one batch."""
        if any(picture.features is None for row in rows for picture in row.pictures):
            return None, self._reader.place(rows[0].inputs)
        reading = self._reader.begin(rows)
        return None if reading is None else (reading, reading.arguments)

    @contextmanager
    def _answering(self, what: str) -> Iterator[None]:
        """Hold the lock, compute without gradients, and turn the model's errors into one line."""
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
