"""Ask a BLIP-2: each picture is encoded once; with OPT its keys and values serve every question about it.

OPT reads picture and question in one go, left padded, and is asked by the engine of MiniGPT-4, which is a BLIP-2 too.
Flan-T5 reads them with an encoder, in which every token sees every other: nothing read earlier could be taken over
but the picture's tokens themselves. Its rows are padded on the right.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from plugins.blip2.prompts import FORMAT, Blip2Rows
from plugins.minigpt4.runtime.decoding import Chooser, DecodingOptions
from plugins.minigpt4.runtime.engine import CACHE_BYTES, Counts, Engine
from plugins.minigpt4.runtime.prefixes import PrefixStore
from plugins.minigpt4.runtime.rows import Event, GenerationRow, RowDone, RowText

T5_TOKENS: Final = 512  # what T5 was trained with; its relative positions allow more, it never saw that


class OptEngine(Engine):
    """A BLIP-2 with a decoder-only language model, and its tokenizer. Thread-safe."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        caption: str = "",
        *,
        context: int | None = None,
        cache_bytes: int = CACHE_BYTES,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(model, tokenizer, FORMAT, context=context, cache_bytes=cache_bytes, notify=notify)
        self.rows = Blip2Rows(tokenizer, self.context, caption)


class T5Engine(Engine):
    """A BLIP-2 with Flan-T5, and its tokenizer. Thread-safe. Greedy or sampled, without beams."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        caption: str = "",
        *,
        context: int | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        # Not the parent's, which refuses a model with an encoder: it could not take over what was read before.
        self.model = model
        self.language_model = model.language_model
        self.tokenizer = tokenizer
        self.format = FORMAT
        self.context = context or int(getattr(model.config.text_config, "n_positions", T5_TOKENS))
        self.rows = Blip2Rows(tokenizer, self.context, caption, encoder=True)
        self.notify = notify or logging.getLogger("inquisight").warning
        self.counts = Counts()
        self.store = PrefixStore(0)
        self.lock = threading.RLock()
        self.embed = self.language_model.get_input_embeddings()
        self.ends = self._end_tokens()
        self.never = sorted(range(len(tokenizer), int(self.embed.weight.shape[0])))

    def _steps(self, rows: list[GenerationRow], options: DecodingOptions) -> Iterator[Event]:
        """One token per row and step. The lock is held for a step, never while a caller holds the generator."""
        device = self.embed.weight.device
        chooser = Chooser(options, len(rows), ends=self.ends, never=self.never, device=device)
        start = self.language_model.config.decoder_start_token_id
        with self._computing():
            seen, mask = self._encode_prompts(rows)
            cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        active = list(rows)
        said = torch.empty((len(rows), 0), dtype=torch.long, device=device)
        tokens = torch.full((len(rows),), start, dtype=torch.long, device=device)
        while True:
            with self._computing():
                logits = self._step(tokens, seen, mask, cache)
                tokens = chooser(logits, said, [row.number for row in active])
                said = torch.cat([said, tokens[:, None]], dim=-1)
                self.counts.steps += 1
                chosen = tokens.tolist()
            going: list[int] = []
            for place, (row, token) in enumerate(zip(active, chosen, strict=True)):
                text, over = self._hear(row, token)
                if text:
                    yield RowText(row.number, text)
                if over:
                    yield RowDone(row.number, row.answer())
                else:
                    going.append(place)
            if not going:
                return
            if len(going) < len(active):
                with self._computing():
                    places = torch.tensor(going, device=device)
                    cache.batch_select_indices(places)
                    seen, mask, said, tokens = seen[places], mask[places], said[places], tokens[places]
                active = [active[place] for place in going]

    def _encode_prompts(self, rows: list[GenerationRow]) -> tuple[Tensor, Tensor]:
        """What the encoder makes of the rows (B, tokens, hidden), padded on the right, and which of it counts."""
        longest = max(len(row.keys) for row in rows)
        embeds = [F.pad(self._embed(row, 0, len(row.keys)), (0, 0, 0, longest - len(row.keys))) for row in rows]
        mask = torch.tensor(
            [[1] * len(row.keys) + [0] * (longest - len(row.keys)) for row in rows], device=embeds[0].device
        )
        self.counts.prefills += 1
        self.counts.read += int(mask.sum())
        encoder = self.language_model.get_encoder()
        seen: Tensor = encoder(inputs_embeds=torch.stack(embeds), attention_mask=mask).last_hidden_state
        return seen, mask

    def _step(self, tokens: Tensor, seen: Tensor, mask: Tensor, cache: EncoderDecoderCache) -> Tensor:
        output = self.language_model(
            decoder_input_ids=tokens[:, None],
            encoder_outputs=BaseModelOutput(last_hidden_state=seen),
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        )
        logits: Tensor = output.logits[:, -1].to(self.embed.weight.device)
        return logits
