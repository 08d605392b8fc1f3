"""Boxes that mark the same thing are merged; things are divided into sure and unsure ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from core.witness import Thing

SAME: Final = 0.6  # overlap (intersection over union) from which two boxes of one name are one thing
ANY_NAME: Final = 0.65  # the same for boxes of different names
PART: Final = 0.7  # share of a tile's box inside another box of its name from which it is a part of that thing
MOST: Final = 100  # things per picture, as in COCO's evaluation
MOST_WEAK: Final = 6  # names below the score limit per picture


def merged(boxes: Any, names: Any, tiled: Any, same: float = SAME, any_name: float = ANY_NAME) -> list[int]:
    """Which boxes to keep: the first of each group that overlaps. The surest box must be first.

    `boxes` (N, 4) float: left, top, right, bottom; `names` (N,) int; `tiled` (N,) bool: found in a tile, so that it may
    be a part of a thing that the whole picture shows, or join several of them.
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) + 1e-9
    kept: list[int] = []
    for one in range(len(boxes)):
        if kept:
            others = boxes[kept]
            shared = (
                np.minimum(boxes[one, 2:], others[:, 2:]) - np.maximum(boxes[one, :2], others[:, :2])
            ).clip(0).prod(1)  # fmt: skip
            alike = names[kept] == names[one]
            overlap = shared / (area[one] + area[kept] - shared)
            if (overlap > np.where(alike, same, any_name)).any():
                continue
            parts = (shared > PART * area[one]) | ((shared > PART * area[kept]) & ~tiled[kept])
            if tiled[one] and (parts & alike).any():
                continue
        kept.append(one)
    return kept


def unsure(things: Sequence[Thing], sure: Sequence[Thing]) -> tuple[Thing, ...]:
    """The best of `things` for each name that `sure` does not have."""
    names = {thing.name for thing in sure}
    best: dict[str, Thing] = {}
    for thing in sorted(things, key=lambda thing: -thing.score):
        if thing.name not in names:
            best.setdefault(thing.name, thing)
    return tuple(best.values())[:MOST_WEAK]
