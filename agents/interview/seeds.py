"""Seeds: the same seed and models give the same replies, whatever was interrupted in between."""

from __future__ import annotations

import hashlib
from typing import Final

from core.errors import UsageError

SEEDS: Final = 2**31  # random seeds are smaller than this


def check_seed(seed: int | None) -> int | None:
    """Return the seed. Raises UsageError if models do not accept it."""
    if seed is not None and not 0 <= seed < 2**32:
        raise UsageError(f"the seed must be between 0 and {2**32 - 1}, not {seed}")
    return seed


def call_seed(seed: int | None, *place: object) -> int | None:
    """The seed of one call; it does not depend on earlier interruptions."""
    if seed is None:
        return None
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF
