"""Load and check the vision model of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.console.status import Status
from core.errors import UsageError, printable
from core.registry import get_registry

if TYPE_CHECKING:
    from core.vision import VisionBackend


def load_vision(spec: str, status: Status | None = None) -> VisionBackend:
    """Load a vision model, with a status line in a terminal. Raises InquisightError."""
    status = status or Status()
    status.show(f"loading {printable(spec)}")
    try:
        return get_registry().create_vision(spec)
    finally:
        status.clear()


def check_vision(spec: str, pictures: int = 1) -> None:
    """Raise InquisightError if the vision model is unknown or takes fewer pictures."""
    most = get_registry().find("vision backend", spec.split(":", 1)[0]).capabilities.get("max_images")
    if isinstance(most, int) and pictures > most:
        takes = "one picture" if most == 1 else f"at most {most} pictures"
        raise UsageError(
            f"{printable(spec)} takes {takes} in a conversation, not {pictures}; choose a vision model that takes more "
            "with --vision (see `inquisight plugins`)"
        )
