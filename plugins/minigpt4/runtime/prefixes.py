"""Keys and values of earlier prompts, stored by their tokens so that later questions can reuse them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache

# A text token is its id; a picture's token is the picture's key with a position, so that pictures never match.
Key = int | tuple[str, int]
Layers = list[tuple[Tensor, Tensor]]  # keys and values (1, heads, tokens, head size), one pair per layer


def common_prefix(one: Sequence[Key], other: Sequence[Key]) -> int:
    """How many leading keys two sequences share."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    return next(place for place in range(length) if one[place] != other[place])


@dataclass(slots=True)
class Prefix:
    """Keys and values of one sequence of tokens. The tensors are never changed, so slices of them may be shared."""

    keys: tuple[Key, ...]
    layers: Layers = field(repr=False)

    @property
    def nbytes(self) -> int:
        return sum(k.nbytes + v.nbytes for k, v in self.layers)


def padded(tokens: Tensor, length: int) -> Tensor:
    """(..., tokens, size) with zeros in front, up to `length` tokens."""
    return F.pad(tokens, (0, 0, length - tokens.shape[-2], 0))


def concat_caches(known: Sequence[tuple[Prefix | None, int]], past: int) -> DynamicCache:
    """One cache with the first tokens of each row's prefix, padded on the left to `past` places."""
    cache = DynamicCache()
    if not past:
        return cache
    same = all(one is known[0][0] and length == past for one, length in known)
    chosen = known[:1] if same else known
    template = next(prefix for prefix, _ in chosen if prefix is not None)
    for layer in range(len(template.layers)):
        for_keys, for_values = [], []
        for prefix, length in chosen:
            k, v = (prefix or template).layers[layer]
            for_keys.append(padded(k[:, :, :length], past))
            for_values.append(padded(v[:, :, :length], past))
        cache.update(torch.cat(for_keys), torch.cat(for_values), layer)
    if same and len(known) > 1:
        cache.batch_repeat_interleave(len(known))
    return cache


def slice_cache(keys: tuple[Key, ...], cache: DynamicCache, mask: Tensor, place: int) -> Prefix:
    """The first len(keys) tokens of row `place` in a batch's cache, without padding.

    `mask` (B, places) marks the places of the cache that hold tokens; places behind its end are ignored.
    """
    chosen = mask[place].bool()
    layers: Layers = []
    for layer in cache.layers:
        k, v = layer.keys[place : place + 1, :, : len(chosen)], layer.values[place : place + 1, :, : len(chosen)]
        if mask.shape[0] > 1 or not bool(chosen.all()):
            k, v = k[:, :, chosen.to(k.device)], v[:, :, chosen.to(v.device)]
        # a slice would keep the whole batch alive
        layers.append((k[:, :, : len(keys)].contiguous(), v[:, :, : len(keys)].contiguous()))
    return Prefix(keys, layers)


class PrefixStore:
    """Least recently used prefixes within `limit` bytes. Not locked: the engine does that."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = 0
        self._kept: OrderedDict[tuple[Key, ...], Prefix] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, keys: Sequence[Key]) -> tuple[Prefix | None, int]:
        """The prefix that shares the most leading keys with `keys`, and how many it shares."""
        keys = tuple(keys)
        best, length = None, 0
        for prefix in self._kept.values():
            shared = common_prefix(prefix.keys, keys)
            if shared > length:
                best, length = prefix, shared
        if best is not None:
            self._kept.move_to_end(best.keys)
        return best, length

    def add(self, prefix: Prefix) -> None:
        """Store a prefix, drop those it contains, then the oldest until all fits. One above the limit is not stored."""
        if prefix.nbytes > self.limit:
            return
        for keys in list(self._kept):
            shared = common_prefix(keys, prefix.keys)
            if shared == len(prefix.keys):
                self._kept.move_to_end(keys)  # a longer one contains the new one
                return
            if shared == len(keys):
                self._drop(keys)
        self._kept[prefix.keys] = prefix
        self.nbytes += prefix.nbytes
        while self.nbytes > self.limit:
            self._drop(next(iter(self._kept)))

    def clear(self) -> bool:
        """Drop all prefixes; whether there were any."""
        kept = bool(self._kept)
        self._kept.clear()
        self.nbytes = 0
        return kept

    def _drop(self, keys: tuple[Key, ...]) -> None:
        self.nbytes -= self._kept.pop(keys).nbytes
