"""The truth of a scene as far as the vision model recognises it: the only facts that pocket is trained to state.

A text that names an unrecognised thing would teach the language model to guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

COLUMNS = ("left", "middle", "right")
ROWS = ("top", "centre", "bottom")
LIST = 12  # index of the list of things in the facts: name, place and colour of each


def as_recognised(truth: dict[str, Any], facts: Sequence[int], names: Sequence[str]) -> dict[str, Any] | None:
    """The truth without the names and things that are not in the detected list (see `PocketVision.detections`).

    A thing in the list without a name becomes a stranger; a missing one is removed. None if the list is wrong: another
    name, another place, or a thing that is not there. Such a picture is not used in training.
    """
    if truth["things"] and not facts[0]:
        return None  # classified as a photograph
    listed = [tuple(facts[at : at + 3]) for at in range(LIST, len(facts), 3) if facts[at]]
    left = list(listed)
    seen: list[dict[str, Any]] = []

    def taken(name: int, place: int) -> bool:
        found = next((entry for entry in left if entry[:2] == (name, place)), None)
        if found:
            left.remove(found)
        return found is not None

    index = {name: number for number, name in enumerate(names, start=1)}
    stranger = len(names) + 1
    waiting = []
    for thing in truth["things"]:
        place = ROWS.index(thing["row"]) * 3 + COLUMNS.index(thing["column"])
        if taken(index.get(thing["name"], stranger), place):
            seen.append(thing)
        else:
            waiting.append((thing, place))
    seen += [{**thing, "name": "", "kind": ""} for thing, place in waiting if taken(stranger, place)]
    if left:
        return None
    return {**truth, "things": seen}


def without_list(facts: Sequence[int]) -> list[int]:
    """The facts with an empty list of things, so that the picture must be read from its tokens."""
    return [*facts[:LIST], *[0] * (len(facts) - LIST)]
