"""Ask a MiniGPT-4: every picture is encoded once, and nothing that the language model has read is read again.

A conversation becomes one row of tokens with pictures in between. Keys and values that earlier questions left for its
longest known prefix are reused; only the rest is computed. Several questions about one picture share the prefix within
a batch. Rows of different lengths are padded on the left.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache

from core.vision import Reply
from plugins.hf.generation import (
    GREEDY,
    DecodingOptions,
    Listener,
    Sampler,
    StreamDecoder,
    eos_token_ids,
    generate,
    in_halves,
    stream,
)
from plugins.hf.scoring import QUESTIONS, Spelt, closing_tokens, spelt, token_texts
from plugins.minigpt4.runtime.conversation import VICUNA, Format, ImageTokens, PromptTurns, clean
from plugins.minigpt4.runtime.prefixes import Key, PrefixStore, common_prefix, concat_caches, padded, slice_cache
from plugins.minigpt4.runtime.rows import GenerationRow, RowWriter
from plugins.minigpt4.runtime.scores import ChoiceReader, Choices, grouped

PICTURES: Final = 8  # whose questions are scored in one pass
CACHE_BYTES: Final = 1 << 30  # a 7B model in 16 bit keeps about 2,000 tokens in it
# `answer_prepare` and `demo.py` of the original; top_k was not set there, so that transformers' default of 50 held.
ORIGINAL: Final = DecodingOptions(do_sample=True, top_p=0.9, top_k=50, repetition_penalty=1.05, min_length=1)


@dataclass(slots=True)
class Counts:
    """What was computed and what was not, for tests and benchmarks."""

    pictures: int = 0  # encoded by the vision tower
    read: int = 0  # prompt tokens that went through the language model, without padding
    reused: int = 0  # prompt tokens taken from an earlier question
    prefills: int = 0


class Engine:
    """A `Blip2ForConditionalGeneration` with a decoder-only language model, and its tokenizer. Thread-safe.

    `context` limits prompt and answer together (default: what the language model was made for), `cache_bytes` what is
    kept for later questions. `notify` receives what the user should know (default: the log).
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
        text_config = model.config.text_config
        positions = getattr(text_config, "max_position_embeddings", None) or getattr(text_config, "n_positions", 512)
        self.model = model
        self.language_model = model.language_model
        self.tokenizer = tokenizer
        self.format = format
        self.context = min(context or 1 << 30, int(positions or 0))
        self.rows = RowWriter(tokenizer, format, self.context)
        self.notify = notify or logging.getLogger("inquisight").warning
        self.counts = Counts()
        self.store = PrefixStore(cache_bytes)
        self.lock = threading.RLock()
        self.embed = self.language_model.get_input_embeddings()
        stops = set(format.stops) & set(tokenizer.get_vocab())
        found = eos_token_ids(model.generation_config, self.language_model.generation_config, tokenizer)
        self.eos_token_ids = sorted(found | {tokenizer.convert_tokens_to_ids(text) for text in stops})
        # The language model was never trained on the picture's placeholder and on rows without a token.
        vocabulary: int = self.embed.weight.shape[0]
        nameless = range(len(tokenizer), vocabulary)
        self.suppress_tokens = sorted({*nameless, model.config.image_token_index} & set(range(vocabulary)))

    # -- pictures ---------------------------------------------------------------------------------------------------

    def encode(self, pixel_values: Tensor) -> list[Tensor]:
        """(B, 3, height, width), normalised -> B tensors (tokens, hidden)."""

        def encode(pixels: Sequence[Tensor]) -> list[Tensor]:
            weight = next(self.model.vision_model.parameters())
            with self._computing():
                batch = torch.stack(list(pixels)).to(weight.device, weight.dtype)
                tokens = self.model.get_image_features(batch).pooler_output
                self.counts.pictures += len(batch)
                return [row.clone() for row in tokens.to(self.embed.weight.device, self.embed.weight.dtype)]

        return in_halves(encode, list(pixel_values), "picture", free=self.forget, notify=self.notify)

    def close(self) -> None:
        """Release the model; the engine is not used afterwards."""
        with self.lock:
            self.store.clear()
            self.model = self.language_model = self.embed = None

    # -- answers ----------------------------------------------------------------------------------------------------

    def answer(self, conversations: Sequence[PromptTurns], options: DecodingOptions = GREEDY) -> list[Reply]:
        """One answer per conversation, each with an open question at its end, in order. Raises BackendError."""
        rows = [self.rows.row(conversation, options.max_new_tokens) for conversation in conversations]
        for notice in dict.fromkeys(notice for row in rows for notice in row.notices):
            self.notify(notice)
        work = partial(self._generate, options=options)
        return in_halves(work, rows, "question", free=self.forget, notify=self.notify)

    def pieces(self, conversation: PromptTurns, options: DecodingOptions = GREEDY) -> Iterator[str | Reply]:
        """The answer in pieces as they become certain; joined they are the text of the Reply, which comes last."""
        row = self.rows.row(conversation, options.max_new_tokens)
        for notice in row.notices:
            self.notify(notice)

        yield from stream(lambda report, cancelled: self._generate([row], options, report, cancelled)[0])

    def stream(self, conversation: PromptTurns, options: DecodingOptions = GREEDY) -> Iterator[str]:
        """The answer in pieces; joined they equal `answer([conversation])[0].text`."""
        yield from (piece for piece in self.pieces(conversation, options) if isinstance(piece, str))

    def score(self, conversations: Sequence[PromptTurns], choices: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        """Log-probabilities of the choices of each conversation's open question; see `VisionBackend.score`.

        Questions about one picture are read as one row, several pictures in one pass. Raises BackendError.
        """
        found = {one: tuple(self._spelt(one)) for each in choices for one in each}
        longest = max((len(ids) for spelt in found.values() for ids in spelt), default=0)
        rows = [self.rows.row(conversation, longest + 1) for conversation in conversations]
        for notice in dict.fromkeys(notice for row in rows for notice in row.notices):
            self.notify(notice)
        asked = [Choices(row, tuple(found[one] for one in each)) for row, each in zip(rows, choices, strict=True)]
        groups = grouped(asked, QUESTIONS)
        scores: dict[int, tuple[float, ...]] = {}
        for start in range(0, len(groups), PICTURES):
            some = groups[start : start + PICTURES]
            work = [[asked[place] for place in places] for places in some]
            result = in_halves(self._score, work, "question", free=self.forget, notify=self.notify)
            for places, values in zip(some, result, strict=True):
                scores.update(zip(places, values, strict=True))
        return [scores[place] for place in range(len(asked))]

    def _spelt(self, choice: str) -> list[Spelt]:
        def encode(text: str) -> list[int]:
            ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
            return ids

        return spelt(clean(choice, self.rows.forbidden), encode)

    def _score(self, groups: Sequence[Sequence[Choices]]) -> list[list[tuple[float, ...]]]:
        """The scores of each group, whose prompts begin with one picture."""
        with self._computing():
            reader = ChoiceReader(self.language_model, self.store, self._embed)
            scores = reader.scores(groups, self.closing, self.suppress_tokens)
            self.counts.prefills += 1
            self.counts.read += reader.read
            self.counts.reused += reader.reused
            return scores

    @cached_property
    def closing(self) -> Tensor:
        """The tokens that may follow an answer."""
        found = closing_tokens(token_texts(self.tokenizer), self.format.stops)
        return torch.tensor(sorted({*found, *self.eos_token_ids} - set(self.suppress_tokens)))

    def forget(self) -> bool:
        """Drop everything that was kept for later questions; whether there was anything."""
        with self.lock:
            return self.store.clear()

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

    def _inputs(self, spans: Sequence[tuple[GenerationRow, int]], *, reuse: bool = True) -> dict[str, Any]:
        """Inputs of generate() for the first `end` tokens of each row, with the cache of what was read before.

        The embeddings of cached places are zeros, which generate() skips.
        """
        known = []
        for row, end in spans:
            prefix, length = self.store.find(row.keys[:end]) if reuse else (None, 0)
            known.append((prefix, min(length, end - 1)))  # one token at least has to be read for its logits
        past = max(length for _, length in known)
        longest = past + max(end - length for (_, end), (_, length) in zip(spans, known, strict=True))
        rows, marks = [], []
        for (row, end), (_, length) in zip(spans, known, strict=True):
            new = self._embed(row, length, end)
            rows.append(padded(new, longest))
            marks.append([0] * (past - length) + [1] * length + [0] * (longest - past - len(new)) + [1] * len(new))
            self.counts.read += len(new)
            self.counts.reused += length
        self.counts.prefills += 1
        embeds = torch.stack(rows)
        mask = torch.tensor(marks, device=embeds.device)
        return {"inputs_embeds": embeds, "attention_mask": mask, "past_key_values": concat_caches(known, past)}

    def _read(self, spans: Sequence[tuple[GenerationRow, int]]) -> tuple[DynamicCache, Tensor, Tensor]:
        """Read the first `end` tokens of each row, reusing known prefixes.

        Returns the cache, which of its places hold tokens (B, places), and the last token's logits (B, vocabulary).
        """
        inputs = self._inputs(spans)
        cache, mask = inputs["past_key_values"], inputs["attention_mask"]
        past = cache.get_seq_length()
        output = self.language_model(
            inputs_embeds=inputs["inputs_embeds"][:, past:],
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0)[:, past:],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return cache, mask, output.logits[:, -1].to(self.embed.weight.device)

    def _share(self, rows: Sequence[GenerationRow]) -> list[int]:
        """Read once what several rows about one picture have in common. Returns the places of all other rows."""
        groups: dict[tuple[Key, ...], list[int]] = {}
        for place, row in enumerate(rows):
            groups.setdefault(row.keys[: row.head], []).append(place)
        spans: list[tuple[GenerationRow, int]] = []
        for first, *others in groups.values():
            keys = rows[first].keys
            shared = min((common_prefix(keys, rows[other].keys) for other in others), default=0)
            if others and self.store.find(keys[:shared])[1] < shared:
                spans.append((rows[first], shared))
        if spans:
            cache, mask, _ = self._read(spans)
            for place, (row, end) in enumerate(spans):
                self.store.add(slice_cache(row.keys[:end], cache, mask, place))
        return [group[0] for group in groups.values() if len(group) == 1]

    # -- generating -------------------------------------------------------------------------------------------------

    def _generate(
        self,
        rows: Sequence[GenerationRow],
        options: DecodingOptions,
        report: Callable[[str], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> list[Reply]:
        limit = rows[0].limit
        decoders = [StreamDecoder(self.tokenizer, self.format.stops) for _ in rows]
        listener = Listener(decoders, self.eos_token_ids, report, cancelled, options.recorder(len(rows)))
        with self._computing():
            if options.num_beams > 1:
                self._search_beams(rows, options, listener)
            else:
                alone, inputs = self._prompt(rows)
                sampler = Sampler(
                    options,
                    len(rows),
                    eos_token_ids=self.eos_token_ids,
                    suppress_tokens=self.suppress_tokens,
                    device=self.embed.weight.device,
                )
                pad = self.tokenizer.pad_token_id or 0
                generate(self.language_model, inputs, listener, sampler, max_new_tokens=limit, pad_token_id=pad)
                for place in alone:
                    self._keep(rows[place].keys, decoders[place].ids, inputs, place)
        return listener.replies([len(row.keys) for row in rows], limit)

    def _prompt(self, rows: Sequence[GenerationRow]) -> tuple[list[int], dict[str, Any]]:
        """The places of rows to keep for the next turn, and the inputs of generate()."""
        alone = self._share(rows)
        return alone, self._inputs([(row, len(row.keys)) for row in rows])

    def _keep(self, keys: tuple[Key, ...], generated: Sequence[int], inputs: dict[str, Any], place: int) -> None:
        """Store the keys and values of a prompt and of those generated tokens that were read."""
        cache, mask = inputs["past_key_values"], inputs["attention_mask"]
        steps = cache.get_seq_length() - mask.shape[1]
        read = (*keys, *generated)[: len(keys) + steps]
        self.store.add(slice_cache(read, cache, F.pad(mask, (0, steps), value=1), place))

    def _search_beams(self, rows: Sequence[GenerationRow], options: DecodingOptions, listener: Listener) -> None:
        """Beam search by transformers, without reuse; the text is reported at the end."""
        sampling: dict[str, Any] = {"do_sample": options.do_sample}
        if options.do_sample:
            sampling |= {"temperature": options.temperature, "top_p": options.top_p, "top_k": options.top_k}
        device = self.embed.weight.device
        inputs = self._inputs([(row, len(row.keys)) for row in rows], reuse=False)
        del inputs["past_key_values"]
        with (
            torch.random.fork_rng([device] if device.type == "cuda" else [], enabled=options.seed is not None),
            warnings.catch_warnings(),
        ):
            if options.seed is not None:
                torch.manual_seed(options.seed)
            # it warns about what the original meant: a penalty on the answer's own tokens
            warnings.filterwarnings("ignore", message="Passing `repetition_penalty`")
            ids = self.language_model.generate(
                **inputs,
                max_new_tokens=rows[0].limit,
                num_beams=options.num_beams,
                length_penalty=options.length_penalty,
                repetition_penalty=options.repetition_penalty,
                min_new_tokens=options.min_length or None,
                suppress_tokens=self.suppress_tokens or None,
                eos_token_id=self.eos_token_ids or None,
                pad_token_id=self.tokenizer.pad_token_id or 0,
                stop_strings=list(self.format.stops),
                tokenizer=self.tokenizer,
                **sampling,
            )
        for end in range(1, ids.shape[1] + 1):
            listener(ids[:, :end], None)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        with self.lock, torch.inference_mode():
            yield
