"""The stable import for plugin authors: `from core import hookimpl, VisionBackend, ...`.

Modules are imported on first use, so `import core` is fast and imports no model library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.datasets.folders import find_pictures
    from core.errors import (
        BackendError,
        ImageError,
        InquisightError,
        QuestionerError,
        RegistryError,
        StoreError,
        UsageError,
        printable,
    )
    from core.hookspecs import hookimpl
    from core.images.picture import Picture, open_picture
    from core.isolated.backend import IsolatedVision, Limits
    from core.records import Caption, Chat, ChatTurn, Dialogue, PictureInfo, ToolCall, Turn
    from core.registry import Entry, Problem, Register, Registry, get_registry, load_registry
    from core.settings import Settings, get_settings
    from core.store.transcripts import StoredCaption, TranscriptStore
    from core.tasks import NOTHING_NEW, Task, TaskTurn
    from core.vision import EncodedImage, GenerationOptions, Reply, VisionBackend, VisualQuestion
    from core.witness import Box, Findings, TextLine, Thing, Witness

_HOMES = {
    "core.datasets.folders": "find_pictures",
    "core.errors": "BackendError ImageError InquisightError QuestionerError RegistryError StoreError UsageError "
    "printable",
    "core.hookspecs": "hookimpl",
    "core.images.picture": "Picture open_picture",
    "core.isolated.backend": "IsolatedVision Limits",
    "core.records": "Caption Chat ChatTurn Dialogue PictureInfo ToolCall Turn",
    "core.registry": "Entry Problem Register Registry get_registry load_registry",
    "core.settings": "Settings get_settings",
    "core.store.transcripts": "StoredCaption TranscriptStore",
    "core.tasks": "NOTHING_NEW Task TaskTurn",
    "core.vision": "EncodedImage GenerationOptions Reply VisionBackend VisualQuestion",
    "core.witness": "Box Findings TextLine Thing Witness",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "NOTHING_NEW", "BackendError", "Box", "Caption", "Chat", "ChatTurn", "Dialogue", "EncodedImage", "Entry",
    "Findings", "GenerationOptions", "ImageError", "InquisightError", "IsolatedVision", "Limits", "Picture",
    "PictureInfo", "Problem", "QuestionerError", "Register", "Registry", "RegistryError", "Reply", "Settings",
    "StoreError", "StoredCaption", "Task", "TaskTurn", "TextLine", "Thing", "ToolCall", "TranscriptStore", "Turn",
    "UsageError", "VisionBackend", "VisualQuestion", "Witness", "find_pictures", "get_registry", "get_settings",
    "hookimpl", "load_registry", "open_picture", "printable",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import the module that defines `name` (PEP 562)."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'core' has no attribute '{name}'")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
