"""Which witnesses take part: `auto`, `none`, or names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.entries import one_line
from core.errors import BackendError, InquisightError, UsageError, printable
from core.images.picture import Picture
from core.registry import Registry, get_registry

if TYPE_CHECKING:
    from core.witness import Findings, Witness

AUTO, NONE = "auto", "none"


def chosen(spec: str, registry: Registry | None = None) -> list[str]:
    """The names in "auto", "none" or "NAME,...", where options may have commas: "detector:...?queries=dog,cat".

    `auto` means every registered witness whose check succeeds. Raises InquisightError for a name that is unknown or
    cannot work.
    """
    names = _names(spec, registry)
    if not names:
        raise UsageError("name at least one witness, or write auto or none; see `inquisight plugins`.")
    if names == [NONE]:
        return []
    registry = registry or get_registry()
    if names == [AUTO]:
        return [name for name in registry.witnesses if _works(registry, name)]
    if AUTO in names or NONE in names:
        raise UsageError(f"{AUTO} and {NONE} stand alone; name the witnesses instead.")
    for name in names:
        registry.check("witness", name)
    return list(dict.fromkeys(names))


def _names(spec: str, registry: Registry | None) -> list[str]:
    """What stands between commas; behind a question mark, only a witness's name begins the next one."""
    names: list[str] = []
    for part in filter(None, map(str.strip, spec.split(","))):
        if names and "?" in names[-1] and part.partition(":")[0] not in (registry or get_registry()).witnesses:
            names[-1] += f",{part}"
        else:
            names.append(part)
    return names


def _works(registry: Registry, name: str) -> bool:
    try:
        registry.check("witness", name)
    except InquisightError:
        return False
    return True


def left_out(spec: str, names: Sequence[str], registry: Registry | None = None) -> list[str]:
    """The registered witnesses that `auto` did not choose, because they cannot work here."""
    registry = registry or get_registry()
    return [name for name in registry.witnesses if name not in names] if spec.strip() == AUTO else []


def load_witnesses(names: Sequence[str], registry: Registry | None = None) -> list[Witness]:
    """The witnesses of these names, loaded. Raises InquisightError."""
    registry = registry or get_registry()
    return [registry.create_witness(name) for name in names]


def examine(witnesses: Sequence[Witness], picture: Picture, names: Sequence[str] = ()) -> list[Findings]:
    """What each witness finds in one picture; `names` of things are for those that take names.

    Raises BackendError if one fails.
    """
    found = []
    for witness in witnesses:
        try:
            found += witness.look_for([picture], names) if names else witness.examine([picture])
        except InquisightError:
            raise
        except Exception as error:
            raise BackendError(f"the witness '{printable(witness.name)}' failed: {one_line(error)}.") from error
    return found
