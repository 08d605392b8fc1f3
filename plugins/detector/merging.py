"""Boxes that mark the same thing are merged; things are divided into sure and unsure ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from core.witness import Thing

SAME: Final = 0.6  # overlap (intersection over union) from which two boxes of one name are one thing
ANY_NAME: Final = 0.65  # the same for boxes of different names
PART: Final = 0.7  # share of a tile's box inside another box of its name from which it is a part of that thing
ONE_PERSON: Final = 0.3  # overlap from which boxes of the two networks are one person
INSIDE: Final = 0.7  # share of a person's box inside a surer person's box, of similar size, from which it is the same
SIMILAR: Final = 0.25  # overlap from which two boxes, one inside the other, are of similar size
ENOUGH: Final = 0.7  # sum of evidence from which somebody is there
DISTANT: Final = 0.08  # of the picture's longer side: people up to this height are too small for the second network
MOST: Final = 100  # things per picture, as in COCO's evaluation
MOST_WEAK: Final = 6  # names below the score limit per picture


def merged(boxes: Any, names: Any, tiled: Any, same: float = SAME, any_name: float = ANY_NAME) -> list[int]:
    """Which boxes to keep: the first of each group that overlaps. The surest box must be first.

    `boxes` (N, 4) float: left, top, right, bottom; `names` (N,) int; `tiled` (N,) bool: found in a tile, so that it may
    be a part of a thing that the whole picture shows, or join several of them.
    """
    area = areas(boxes)
    kept: list[int] = []
    for one in range(len(boxes)):
        if kept:
            shared = common(boxes[one], boxes[kept])
            alike = names[kept] == names[one]
            overlap = shared / (area[one] + area[kept] - shared)
            if (overlap > np.where(alike, same, any_name)).any():
                continue
            parts = (shared > PART * area[one]) | ((shared > PART * area[kept]) & ~tiled[kept])
            if tiled[one] and (parts & alike).any():
                continue
        kept.append(one)
    return kept


def common(box: Any, others: Any) -> Any:
    """Square pixels (N,) that a box (4,) shares with each of others (N, 4)."""
    return (np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])).clip(0).prod(1)


def areas(boxes: Any) -> Any:
    """Square pixels (N,) of boxes (N, 4)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) + 1e-9


def people(boxes: Any, scores: Any, others: Any, other_scores: Any, side: float, least: float) -> tuple[Any, Any, Any]:
    """People that two networks find: boxes (N, 4), scores (N,), the surest first, and which of `others` each is (N,).

    One network often takes one person for two, or two for one. So each person needs evidence of both, or much of one:
    the first one's score and the root of the second one's, which are small, add up. Evidence of `ENOUGH` has the score
    `least`, more comes closer to 1. `side`: pixels of the picture's longer side. A person whom only the first network
    sees is none of the others: -1.
    """
    free = np.zeros(len(others), bool)
    free[merged(others, np.zeros(len(others)), free)] = True
    second = np.sqrt(other_scores)
    evidence, partners = scores.astype(float), np.full(len(boxes), -1)
    for one in range(len(boxes)):
        shared = common(boxes[one], others)
        overlap = free * shared / (areas(boxes[one : one + 1]) + areas(others) - shared)
        if len(others) and overlap.max() > ONE_PERSON:
            partners[one] = overlap.argmax()
            free[partners[one]] = False
            evidence[one] += second[partners[one]]
    found, partners = np.concatenate([boxes, others[free]]), np.concatenate([partners, np.flatnonzero(free)])
    judged = 1 - (1 - least) ** (np.concatenate([evidence, second[free]]) / ENOUGH)
    distant = (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0) < DISTANT * side
    judged[: len(boxes)][distant] = np.maximum(judged[: len(boxes)], scores)[distant]
    kept: list[int] = []
    for one in np.argsort(-judged, kind="stable"):
        shared = common(found[one], found[kept])
        own, theirs = areas(found[one : one + 1]), areas(found[kept])
        inside = shared > INSIDE * np.minimum(own, theirs)
        if not (inside & (shared > SIMILAR * (own + theirs - shared))).any():
            kept.append(int(one))
    return found[kept], judged[kept], partners[kept]


def unsure(things: Sequence[Thing], sure: Sequence[Thing]) -> tuple[Thing, ...]:
    """The best of `things` for each name that `sure` does not have."""
    names = {thing.name for thing in sure}
    best: dict[str, Thing] = {}
    for thing in sorted(things, key=lambda thing: -thing.score):
        if thing.name not in names:
            best.setdefault(thing.name, thing)
    return tuple(best.values())[:MOST_WEAK]
