"""Whether a claim holds in a composed scene, by the scene's exact truth."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from agents.audit.checks import number_of
from core.nouns import singular
from core.records import Claim
from plugins.pocket.colours import COLOURS
from training.pocket.foundation import known_names

_ANY: Final = frozenset("thing object item".split())
_WHOLE: Final = frozenset("background picture image photo photograph scene".split())
_SIDES: Final = {
    "left": "left",
    "right": "right",
    "top": "top",
    "bottom": "bottom",
    "middle": "middle",
    "center": "middle",
}
# What the photographs behind the cut-outs may show: they are of landscapes and buildings, not of animals or tools.
_OF_LANDSCAPES: Final = frozenset("sky tree plant building mountain flower grass cloud sea water sun".split())
_CUT_OUTS: Final = {name for name, _ in known_names()} - _OF_LANDSCAPES
_SMALL, _LARGE = 0.10, 0.28  # shares of the picture, as in the descriptions


def holds(number: int, claims: Sequence[Claim], truth: dict[str, Any]) -> bool | None:
    """Whether `claims[number]` is true; None where the truth does not say."""
    claim = claims[number]
    if claim.parent is not None and holds(claim.parent, claims, truth) is False:
        return False
    about = claim.about.lower()
    if claim.kind == "attribute" and about in _WHOLE:
        return _background(claim, truth)
    things = [thing for thing in truth["things"] if about in _ANY or _named(thing, about)]
    match claim.kind:
        case "thing":
            unclear = about in _WHOLE or about in COLOURS or "unknown" in claim.text  # "with some blue" names no thing
            unclear |= truth["background"] == "photo" and not things and about not in _CUT_OUTS
            return None if unclear else bool(things)
        case "attribute":
            return _attribute(claim, things)
        case "number":
            if about in _ANY and truth["background"] == "photo" and not truth["things"]:
                return None
            return number_of(claim.value) == len(things) if things or about not in _WHOLE else None
        case "place":
            return _place(claim, things)
        case _:
            return None


def _named(thing: dict[str, Any], about: str) -> bool:
    """Whether a thing has this name, or it is its last word or its kind."""
    name = thing["name"]
    if not name:
        return about == "unknown thing"
    forms = {name, " ".join([*name.split()[:-1], singular(name.split()[-1])])}
    return any(about == form or form.endswith(f" {about}") for form in forms) or about == thing["kind"]


def _background(claim: Claim, truth: dict[str, Any]) -> bool | None:
    said = [word for word in re.findall(r"[a-z]+", claim.value.lower()) if word in COLOURS]
    return all(one in truth["background_colours"] for one in said) if said and truth["background_colours"] else None


def _attribute(claim: Claim, things: Sequence[dict[str, Any]]) -> bool | None:
    if not things:
        return None
    words = re.findall(r"[a-z]+", claim.value.lower())
    colours = [word for word in words if word in COLOURS]
    if colours:
        return any(all(one in thing["colours"] for one in colours) for thing in things)
    areas = [(thing["box"][2] - thing["box"][0]) * (thing["box"][3] - thing["box"][1]) for thing in things]
    if words == ["small"]:
        return True if any(area < _SMALL for area in areas) else None if any(area < _LARGE for area in areas) else False
    if words == ["large"]:
        return True if any(area > _LARGE for area in areas) else None if any(area > _SMALL for area in areas) else False
    return None


def _place(claim: Claim, things: Sequence[dict[str, Any]]) -> bool | None:
    said = {_SIDES[word] for word in re.findall(r"[a-z]+", claim.value.lower()) if word in _SIDES}
    if not said or not things:
        return None
    return any(
        all(
            one in (thing["column"], thing["row"].replace("centre", "-")) or one == "middle" == thing["column"]
            for one in said
        )
        for thing in things
    )
