"""MiniGPT-4: a converter for the published weights, and a vision model that opens its directories.

    inquisight convert minigpt4 --projection pretrained_minigpt4_7b.pth --llm vicuna-7b-v0 \
        --vision Salesforce/blip2-flan-t5-xxl --to minigpt4-7b
    inquisight caption photo.jpg --vision minigpt4:minigpt4-7b
"""

from __future__ import annotations

from typing import Any

from core.hookspecs import hookimpl
from core.registry import Register
from plugins.capabilities import CHAT_CAPABILITIES


@hookimpl
def register_vision_backends(register: Register) -> None:
    """Offer `minigpt4:DIRECTORY`, a directory that `inquisight convert minigpt4` wrote."""
    register(
        "minigpt4",
        "plugins.minigpt4.runtime.backend:MiniGPT4Backend",
        check="plugins.readiness:minigpt4",
        description="MiniGPT-4 (Vicuna or Llama-2): minigpt4:DIRECTORY, as `inquisight convert minigpt4` wrote it.",
        capabilities=CHAT_CAPABILITIES,
    )


@hookimpl
def register_commands(cli: Any) -> None:
    """Add `inquisight convert minigpt4`."""
    from plugins.minigpt4.commands import add_to

    add_to(cli)
