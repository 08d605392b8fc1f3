"""BLIP-2 as model and loss: with OPT rows of picture, prompt and text; with Flan-T5 an encoder and a decoder.

What `encode` returns, and what a feature store keeps, is the output of the last part that stays as it is: of the vision
tower if the Q-Former is trained, else of the Q-Former.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from training.packing import Words, groups_of
from training.tasks import Layout, TrainingTask, decoder_work


class Blip2Task(TrainingTask):
    """A BLIP-2 with OPT. `trains_qformer`: the Q-Former, or LoRA in it, is trained."""

    def __init__(self, model: Any, *, trains_qformer: bool) -> None:
        language_model, projection = model.language_model, model.language_projection
        model.language_model = model.language_projection = None  # they belong to the task, and are counted once
        super().__init__(language_model, projection, model, pictures=int(model.config.num_query_tokens))
        self.trains_qformer = trains_qformer

    def encode(self, pixel_values: Tensor) -> Tensor:
        """Encode (B, 3, size, size), normalised, to what stays the same, (B, tokens, width); see this module."""
        vision: Any = self.vision
        weight = next(vision.vision_model.parameters())
        with torch.no_grad():
            pixel_values = pixel_values.to(weight.device, weight.dtype)
            hidden: Tensor = vision.vision_model(pixel_values=pixel_values).last_hidden_state
            return hidden if self.trains_qformer else self._queried(hidden)

    def project(self, features: Tensor) -> Tensor:
        """Project (S, tokens, width) to the embeddings of the pictures, (S, pictures, hidden)."""
        features = self._queried(features) if self.trains_qformer else features
        weight = self.language_projection.weight
        projected: Tensor = self.language_projection(features.to(weight.device, weight.dtype))
        return projected

    def learning(self) -> None:
        """Set training mode: dropout of LoRA and of a trained Q-Former. The language model was opened without any."""
        self.eval()
        self.language_model.train()
        if self.trains_qformer and self.vision is not None:
            self.vision.qformer.train()

    def work(self, rows: Any) -> float:
        """Return the floating-point operations of one training step on `rows`, without padding and vision tower."""
        return decoder_work(self.language_model, rows) + self._query_work(len(rows.order))

    def _queried(self, hidden: Tensor) -> Tensor:
        """Return the Q-Former's output (S, queries, width) for that of the vision tower."""
        vision: Any = self.vision
        queries = vision.query_tokens.expand(len(hidden), -1, -1)
        hidden = hidden.to(queries.device, queries.dtype)
        found: Tensor = vision.qformer(query_embeds=queries, encoder_hidden_states=hidden).last_hidden_state
        return found

    def _query_work(self, pictures: int) -> float:
        """Return the operations of a trained Q-Former: forward, and gradients of activations and weights."""
        if not self.trains_qformer or self.vision is None:
            return 0.0
        weights = sum(value.numel() for value in self.vision.qformer.parameters() if value.ndim == 2)
        return 3 * 2.0 * weights * self.pictures * pictures


@dataclass(frozen=True, slots=True)
class EncoderRows:
    """Samples for an encoder and a decoder: `S` rows, padded on the right."""

    order: tuple[int, ...]  # S
    ids: Tensor  # (S, L) of the prompt, which follows the picture
    mask: Tensor  # (S, L) 1 for tokens
    inputs: Tensor  # (S, T) of the decoder: its beginning, then the target without its last token
    kept: Tensor  # (S, T) True where the next token is a target
    targets: Tensor  # (N,) token ids
    owners: Tensor  # (N,) number of the sample in `order`

    def to(self, device: torch.device | str) -> EncoderRows:
        """Return the same rows on `device`."""
        tensors = {name: value for name in self.__slots__ if isinstance(value := getattr(self, name), Tensor)}
        return replace(self, **{name: value.to(device, non_blocking=True) for name, value in tensors.items()})


class Blip2T5Task(Blip2Task):
    """A BLIP-2 with Flan-T5."""

    why_not_packed = "an encoder sees its whole row, so each sample has one"

    def forward(self, rows: EncoderRows, features: Tensor) -> Tensor:
        """Return the cross-entropy of each target token, (N,), float32; `features` (S, tokens, width)."""
        text = self.language_model.get_input_embeddings()(rows.ids)
        pictures = self.project(features).to(text.dtype)
        mask = torch.cat([rows.mask.new_ones(pictures.shape[:2]), rows.mask], 1)
        logits = self.language_model(
            inputs_embeds=torch.cat([pictures, text], 1),
            attention_mask=mask,
            decoder_input_ids=rows.inputs,
            use_cache=False,
        ).logits[rows.kept]
        return F.cross_entropy(logits.float(), rows.targets, reduction="none")

    def layouts(self, words: Sequence[Words], size: int, budget: int) -> Iterator[Layout]:
        """Yield a batch in layouts of at most `budget` places of both sides; samples never share a row."""
        for group in groups_of([one.length(self.pictures) for one in words], 0, budget):
            yield self._rows(words, tuple(sample for row in group for sample in row))

    def work(self, rows: EncoderRows) -> float:
        """Return the floating-point operations of one training step on `rows`, without padding and vision tower."""
        model = self.language_model
        sides = [
            (model.encoder, int(rows.mask.sum()) + self.pictures * len(rows.order)),
            (model.decoder, len(rows.targets)),
        ]
        linear = sum(
            tokens
            * sum(one.numel() for name, one in side.block.named_parameters() if one.ndim == 2 and "lora_" not in name)
            for side, tokens in sides
        )
        head = model.lm_head.weight.numel() * len(rows.targets)
        return 2 * 2.0 * (linear + head) + self._query_work(len(rows.order))

    def _rows(self, words: Sequence[Words], order: tuple[int, ...]) -> EncoderRows:
        begin = int(self.language_model.config.decoder_start_token_id or 0)
        chosen = [words[sample] for sample in order]
        longest = max(len(one.after) for one in chosen)
        reach = max(len(one.target) for one in chosen)
        prompts = [(*one.after, *[0] * (longest - len(one.after))) for one in chosen]
        inputs = [(begin, *one.target[:-1], *[begin] * (reach - len(one.target))) for one in chosen]
        kept = [[place < len(one.target) for place in range(reach)] for one in chosen]
        mask = [[int(place < len(one.after)) for place in range(longest)] for one in chosen]
        return EncoderRows(
            order,
            torch.tensor(prompts),
            torch.tensor(mask),
            torch.tensor(inputs),
            torch.tensor(kept),
            torch.tensor([token for one in chosen for token in one.target]),
            torch.tensor([number for number, one in enumerate(chosen) for _ in one.target]),
        )
