"""Score the choices of questions in one forward pass of a decoder-only language model, a row for each picture.

What is known of a picture from earlier questions is not read again, and what a row's questions have in common is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from plugins.hf.scoring import Question, ScoredRow, Spelt
from plugins.minigpt4.runtime.prefixes import (
    Prefix,
    PrefixStore,
    common_prefix,
    concat_caches,
    slice_cache,
)
from plugins.minigpt4.runtime.rows import GenerationRow


@dataclass(frozen=True, slots=True)
class Choices:
    """A prompt with the spellings of its choices."""

    row: GenerationRow
    spelt: tuple[tuple[Spelt, ...], ...]


@dataclass(slots=True)
class _Packed:
    """The row of one picture; the first `length` tokens of it are known."""

    row: ScoredRow
    first: GenerationRow
    prefix: Prefix | None
    length: int

    @property
    def new(self) -> int:
        return len(self.row) - self.length


def grouped(choices: Sequence[Choices], most: int) -> list[list[int]]:
    """Places of the prompts that begin with the same picture, at most `most` together."""
    groups: dict[Any, list[list[int]]] = {}
    for place, one in enumerate(choices):
        found = groups.setdefault(one.row.keys[: one.row.head], [[]])
        if len(found[-1]) == most:
            found.append([])
        found[-1].append(place)
    return [places for found in groups.values() for places in found]


class ChoiceReader:
    """Reads rows of questions with `language_model`, a causal model whose base model takes masks of four dimensions.

    `embed(row, start, end)` gives the embeddings of a part of a prompt.
    """

    def __init__(
        self, language_model: Any, store: PrefixStore, embed: Callable[[GenerationRow, int, int], Tensor]
    ) -> None:
        self.store = store
        self.embed = embed
        self.words = language_model.get_input_embeddings()
        self.base = getattr(language_model, language_model.base_model_prefix)
        self.output = language_model.get_output_embeddings()
        self.read = self.reused = 0  # tokens

    def scores(
        self, groups: Sequence[Sequence[Choices]], closing: Tensor, suppress_tokens: Sequence[int]
    ) -> list[list[tuple[float, ...]]]:
        """Log-probabilities of the choices of each prompt of each group; a group begins with one picture."""
        packed = [self._pack(group) for group in groups]
        past, longest = max(one.length for one in packed), max(one.new for one in packed)
        device = self.words.weight.device
        embeds = torch.stack(
            [
                F.pad(self._embeds(one, group), (0, 0, 0, longest - one.new))
                for one, group in zip(packed, groups, strict=True)
            ]
        )
        cache = concat_caches([(one.prefix, one.length) for one in packed], past)
        positions = [[*one.row.positions[one.length :], *[0] * (longest - one.new)] for one in packed]
        states = self.base(
            inputs_embeds=embeds,
            attention_mask=_mask(packed, past, longest, embeds),
            position_ids=torch.tensor(positions, device=device),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        self.read += sum(one.new for one in packed)
        self.reused += sum(one.length for one in packed)
        self._keep(packed, cache, past, longest)

        def logits(place: int, places: Tensor) -> Tensor:
            chosen = states[place, places.to(states.device) - packed[place].length]
            found: Tensor = self.output(chosen).float()
            found[:, list(suppress_tokens)] = -torch.inf
            return found

        return [
            one.row.scores(lambda places, place=place: logits(place, places), closing)  # type: ignore[misc]
            for place, one in enumerate(packed)
        ]

    def _pack(self, group: Sequence[Choices]) -> _Packed:
        keys = [one.row.keys for one in group]
        # of every question at least one token is its own: its choices follow that one
        shared = min(len(min(keys, key=len)) - 1, *(common_prefix(keys[0], other) for other in keys))
        row = ScoredRow(shared, [Question(len(one.row.keys) - shared, one.spelt) for one in group])
        prefix, length = self.store.find(keys[0][:shared])
        return _Packed(row, group[0].row, prefix, length)

    def _embeds(self, one: _Packed, group: Sequence[Choices]) -> Tensor:
        """(new tokens, hidden)."""
        shared = one.row.shared
        own = [self.embed(each.row, shared, len(each.row.keys)) for each in group]
        start = own[0].new_zeros(shared, own[0].shape[-1])
        if shared > one.length:
            start[one.length :] = self.embed(one.first, one.length, shared)
        return one.row.fill(start, own, self.words)[one.length :]

    def _keep(self, packed: Sequence[_Packed], cache: Any, past: int, longest: int) -> None:
        """Keep what the questions of each row have in common."""
        marks = torch.zeros(len(packed), past + longest)
        for place, one in enumerate(packed):
            marks[place, past - one.length : past + one.row.shared - one.length] = 1
        for place, one in enumerate(packed):
            if one.row.shared > one.length:
                self.store.add(slice_cache(one.first.keys[: one.row.shared], cache, marks, place))


def _mask(packed: Sequence[_Packed], past: int, longest: int, like: Tensor) -> Tensor:
    """(rows, 1, longest, past + longest): 0 where a token attends to another, else the lowest number.

    Known tokens end at `past`, the others begin there; padding attends to itself.
    """
    visible = torch.cat([torch.zeros(longest, past, dtype=torch.bool), torch.eye(longest, dtype=torch.bool)], 1)
    visible = visible.repeat(len(packed), 1, 1)
    for place, one in enumerate(packed):
        visible[place, : one.new, past - one.length : past + one.new] = one.row.visible()[one.length :]
    lowest = torch.finfo(like.dtype).min
    mask = torch.zeros(visible.shape, dtype=like.dtype).masked_fill(~visible, lowest)
    return mask[:, None].to(like.device)
