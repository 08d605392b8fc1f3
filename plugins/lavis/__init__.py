"""BLIP-2 by salesforce-lavis, which runs in a separate environment because of its old dependencies."""

from __future__ import annotations

from typing import Any

from core.entries import Register
from core.hookspecs import hookimpl


@hookimpl
def register_vision_backends(register: Register) -> None:
    """Offer `lavis:MODEL[/TYPE][?OPTION=VALUE&...]`."""
    register(
        "lavis",
        "plugins.lavis.backend:LavisBackend",
        check="plugins.readiness:lavis",
        description="BLIP-2 by salesforce-lavis 1.0.2, in its own process: lavis:blip2_t5/pretrain_flant5xl.",
        capabilities={"follows_instructions": False, "streams": False, "max_images": 1, "languages": ("en",)},
    )


@hookimpl
def register_commands(cli: Any) -> None:
    """Add `inquisight lavis install` and `inquisight lavis status`."""
    from plugins.lavis.commands import add_to

    add_to(cli)
