"""What a trainer needs of any model: a task with frozen and trained parts, the wording of its samples, its layouts.

opened = open_task(recipe, "cuda:0", "bfloat16")
[layout] = opened.task.layouts([opened.wording.words("a cat")], size=0, budget=8192)
values = opened.task(layout, opened.task.encode(pixels))      # cross-entropy of every target token, (N,)
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.datasets.samples.sample import Sample
from plugins.minigpt4.runtime.training_run import PROJECTION
from training.packing import PackingCost, Words, forwards, work_of
from training.recipes.base import Recipe


class PictureSettings(Protocol):
    """How pictures become numbers."""

    @property
    def image_size(self) -> int:
        """Pixels of a side."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Of the channels, subtracted."""

    @property
    def std(self) -> tuple[float, ...]:
        """Of the channels, by which is divided."""


class SampleWording(Protocol):
    """Texts as token ids."""

    recipe: Any
    tokenizer: Any
    end: str  # what ends a target, as text; "" if it is a special token

    def words(self, text: str, instruction: str | None = None, draw: str = "") -> Words:
        """Return one sample; `draw` decides what is drawn for it."""


def words_of(wording: SampleWording, sample: Sample, draw: str) -> Words:
    """Return a sample's token ids; of several answers to its question one is drawn."""
    return wording.words(sample.drawn_text(f"{wording.recipe.seed} {draw}"), sample.instruction, draw)


class Layout(Protocol):
    """Samples laid out in rows for one forward pass."""

    @property
    def order(self) -> tuple[int, ...]:
        """Which sample of the batch each of the `S` here is."""

    @property
    def owners(self) -> Tensor:
        """(N,): of each target token, the number of its sample in `order`."""

    def to(self, device: torch.device | str) -> Any:
        """Return the same rows on `device`."""


class TrainingTask(nn.Module):
    """Vision and language model with the trained parts. `vision` is None if cached features need nothing of it.

    Here for language models that only decode; one with an encoder has layouts of its own.
    """

    why_not_packed: str | None = None  # a reason, if samples can never share a row

    def __init__(self, language_model: Any, projection: nn.Module, vision: Any | None, *, pictures: int) -> None:
        super().__init__()
        self.language_model = language_model
        self.language_projection = projection
        self.vision = vision
        self.pictures = pictures  # tokens per picture

    @abstractmethod
    def encode(self, pixel_values: Tensor) -> Tensor:
        """Encode (B, 3, size, size), normalised, to what `project` takes, (B, tokens, width)."""

    @abstractmethod
    def project(self, features: Tensor) -> Tensor:
        """Project (S, tokens, width) to the embeddings of the pictures, (S, pictures, hidden)."""

    @abstractmethod
    def learning(self) -> None:
        """Set training mode for what is trained, and for recomputation."""

    @abstractmethod
    def work(self, rows: Any) -> float:
        """Return the floating-point operations of one training step on a layout, without padding."""

    def forward(self, rows: Any, features: Tensor) -> Tensor:
        """Return the cross-entropy of each target token, (N,), float32; `features` (S, tokens, width) as `rows.order`.

        The output layer is computed only for target tokens: with a vocabulary of 32,000 it takes most of the memory of
        a short caption.
        """
        model = self.language_model
        embedded = model.get_input_embeddings()(rows.ids)
        pictures = self.project(features).to(embedded.dtype)
        embedded = embedded.index_put((rows.picture_rows, rows.picture_columns), pictures)
        hidden = model.model(
            inputs_embeds=embedded, attention_mask=rows.mask(), position_ids=rows.positions, use_cache=False
        ).last_hidden_state
        logits = model.lm_head(hidden.flatten(0, 1)[rows.predicting])
        return F.cross_entropy(logits.float(), rows.targets, reduction="none")

    def layouts(self, words: Sequence[Words], size: int, budget: int) -> Iterator[Layout]:
        """Yield a batch in layouts of at most `budget` places, packed into rows of `size` (0: one sample per row)."""
        return forwards(words, self.pictures, size, budget)

    def generation_inputs(self, words: Words, features: Tensor) -> dict[str, Tensor]:
        """Return what `language_model.generate` reads: the prompt in `words` with its picture, (1, tokens, hidden)."""
        embed = self.language_model.get_input_embeddings()
        device = embed.weight.device
        before, after = (
            embed(torch.tensor(part, dtype=torch.long, device=device)) for part in (words.before, words.after)
        )
        prompt = torch.cat([before, self.project(features)[0].to(before.dtype), after])[None]
        mask = torch.ones(prompt.shape[:2], dtype=torch.long, device=device)
        return {"inputs_embeds": prompt, "attention_mask": mask}

    def learned(self) -> dict[str, nn.Parameter]:
        """Return the trained parameters by their names in the whole model, always in the same order."""
        named = {f"{PROJECTION}.{name}": value for name, value in self.language_projection.named_parameters()}
        named |= {f"language_model.{name}": value for name, value in self.language_model.named_parameters()}
        if self.vision is not None:
            named |= dict(self.vision.named_parameters())
        return {name: value for name, value in sorted(named.items()) if value.requires_grad}

    def work_of(self, lengths: Sequence[int], recipe: Recipe, world: int) -> PackingCost:
        """Return what these samples take in rows of their own and packed; see `training.packing.work_of`."""
        config = self.language_model.config
        return work_of(
            lengths,
            batch=max(1, recipe.batch // world),
            size=recipe.pack_tokens,
            budget=recipe.forward_tokens,
            linear=linear_weights(self.language_model) / config.num_hidden_layers,
            hidden=config.hidden_size,
        )


class OpenedTask(NamedTuple):
    """A task with all that a run needs beside it."""

    task: TrainingTask
    wording: SampleWording
    pictures: PictureSettings
    base: Path  # directory of the model
    digest: str  # of the model
    facts: Mapping[str, Any]  # for finished.json, from which the result is opened


def linear_weights(language_model: Any) -> int:
    """Return the weights in the matrices of a decoder's layers, without those of LoRA."""
    model = language_model.model
    named = getattr(model, "decoder", model).layers.named_parameters()
    return sum(value.numel() for name, value in named if value.ndim == 2 and "lora_" not in name)


def decoder_work(language_model: Any, rows: Any) -> float:
    """Return the floating-point operations of a training step of a frozen decoder on packed rows.

    Frozen weights need no gradient of their own: a linear layer costs forward plus activation gradient, twice the
    forward pass; attention three times, because both its factors have a gradient.
    """
    lengths = torch.bincount(rows.segments[rows.segments >= 0]).double()
    config = language_model.config
    head = language_model.lm_head.weight.numel()
    attention = 2 * float((lengths**2).sum()) * config.hidden_size * config.num_hidden_layers
    return 2 * 2.0 * (linear_weights(language_model) * rows.tokens + head * len(rows.targets)) + 3 * attention
