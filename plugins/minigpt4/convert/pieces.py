"""One tensor to write: its name, shape and type, and how to get it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from core.errors import BackendError


@dataclass(frozen=True, slots=True)
class TensorPiece:
    """`make` returns the tensor in its stored type; `file` is its source, for reading file by file."""

    target: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], torch.Tensor]
    file: Path | None

    @property
    def bytes(self) -> int:
        """Size in the file to be written."""
        return int(math.prod(self.shape) * self.dtype.itemsize)

    def tensor(self) -> torch.Tensor:
        """The tensor as it will be written. Raises BackendError if its numbers cannot be right."""
        stored = self.make()
        made = stored.to(self.dtype).contiguous()
        if tuple(made.shape) != self.shape:
            raise BackendError(
                f"'{self.target}' came out as {list(made.shape)} and not as {list(self.shape)}: the source files "
                "changed "
                "while they were read; start again."
            )
        if not _finite(made):
            if _finite(stored):
                raise BackendError(
                    f"'{self.target}' has numbers too large for float16: take --dtype bfloat16 or --dtype float32."
                )
            raise BackendError(
                f"'{self.target}' holds infinite or undefined numbers{f' in {self.file}' if self.file else ''}: "
                "the file is damaged; fetch it again."
            )
        return made


def _finite(tensor: torch.Tensor) -> bool:
    """Whether all numbers are; in parts, because `isfinite` needs as much memory again."""
    return all(bool(torch.isfinite(part).all()) for part in tensor.reshape(-1).split(1 << 24))


def with_extra_rows(table: torch.Tensor, rows: int) -> torch.Tensor:
    """`table` (V, D) with rows of its mean added up to `rows`.

    A mean row in the output layer gives the mean of all logits: greedy decoding never takes it, and when sampling its
    probability is at most 1/V (Jensen's inequality). Zeros would give logit 0, which can be the largest.
    """
    missing = rows - table.shape[0]
    if missing <= 0:
        return table
    total = torch.zeros(table.shape[1], dtype=torch.float64)
    for chunk in table.split(4096):  # the whole table in float64 would not fit the memory plan
        total += chunk.to(torch.float64).sum(0)
    mean = (total / table.shape[0]).to(table.dtype)
    return torch.cat([table, mean.expand(missing, -1)])
