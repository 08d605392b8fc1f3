"""Samples as rows of tokens: one per row and padded, or several side by side, each blind to its neighbours.

    rows = lay_out([words, ...], pictures=32, size=512)
    hidden = model(inputs_embeds=..., attention_mask=rows.mask(), position_ids=rows.positions)

Both ways give every sample the same numbers: its positions begin at 0 and its tokens see only its own. Its last target
token is never an input, because nothing comes after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PADDING = -1


@dataclass(frozen=True, slots=True)
class Words:
    """The token ids of one sample: `before` the picture (with the BOS), `after` it, and those to be learned."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    target: tuple[int, ...]

    def length(self, pictures: int) -> int:
        """Places in a row, with `pictures` tokens for the picture."""
        return len(self.before) + pictures + len(self.after) + len(self.target) - 1


@dataclass(frozen=True, slots=True)
class PackedRows:
    """Samples laid out in `R` rows of `L` places. `order` says which sample of the batch each of the `S` here is."""

    order: tuple[int, ...]  # S
    ids: Tensor  # (R, L), 0 where a picture or padding stands
    positions: Tensor  # (R, L)
    segments: Tensor  # (R, L): number of the sample in `order`, or PADDING
    picture_rows: Tensor  # (S, T) where the picture's tokens go
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
        """The same on `device`."""
        moved = {
            name: value.to(device, non_blocking=True) if isinstance(value := getattr(self, name), Tensor) else value
            for name in self.__slots__
        }
        return PackedRows(**moved)

    def mask(self) -> Tensor | None:
        """(R, 1, L, L), True where attention may look; None for one sample per row.

        There padding comes last, so that plain causal attention, which has faster kernels, never looks at it. In
        packed rows padding sees itself: a place that sees nothing at all would give undefined numbers.
        """
        if not self.packed:
            return None
        same = self.segments[:, None, :, None] == self.segments[:, None, None, :]
        length = self.ids.shape[1]
        return same & torch.ones(length, length, dtype=torch.bool, device=self.ids.device).tril()


def lay_out(words: Sequence[Words], pictures: int, size: int, order: Sequence[int] | None = None) -> PackedRows:
    """Rows for a batch; `size` is the length to pack to, 0 for one sample per row; `pictures` tokens per picture."""
    chosen = tuple(range(len(words))) if order is None else tuple(order)
    lengths = [words[sample].length(pictures) for sample in chosen]
    return _rows(words, chosen, pack(lengths, size), pictures, size > 0)


def forwards(words: Sequence[Words], pictures: int, size: int, budget: int) -> Iterator[PackedRows]:
    """The batch in as many layouts as it takes for none to have more than `budget` places (a longer sample alone)."""
    for group in groups_of([one.length(pictures) for one in words], size, budget):
        yield _grouped(words, group, pictures, size)


def groups_of(lengths: Sequence[int], size: int, budget: int) -> Iterator[list[list[int]]]:
    """The rows of each layout of `forwards`, as sample numbers."""
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
    half of the row on average where it is causal, and twice that under the mask of packed rows, which computes all.
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
    """Rows of at most `size` places, as sample numbers; longest first (first fit decreasing, at most 11/9 of the best).

    A sample longer than `size` has a row of its own; with `size` 0 every sample has one.
    """
    queue = sorted(range(len(lengths)), key=lambda sample: (-lengths[sample], sample))
    rows: list[list[int]] = []
    room: list[int] = []
    for sample in queue:
        length = lengths[sample]
        place = next((number for number, left in enumerate(room) if left >= length), None) if size else None
        if place is None:
            rows.append([sample])
            room.append(size - length)
        else:
            rows[place].append(sample)
            room[place] -= length
    return rows


def _grouped(words: Sequence[Words], group: Sequence[Sequence[int]], pictures: int, size: int) -> PackedRows:
    order = tuple(sample for row in group for sample in row)
    numbers = iter(range(len(order)))
    return _rows(words, order, [[next(numbers) for _ in row] for row in group], pictures, size > 0)


def _rows(
    words: Sequence[Words], order: tuple[int, ...], bins: Sequence[Sequence[int]], pictures: int, packed: bool
) -> PackedRows:
    """`bins` count in `order`."""
    length = max((sum(words[order[one]].length(pictures) for one in row) for row in bins), default=0)
    ids = torch.zeros(len(bins), length, dtype=torch.long)
    positions = torch.zeros(len(bins), length, dtype=torch.long)
    segments = torch.full((len(bins), length), PADDING)
    columns = torch.zeros(len(order), pictures, dtype=torch.long)
    rows_of = torch.zeros(len(order), pictures, dtype=torch.long)
    predicting: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    for number, row in enumerate(bins):
        start = 0
        for one in row:
            sample = words[order[one]]
            end = start + sample.length(pictures)
            seen = start + len(sample.before)
            said = seen + pictures
            ids[number, start:seen] = torch.tensor(sample.before, dtype=torch.long)
            ids[number, said:end] = torch.tensor((*sample.after, *sample.target[:-1]), dtype=torch.long)
            positions[number, start:end] = torch.arange(end - start)
            segments[number, start:end] = one
            rows_of[one], columns[one] = number, torch.arange(seen, said)
            first = number * length + end - len(sample.target)
            predicting += range(first, first + len(sample.target))
            targets += sample.target
            owners += [one] * len(sample.target)
            start = end
        # going on, where it is not packed: transformers takes positions that begin anew for packed rows
        positions[number, start:] = torch.arange(length - start) + (0 if packed else start)
    return PackedRows(
        order,
        ids,
        positions,
        segments,
        rows_of,
        columns,
        torch.tensor(predicting, dtype=torch.long),
        torch.tensor(targets, dtype=torch.long),
        torch.tensor(owners, dtype=torch.long),
        packed,
    )
