"""What a language model has already read, kept for the next question: keys and values by the tokens they stand for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

# A text token is its id, a picture's token its picture's key and place: two pictures never look alike.
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
    """Keys and values of one sequence of tokens. The tensors are never written to, so slices of them may be shared."""

    keys: tuple[Key, ...]
    layers: Layers = field(repr=False)

    @property
    def nbytes(self) -> int:
        return sum(k.nbytes + v.nbytes for k, v in self.layers)


class PrefixStore:
    """Least recently used prefixes within `limit` bytes. Not locked: the engine does that."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = 0
        self._kept: OrderedDict[tuple[Key, ...], Prefix] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, keys: Sequence[Key]) -> tuple[Prefix | None, int]:
        """The prefix that shares most leading keys with `keys`, and how many."""
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
        """Keep it, let go what it contains, and then the oldest until all fits. Too large for the limit: not kept."""
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

    def clear(self) -> None:
        self._kept.clear()
        self.nbytes = 0

    def _drop(self, keys: tuple[Key, ...]) -> None:
        self.nbytes -= self._kept.pop(keys).nbytes
