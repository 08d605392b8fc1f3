"""`detector`: things and where they are, without language.

detector                     80 kinds of things: NanoDet-g, 3.8 million parameters, offline
detector:transformers:NAME   any object detection model of transformers: NAME on the hub, or a directory
"""

from __future__ import annotations

from core.entries import Register
from core.hookspecs import hookimpl


@hookimpl
def register_witnesses(register: Register) -> None:
    """Offer `detector` (the weights in this package) and `detector:transformers:NAME`."""
    register(
        "detector",
        "plugins.detector.choice:create",
        check="plugins.readiness:detector",
        description="Finds 80 kinds of things (COCO) and where they are: NanoDet-g, CPU, offline. A larger model: "
        "detector:transformers:NAME.",
    )
