"""`detector` and `detector:transformers:NAME`: the model that ships with Inquisight, or one of transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from core.errors import UsageError, printable

if TYPE_CHECKING:
    from core.witness import Witness

LIBRARY: Final = "transformers"


def create(argument: str | None) -> Witness:
    """The witness. Raises UsageError for another argument, BackendError if the model cannot be loaded."""
    name = model_of(argument)
    if name is None:
        from plugins.detector.witness import NanoDetWitness

        return NanoDetWitness()
    from plugins.detector.transformers_witness import TransformersWitness

    return TransformersWitness(name)


def model_of(argument: str | None) -> str | None:
    """NAME and options in "transformers:NAME?option=value"; None if there is no argument. Raises UsageError."""
    if not argument:
        return None
    library, _, name = argument.partition(":")
    if library == LIBRARY:
        return name
    raise UsageError(
        f"the witness 'detector' takes no argument, but got {printable(argument)!r}; a larger model is "
        f"detector:{LIBRARY}:NAME."
    )
