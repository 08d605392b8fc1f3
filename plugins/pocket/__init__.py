"""The embedded default eye: registered by name, loaded only when it is used."""

from __future__ import annotations

from core.hookspecs import hookimpl
from core.registry import Register


@hookimpl
def register_vision_backends(register: Register) -> None:
    """Offer `pocket` (the model in this package) and `pocket:DIRECTORY?projection=RUN` (of your own training)."""
    register(
        "pocket",
        "plugins.pocket.backend:PocketBackend",
        check="plugins.readiness:pocket",
        description="A MiniGPT-4 of 14 million parameters that ships with Inquisight: "
        "CPU, offline, knows what it does not know.",
        capabilities={"follows_instructions": False, "streams": True, "max_images": 1, "languages": ("en",)},
    )
