"""`detector`: 80 kinds of things and where they are, without language. NanoDet-g, 3.8 million parameters, offline."""

from __future__ import annotations

from core.entries import Register
from core.hookspecs import hookimpl


@hookimpl
def register_witnesses(register: Register) -> None:
    """Offer `detector` (the weights in this package)."""
    register(
        "detector",
        "plugins.detector.witness:NanoDetWitness",
        description="Finds 80 kinds of things (COCO) and where they are: NanoDet-g, CPU, offline.",
    )
