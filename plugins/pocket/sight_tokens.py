"""Word embeddings of a sight: what belongs to one entry is mixed into all of it, as with the other hints."""

from __future__ import annotations

import torch
from torch import Tensor


def gathered(words: Tensor, pieces: Tensor) -> Tensor:
    """words (B, L, D) plus the mean of the words of the same entry; pieces (B, L): number of the entry, 0 for none."""
    batch, length, width = words.shape
    number = int(pieces.max()) + 1 if length else 1
    if number == 1:
        return words
    index = (pieces + number * torch.arange(batch, device=pieces.device)[:, None]).flatten()
    sums = words.new_zeros(batch * number, width).index_add(0, index, words.flatten(0, 1))
    sizes = words.new_zeros(batch * number).index_add(0, index, words.new_ones(len(index)))
    mean = (sums / sizes.clamp(min=1)[:, None])[index].unflatten(0, (batch, length))
    return words + mean * (pieces > 0)[..., None].to(words.dtype)
