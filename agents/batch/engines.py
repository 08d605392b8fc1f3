"""The engines of a batch by name."""

from __future__ import annotations

from typing import Final

from agents.batch.engine import Engine, local
from core.errors import UsageError, printable

ENGINES: Final = ("local", "ray")


def find_engine(name: str) -> Engine:
    """The engine of this name. Raises UsageError."""
    if name == "ray":
        from agents.batch.ray.engine import on_ray

        return on_ray
    if name == "local":
        return local
    raise UsageError(f"there is no engine '{printable(name, 40)}'; there is {', '.join(ENGINES)}")
