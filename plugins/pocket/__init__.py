"""The built-in default vision model: registered by name, loaded only when it is used."""

from __future__ import annotations

from core.hookspecs import hookimpl
from core.registry import Register


@hookimpl
def register_vision_backends(register: Register) -> None:
    """Register `pocket`, the model in this package; `pocket:DIRECTORY?projection=RUN` is one you trained."""
    register(
        "pocket",
        "plugins.pocket.backend:PocketBackend",
        check="plugins.readiness:pocket",
        description="A MiniGPT-4 of 14 million parameters that ships with Inquisight: "
        "CPU, offline, knows what it does not know.",
        capabilities={
            "follows_instructions": False,
            "streams": True,
            "scores": True,
            "max_images": 1,
            "languages": ("en",),
        },
    )
