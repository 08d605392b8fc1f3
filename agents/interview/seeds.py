"""Seeds: the same seed and the same models give the same words, whatever was interrupted in between."""

from __future__ import annotations

import hashlib
from typing import Final

from core.errors import UsageError

SEEDS: Final = 2**31  # those that are drawn where none is given lie below it


def check_seed(seed: int | None) -> int | None:
    """The same seed. Raises UsageError where models would not take it."""
    if seed is not None and not 0 <= seed < 2**32:
        raise UsageError(f"the seed must be between 0 and {2**32 - 1}, not {seed}")
    return seed


def call_seed(seed: int | None, *place: object) -> int | None:
    """A seed of its own for each call, the same whether or not the interview was interrupted before it."""
    if seed is None:
        return None
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF
