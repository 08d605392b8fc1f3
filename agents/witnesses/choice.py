"""Which witnesses take part: `auto`, `none`, or names."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import InquisightError, UsageError
from core.registry import Registry, get_registry
from core.witness import Witness

AUTO, NONE = "auto", "none"


def chosen(spec: str, registry: Registry | None = None) -> list[str]:
    """The names in "auto", "none" or "NAME,...".

    `auto` means every registered witness whose check succeeds. Raises InquisightError for a name that is unknown or
    cannot work.
    """
    registry = registry or get_registry()
    names = [name for part in spec.split(",") if (name := part.strip())]
    if not names:
        raise UsageError("name at least one witness, or write auto or none; see `inquisight plugins`.")
    if names == [NONE]:
        return []
    if names == [AUTO]:
        return [name for name in registry.witnesses if _works(registry, name)]
    if AUTO in names or NONE in names:
        raise UsageError(f"{AUTO} and {NONE} stand alone; name the witnesses instead.")
    for name in names:
        registry.check("witness", name)
    return list(dict.fromkeys(names))


def _works(registry: Registry, name: str) -> bool:
    try:
        registry.check("witness", name)
    except InquisightError:
        return False
    return True


def load_witnesses(spec: str, registry: Registry | None = None) -> Sequence[Witness]:
    """The chosen witnesses, loaded. Raises InquisightError."""
    registry = registry or get_registry()
    return [registry.create_witness(name) for name in chosen(spec, registry)]
