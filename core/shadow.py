"""A plain word when another distribution's packages hide ours.

`agents` and `core` are common names, and Python takes the first one on its path. Without this check
the user sees an ImportError about a module that has nothing to do with us.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from core.errors import InquisightError, printable

ROOMS = ("agents", "plugins", "training", "ui")
_HERE = Path(__file__).resolve().parent.parent


def shadowing() -> dict[str, str]:
    """For each of our packages that another one hides: its name and where the other one lies."""
    hidden: dict[str, str] = {}
    for room in ROOMS:
        found = _location(room)
        if found is not None and found.parent != _HERE:
            hidden[room] = str(found)
    return hidden


def check_not_shadowed() -> None:
    """Raise InquisightError when a foreign `agents` (or another room's name) would be imported for ours."""
    for room, where in shadowing().items():
        raise InquisightError(
            f"the package '{room}' that Python finds is not Inquisight's but another one, in "
            f"'{printable(where)}'; use a fresh virtual environment, or run from Inquisight's own folder "
            f"with '{printable(_HERE)}' first in PYTHONPATH."
        )


def _location(room: str) -> Path | None:
    """The folder or file that `import room` would take, without importing it."""
    loaded = sys.modules.get(room)
    try:
        spec = getattr(loaded, "__spec__", None) or importlib.util.find_spec(room)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        # A namespace package (no __init__.py) may span several folders; ours among them is enough.
        places = [Path(place).resolve() for place in spec.submodule_search_locations]
        return next((place for place in places if place.parent == _HERE), places[0] if places else None)
    return Path(spec.origin).resolve() if spec.origin else None
