"""Lay out samples as rows of tokens: one per row and padded, or several side by side, each blind to its neighbours.

    rows = lay_out([words, ...], pictures=32, size=512)
    hidden = model(inputs_embeds=..., attention_mask=rows.mask(), position_ids=rows.positions)

Both ways compute the same numbers for every sample: its positions begin at 0 and its tokens see only its own. Its last
target token is never an input, because nothing follows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

PADDING = -1


@dataclass(frozen=True, slots=True)
class Words:
    """The token ids of one sample: `before` the picture (with the BOS), `after` it, and the target."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    target: tuple[int, ...]

    def length(self, pictures: int) -> int:
        """Return the places it takes in a row, with `pictures` tokens for the picture."""
        return len(self.before) + pictures + len(self.after) + len(self.target) - 1


@dataclass(frozen=True, slots=True)
class PackedRows:
    """Samples laid out in `R` rows of `L` places. `order` says which sample of the batch each of the `S` here is."""

    order: tuple[int, ...]  # S
    ids: Tensor  # (R, L), 0 for pictures and padding
    positions: Tensor  # (R, L)
    segments: Tensor  # (R, L): number of the sample in `order`, or PADDING
    picture_rows: Tensor  # (S, T) places of the picture's tokens
    picture_columns: Tensor  # (S, T)
    predicting: Tensor  # (N,) places in the flattened rows whose next token is a target
    targets: Tensor  # (N,) token ids
    owners: Tensor  # (N,) number of the sample in `order`
    packed: bool

    @property
    def places(self) -> int:
        """Rows times length: what a forward pass computes."""
        return self.ids.numel()

    @property
    def tokens(self) -> int:
        """Places that are not padding."""
        return int((self.segments != PADDING).sum())

    def to(self, device: torch.device | str) -> PackedRows:
        """Return the same rows on `device`."""
        tensors = {name: value for name in self.__slots__ if isinstance(value := getattr(self, name), Tensor)}
        return replace(self, **{name: value.to(device, non_blocking=True) for name, value in tensors.items()})

    def mask(self) -> Tensor | None:
        """Return (R, 1, L, L), True where attention may look; None for one sample per row.

        There padding comes last, so plain causal attention, which has faster kernels, never sees it. In packed rows
        padding sees itself: a place that sees nothing at all would give undefined numbers.
        """
        if not self.packed:
            return None
        same = self.segments[:, None, :, None] == self.segments[:, None, None, :]
        length = self.ids.shape[1]
        return same & torch.ones(length, length, dtype=torch.bool, device=self.ids.device).tril()


def lay_out(words: Sequence[Words], pictures: int, size: int) -> PackedRows:
    """Return the rows of a batch, packed to the length `size` (0: one sample per row); `pictures` tokens each."""
    return _rows(words, pack([one.length(pictures) for one in words], size), pictures, size > 0)


def forwards(words: Sequence[Words], pictures: int, size: int, budget: int) -> Iterator[PackedRows]:
    """Yield the batch in layouts of at most `budget` places each (a longer sample is alone)."""
    for group in groups_of([one.length(pictures) for one in words], size, budget):
        yield _rows(words, group, pictures, size > 0)


def groups_of(lengths: Sequence[int], size: int, budget: int) -> Iterator[list[list[int]]]:
    """Yield the rows of each layout of `forwards`, as sample numbers."""
    group: list[list[int]] = []
    longest = 0
    for row in pack(lengths, size):
        filled = sum(lengths[sample] for sample in row)
        if group and (len(group) + 1) * max(longest, filled) > budget:
            yield group
            group, longest = [], 0
        group.append(row)
        longest = max(longest, filled)
    if group:
        yield group


@dataclass(frozen=True, slots=True)
class PackingCost:
    """What forward passes over the same samples compute, one sample per row and packed."""

    samples: int
    padded: float  # share of places that are padding, one sample per row
    padded_packed: float
    ratio: float  # work of packed rows to that of the others

    def words(self) -> str:
        return (
            f"of {self.samples:,} samples {self.padded:.0%} of the places would be padding with one per row and "
            f"{self.padded_packed:.0%} packed, which takes {self.ratio:.2f} of the work"
        )


def work_of(lengths: Sequence[int], *, batch: int, size: int, budget: int, linear: float, hidden: int) -> PackingCost:
    """Estimate the work of these samples (places of each), `batch` at a time, in rows of `size` and one per row.

    A place costs `linear` multiplications in a layer's matrices and `hidden` per place that its attention computes:
    half of the row on average if it is causal, and twice that under the mask of packed rows, which computes all.
    """

    def passes(size: int, seen: float) -> tuple[float, int]:
        work, places = 0.0, 0
        for start in range(0, len(lengths), batch):
            part = lengths[start : start + batch]
            for group in groups_of(part, size, budget):
                longest = max(sum(part[sample] for sample in row) for row in group)
                places += len(group) * longest
                work += len(group) * longest * (linear + 2 * hidden * longest * seen)
        return work, places

    if not lengths:
        return PackingCost(0, 0.0, 0.0, 1.0)
    filled = sum(lengths)
    plain, places = passes(0, 0.5)
    packed, packed_places = passes(size, 1.0)
    return PackingCost(len(lengths), 1 - filled / places, 1 - filled / packed_places, packed / plain)


def pack(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Return rows of at most `size` places, as sample numbers: first fit decreasing, at most 11/9 of the best.

    A sample longer than `size` has its own row; with `size` 0 every sample has one.
    """
    rows: list[list[int]] = []
    free: list[int] = []
    for sample in sorted(range(len(lengths)), key=lambda sample: (-lengths[sample], sample)):
        length = lengths[sample]
        place = next((number for number, left in enumerate(free) if left >= length), None) if size else None
        if place is None:
            rows.append([sample])
            free.append(size - length)
        else:
            rows[place].append(sample)
            free[place] -= length
    return rows


def _rows(words: Sequence[Words], bins: Sequence[Sequence[int]], pictures: int, packed: bool) -> PackedRows:
    """`bins` hold the numbers of the samples of each row."""
    order = tuple(sample for row in bins for sample in row)
    length = max((sum(words[sample].length(pictures) for sample in row) for row in bins), default=0)
    ids = torch.zeros(len(bins), length, dtype=torch.long)
    positions = torch.zeros(len(bins), length, dtype=torch.long)
    segments = torch.full((len(bins), length), PADDING)
    columns = torch.zeros(len(order), pictures, dtype=torch.long)
    rows_of = torch.zeros(len(order), pictures, dtype=torch.long)
    predicting: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    numbers = iter(range(len(order)))
    for number, row in enumerate(bins):
        start = 0
        for sample, one in zip(row, numbers, strict=False):
            own = words[sample]
            end = start + own.length(pictures)
            picture = start + len(own.before)
            ids[number, start:picture] = torch.tensor(own.before, dtype=torch.long)
            ids[number, picture + pictures : end] = torch.tensor((*own.after, *own.target[:-1]), dtype=torch.long)
            positions[number, start:end] = torch.arange(end - start)
            segments[number, start:end] = one
            rows_of[one], columns[one] = number, torch.arange(picture, picture + pictures)
            first = number * length + end - len(own.target)
            predicting += range(first, first + len(own.target))
            targets += own.target
            owners += [one] * len(own.target)
            start = end
        # positions continue in padding if not packed: transformers takes those that begin anew for packed rows
        positions[number, start:] = torch.arange(length - start) + (0 if packed else start)
    predicted, targeted, owned = (torch.tensor(one, dtype=torch.long) for one in (predicting, targets, owners))
    return PackedRows(order, ids, positions, segments, rows_of, columns, predicted, targeted, owned, packed)
