"""Detect that another distribution's packages shadow ours.

`agents` and `core` are common names, and Python imports the first one on its path. Without this check the user sees an
ImportError about an unrelated module. The commands and `import inquisight` run it.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from core.errors import InquisightError, printable

PACKAGES = ("agents", "evaluation", "inquisight", "plugins", "serving", "training", "ui")
_HERE = Path(__file__).resolve().parents[2]


def shadowing() -> dict[str, str]:
    """Our packages that others shadow, with the paths of the others."""
    hidden: dict[str, str] = {}
    for package in PACKAGES:
        found = _location(package)
        if found is not None and found.parent != _HERE:
            hidden[package] = str(found)
    return hidden


def check_not_shadowed() -> None:
    """Raise InquisightError if a foreign `agents`, `ui`, ... would be imported instead of ours."""
    for package, where in shadowing().items():
        raise InquisightError(
            f"the package '{package}' that Python finds is not Inquisight's but another one, in "
            f"'{printable(where)}'; use a fresh virtual environment, or run from Inquisight's own folder "
            f"with '{printable(_HERE)}' first in PYTHONPATH."
        )


def _location(package: str) -> Path | None:
    """The folder or file that `import package` would load."""
    loaded = sys.modules.get(package)
    try:
        spec = getattr(loaded, "__spec__", None) or importlib.util.find_spec(package)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        # A namespace package (no __init__.py) may span several folders, ours among them.
        places = [Path(place).resolve() for place in spec.submodule_search_locations]
        return next((place for place in places if place.parent == _HERE), places[0] if places else None)
    return Path(spec.origin).resolve() if spec.origin else None
