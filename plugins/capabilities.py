"""Capabilities that several built-in plugins declare, without importing a model library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# Of a chat model: several pictures at any turn.
CHAT_CAPABILITIES: Final[Mapping[str, Any]] = {
    "follows_instructions": True,
    "streams": True,
    "scores": True,
    "max_images": 16,
    "interleaves": True,
    "languages": ("en",),
}
