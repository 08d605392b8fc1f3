"""What is true of a scene as far as the eye has made it out: pocket is taught to say this and no more.

A text that names what the eye did not recognise would teach the language model to guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

COLUMNS = ("left", "middle", "right")
ROWS = ("top", "centre", "bottom")
LIST = 12  # the eye's facts from here on are its list of things: name, place and colour of each


def as_seen(truth: dict[str, Any], facts: Sequence[int], names: Sequence[str]) -> dict[str, Any] | None:
    """The truth without the names and the things that are not on the eye's list (see `Eye.detections`).

    A thing that the list has as a stranger is one; a thing that it lacks is left out. None where the list is wrong:
    another name, another place, or a thing that nobody put there. Nothing true can be learned from such a picture.
    """
    if truth["things"] and not facts[0]:
        return None  # taken for a photograph
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
    """The facts with an empty list of things: what the picture shows then has to be read from the eye's tokens."""
    return [*facts[:LIST], *[0] * (len(facts) - LIST)]
