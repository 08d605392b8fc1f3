"""Ask a MiniGPT-4: every picture is encoded once, and nothing that the language model has read is read again.

A conversation becomes one row of tokens with pictures in between. What an earlier question or turn left behind (keys
and values of the longest common prefix) is taken over; only the rest is computed. Several questions about one picture
share the prefix within a batch. Rows differ in length: they are padded on the left, and one that is done leaves.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import torch
from torch import Tensor
from transformers import DynamicCache, StoppingCriteria, StoppingCriteriaList

from core.errors import BackendError
from plugins.minigpt4.runtime.conversation import VICUNA, Format, ImageTokens, PromptTurns
from plugins.minigpt4.runtime.decoding import GREEDY, Chooser, DecodingOptions
from plugins.minigpt4.runtime.prefixes import Key, PrefixStore, common_prefix, joined, padded, taken
from plugins.minigpt4.runtime.rows import Answer, Event, GenerationRow, RowDone, RowNotice, RowText, RowWriter

CACHE_BYTES: Final = 1 << 30  # a 7B model in 16 bit keeps about 2,000 tokens in it
T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class Counts:
    """What was computed and what was not, for tests and benchmarks."""

    pictures: int = 0  # seen by the vision tower
    read: int = 0  # prompt tokens that went through the language model, without padding
    reused: int = 0  # prompt tokens taken from an earlier question
    prefills: int = 0
    steps: int = 0


class Engine:
    """A `Blip2ForConditionalGeneration` with a decoder-only language model, and its tokenizer. Thread-safe.

    `context` limits prompt and answer together (default: what the language model was made for), `cache_bytes` what is
    kept for later questions, and `notify` hears of things the user should know (default: the log).
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        format: Format = VICUNA,
        *,
        context: int | None = None,
        cache_bytes: int = CACHE_BYTES,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        config = model.config
        if not getattr(config, "use_decoder_only_language_model", True):
            raise BackendError(
                f"the language model is a {config.text_config.model_type}, which reads its prompt with an encoder; "
                "MiniGPT-4 needs a decoder-only one such as Llama."
            )
        self.model = model
        self.language_model = model.language_model
        self.tokenizer = tokenizer
        self.format = format
        self.context: int = min(context or 1 << 30, config.text_config.max_position_embeddings)
        self.rows = RowWriter(tokenizer, format, self.context)
        self.notify = notify or logging.getLogger("inquisight").warning
        self.counts = Counts()
        self.store = PrefixStore(cache_bytes)
        self.lock = threading.RLock()
        self.embed = self.language_model.get_input_embeddings()
        self.ends = self._end_tokens()
        # Rows the language model never learned to say: the picture's placeholder and those without a token.
        vocabulary: int = self.embed.weight.shape[0]
        nameless = range(len(tokenizer), vocabulary)
        self.never = sorted({*nameless, config.image_token_index} & set(range(vocabulary)))

    def _end_tokens(self) -> list[int]:
        ids = set(self.format.stops) & set(self.tokenizer.get_vocab())
        found = {self.tokenizer.convert_tokens_to_ids(text) for text in ids}
        for owner in (self.model.generation_config, self.language_model.generation_config, self.tokenizer):
            value = getattr(owner, "eos_token_id", None)
            found |= set(value) if isinstance(value, list | tuple) else {value}
        return sorted(token for token in found if token is not None)

    # -- pictures ---------------------------------------------------------------------------------------------------

    def encode(self, pixel_values: Tensor) -> list[Tensor]:
        """(B, 3, height, width), normalised -> B tensors (tokens, hidden). Each picture is looked at once."""

        def look(pixels: Sequence[Tensor]) -> list[Tensor]:
            weight = next(self.model.vision_model.parameters())
            with self._computing():
                batch = torch.stack(list(pixels)).to(weight.device, weight.dtype)
                tokens = self.model.get_image_features(batch).pooler_output
                self.counts.pictures += len(batch)
                return [row.clone() for row in tokens.to(self.embed.weight.device, self.embed.weight.dtype)]

        return self._in_halves(look, list(pixel_values), "pictures")

    def close(self) -> None:
        """Release the model; the engine is not used afterwards."""
        with self.lock:
            self.store.clear()
            self.model = self.language_model = self.embed = None

    # -- answers ----------------------------------------------------------------------------------------------------

    def answer(self, conversations: Sequence[PromptTurns], options: DecodingOptions = GREEDY) -> list[Answer]:
        """One answer per conversation, each with an open question at its end, in order.

        Where the memory runs out the batch is halved once, which is said. Raises BackendError.
        """

        def run(rows: Sequence[PromptTurns]) -> list[Answer]:
            done = [event for event in self._events(rows, options) if isinstance(event, RowDone)]
            return [event.answer for event in sorted(done, key=lambda event: event.row)]

        answers = self._in_halves(run, conversations, "questions")
        for notice in dict.fromkeys(notice for answer in answers for notice in answer.notices):
            self.notify(notice)
        return answers

    def events(self, conversations: Sequence[PromptTurns], options: DecodingOptions = GREEDY) -> Iterator[Event]:
        """The same as a stream of notices, pieces of text as they become certain, and ends. Raises BackendError."""
        try:
            yield from self._events(conversations, options)
        except torch.OutOfMemoryError as error:
            raise self._no_memory(len(conversations), "questions") from error

    def pieces(self, conversation: PromptTurns, options: DecodingOptions = GREEDY) -> Iterator[str | Answer]:
        """The answer in pieces; joined they equal the text of the Answer, which comes last."""
        for event in self.events([conversation], options):
            if isinstance(event, RowText):
                yield event.text
            elif isinstance(event, RowNotice):
                self.notify(event.text)
            else:
                yield event.answer

    def stream(self, conversation: PromptTurns, options: DecodingOptions = GREEDY) -> Iterator[str]:
        """The answer in pieces; joined they equal `answer([conversation])[0].text`."""
        yield from (piece for piece in self.pieces(conversation, options) if isinstance(piece, str))

    def forget(self) -> None:
        """Let go of everything that was kept for later questions."""
        with self.lock:
            self.store.clear()

    def _embed(self, row: GenerationRow, start: int, end: int) -> Tensor:
        """(end - start, hidden) of a row's tokens."""
        pieces: list[Tensor] = []
        place = 0
        for part in row.parts:
            first, last = max(start - place, 0), min(end - place, len(part))
            if first < last:
                if isinstance(part, ImageTokens):
                    weight = self.embed.weight
                    pieces.append(part.tokens[first:last].to(weight.device, weight.dtype))
                else:
                    pieces.append(self.embed(torch.tensor(part[first:last], device=self.embed.weight.device)))
            place += len(part)
        return torch.cat(pieces)

    # -- reading ----------------------------------------------------------------------------------------------------

    def _read(self, spans: Sequence[tuple[GenerationRow, int]]) -> tuple[DynamicCache, Tensor, Tensor]:
        """Read the first `end` tokens of each row, taking over what is known.

        Returns the cache, which of its places hold tokens (B, places), and the last token's logits (B, vocabulary).
        """
        known = []
        for row, end in spans:
            prefix, length = self.store.find(row.keys[:end])
            known.append((prefix, min(length, end - 1)))  # one token at least has to be read for its logits
        past = max(length for _, length in known)
        longest = max(end - length for (_, end), (_, length) in zip(spans, known, strict=True))
        cache = joined(known, past)
        rows, marks = [], []
        for (row, end), (_, length) in zip(spans, known, strict=True):
            new = self._embed(row, length, end)
            rows.append(padded(new, longest))
            marks.append([0] * (past - length) + [1] * length + [0] * (longest - len(new)) + [1] * len(new))
            self.counts.read += len(new)
            self.counts.reused += length
        self.counts.prefills += 1
        mask = torch.tensor(marks, device=rows[0].device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, past:]
        return cache, mask, self._forward(torch.stack(rows), mask, positions, cache)

    def _forward(self, embeds: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache) -> Tensor:
        output = self.language_model(
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1].to(self.embed.weight.device)
        return logits

    def _share(self, rows: Sequence[GenerationRow]) -> set[int]:
        """Read once what several rows about one picture have in common. Returns the rows that stand alone."""
        groups: dict[tuple[Key, ...], list[GenerationRow]] = {}
        for row in rows:
            groups.setdefault(row.keys[: row.head], []).append(row)
        wanted: list[tuple[GenerationRow, int]] = []
        for group in groups.values():
            first = group[0]
            shared = min((common_prefix(first.keys, other.keys) for other in group[1:]), default=0)
            if len(group) > 1 and self.store.find(first.keys[:shared])[1] < shared:
                wanted.append((first, shared))
        if wanted:
            cache, mask, _ = self._read(wanted)
            for place, (row, end) in enumerate(wanted):
                self.store.add(taken(row.keys[:end], cache, mask, place))
        return {group[0].number for group in groups.values() if len(group) == 1}

    # -- saying -----------------------------------------------------------------------------------------------------

    def _events(self, conversations: Sequence[PromptTurns], options: DecodingOptions) -> Iterator[Event]:
        if not conversations:
            return
        rows = [
            self.rows.row(number, conversation, options.max_new_tokens)
            for number, conversation in enumerate(conversations)
        ]
        for row in rows:
            yield from (RowNotice(row.number, notice) for notice in row.notices)
        if options.num_beams > 1:
            yield from self._beams(rows, options)
        else:
            yield from self._steps(rows, options)

    def _steps(self, rows: list[GenerationRow], options: DecodingOptions) -> Iterator[Event]:
        """One token per row and step. The lock is held for a step, never while a caller holds the generator."""
        device = self.embed.weight.device
        chooser = Chooser(options, len(rows), ends=self.ends, never=self.never, device=device)
        with self._computing():
            alone = self._share(rows)
            cache, mask, logits = self._read([(row, len(row.keys)) for row in rows])
        active = list(rows)
        said = torch.empty((len(rows), 0), dtype=torch.long, device=device)
        whole = True  # the cache holds every token that the mask marks
        try:
            while True:
                with self._computing():
                    tokens = chooser(logits, said, [row.number for row in active])
                    said = torch.cat([said, tokens[:, None]], dim=-1)
                    chosen = tokens.tolist()
                going: list[int] = []
                for place, (row, token) in enumerate(zip(active, chosen, strict=True)):
                    text, over = self._hear(row, token)
                    if text:
                        yield RowText(row.number, text)
                    if not over:
                        going.append(place)
                        continue
                    with self._computing():
                        self._keep_conversation(row, alone, cache, mask, place)
                    yield RowDone(row.number, row.answer())
                if not going:
                    active = []
                    return
                with self._computing():
                    if len(going) < len(active):
                        places = torch.tensor(going, device=device)
                        cache.batch_select_indices(places)
                        mask, said, tokens = mask[places], said[places], tokens[places]
                        active = [active[place] for place in going]
                    positions = mask.sum(-1, keepdim=True)
                    mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=-1)
                    whole = False
                    logits = self._forward(self.embed(tokens[:, None]), mask, positions, cache)
                    whole = True
                    self.counts.steps += 1
        finally:
            # a reader who leaves early still comes back for the next turn
            if active and whole:
                with self._computing():
                    for place, row in enumerate(active):
                        self._keep_conversation(row, alone, cache, mask, place)

    def _hear(self, row: GenerationRow, token: int) -> tuple[str, bool]:
        """The text that a token made certain, and whether the row ends with it."""
        speech = row.speech
        if token in self.ends:
            text = speech.close()
            speech.stopped = True
            return text, True
        text = speech.feed(token)
        if speech.stopped:
            return text, True
        if len(speech.ids) >= row.limit:
            return text + speech.close(), True
        return text, False

    def _keep_conversation(
        self, row: GenerationRow, alone: set[int], cache: DynamicCache, mask: Tensor, place: int
    ) -> None:
        """For the next turn. Not for one of several questions about a picture: their common part is kept already."""
        if row.number in alone:
            read = int(mask[place].sum())
            self.store.add(taken((*row.keys, *row.speech.ids)[:read], cache, mask, place))

    def _beams(self, rows: list[GenerationRow], options: DecodingOptions) -> Iterator[Event]:
        """Beam search by transformers itself, without reuse; the text is told at once."""
        sampling: dict[str, Any] = {"do_sample": options.do_sample}
        if options.do_sample:
            sampling |= {"temperature": options.temperature, "top_p": options.top_p, "top_k": options.top_k}
        device = self.embed.weight.device
        devices = [device] if device.type == "cuda" else []
        with self._computing(), torch.random.fork_rng(devices, enabled=options.seed is not None):
            if options.seed is not None:
                torch.manual_seed(options.seed)
            longest = max(len(row.keys) for row in rows)
            embeds = torch.stack([padded(self._embed(row, 0, len(row.keys)), longest) for row in rows])
            mask = torch.tensor([[0] * (longest - len(row.keys)) + [1] * len(row.keys) for row in rows], device=device)
            with warnings.catch_warnings():
                # it would tell what the original meant anyway: a penalty on the answer's own tokens
                warnings.filterwarnings("ignore", message="Passing `repetition_penalty`")
                ids = self.language_model.generate(
                    inputs_embeds=embeds,
                    attention_mask=mask,
                    max_new_tokens=rows[0].limit,
                    num_beams=options.num_beams,
                    length_penalty=options.length_penalty,
                    repetition_penalty=options.repetition_penalty,
                    min_new_tokens=options.min_length or None,
                    suppress_tokens=self.never or None,
                    eos_token_id=self.ends or None,
                    pad_token_id=self.tokenizer.pad_token_id or 0,
                    stopping_criteria=StoppingCriteriaList([_Stops(self.tokenizer, self.format.stops)]),
                    **sampling,
                )
        for row, line in zip(rows, ids.tolist(), strict=True):
            for token in line:
                text, over = self._hear(row, token)
                if text:
                    yield RowText(row.number, text)
                if over:
                    break
            else:
                yield RowText(row.number, row.speech.close())
            yield RowDone(row.number, row.answer())

    # -- means ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _computing(self) -> Iterator[None]:
        with self.lock, torch.inference_mode():
            yield

    def _in_halves(self, work: Callable[[Sequence[T]], list[R]], items: Sequence[T], what: str) -> list[R]:
        """`work(items)`; where memory does not suffice, once more in two halves without what was kept, and say so."""
        if not items:
            return []
        try:
            return work(items)
        except torch.OutOfMemoryError:
            pass  # outside of this block, so that the failed batch's tensors are gone
        self._free()
        half = (len(items) + 1) // 2
        if len(items) > 1:
            self.notify(f"not enough memory for {len(items)} {what} at a time: going on with {half} at a time.")
        else:
            self.notify("not enough memory: what was kept for later questions was let go, and this is tried again.")
        try:
            return [result for start in range(0, len(items), half) for result in work(items[start : start + half])]
        except torch.OutOfMemoryError as error:
            self._free()
            raise self._no_memory(half, what) from error

    def _free(self) -> None:
        self.forget()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @staticmethod
    def _no_memory(count: int, what: str) -> BackendError:
        return BackendError(
            f"not enough memory for {count} {what} at a time; take fewer, a shorter conversation or answer, "
            "or load the model in 8 or 4 bit."
        )


class _Stops(StoppingCriteria):  # type: ignore[misc]
    """A row has ended when its last tokens hold a stop string."""

    def __init__(self, tokenizer: Any, stops: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.stops = stops

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        tails = self.tokenizer.batch_decode(input_ids[:, -8:], clean_up_tokenization_spaces=False)
        return torch.tensor([any(stop in tail for stop in self.stops) for tail in tails], device=input_ids.device)
