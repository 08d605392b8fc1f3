"""Caption pictures with two models: a vision model answers questions about a picture, a language model asks them.

    import inquisight as iq

    vision = iq.load_vision("pocket")
    caption = iq.caption("cat.jpg", vision=vision, questioner="scripted", rounds=5, seed=1)
    print(caption.text)

This is the whole public surface, for plugin authors too. A name is imported when it is first used, so that
`import inquisight` loads no model library.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Any

# fmt: off
if TYPE_CHECKING:
    from agents.chat.conversation import ChatOptions
    from agents.chat.conversation import Conversation as Chat
    from agents.interview.prompts import Prompts
    from agents.interview.protocol import InterviewOptions
    from agents.langchain.model import VisionChatModel
    from agents.llm.questioners import load_questioner
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
    from core.records import Caption, ChatTurn, Dialogue, PictureInfo, ToolCall, Turn
    from core.registry import Entry, Problem, Register, Registry, get_registry, load_registry
    from core.scoring import ScoredToken
    from core.settings import Settings, get_settings
    from core.store.transcripts import StoredCaption, TranscriptStore
    from core.tasks import NOTHING_NEW, Task, TaskTurn
    from core.vision import EncodedImage, GenerationOptions, Reply, VisionBackend, VisualQuestion
    from core.witness import Box, Findings, TextLine, Thing, Witness
    from inquisight import events
    from inquisight import testing as testing
    from inquisight.captioning import (
        CaptionArguments,
        InterviewArguments,
        acaption,
        caption,
        caption_many,
        interview,
        load_vision,
    )

_MODULES = {
    "agents.chat.conversation": "Chat=Conversation ChatOptions",
    "agents.interview.protocol": "InterviewOptions",
    "agents.interview.prompts": "Prompts",
    "agents.langchain.model": "VisionChatModel",
    "agents.llm.questioners": "load_questioner",
    "core.errors": "BackendError ImageError InquisightError QuestionerError RegistryError StoreError UsageError "
                   "printable",
    "core.datasets.folders": "find_pictures",
    "core.hookspecs": "hookimpl",
    "core.images.picture": "Picture open_picture",
    "core.isolated.backend": "IsolatedVision Limits",
    "core.records": "Caption ChatTurn Dialogue PictureInfo ToolCall Turn",
    "core.registry": "Entry Problem Register Registry get_registry load_registry",
    "core.scoring": "ScoredToken",
    "core.settings": "Settings get_settings",
    "core.store.transcripts": "StoredCaption TranscriptStore",
    "core.tasks": "NOTHING_NEW Task TaskTurn",
    "core.vision": "EncodedImage GenerationOptions Reply VisionBackend VisualQuestion",
    "core.witness": "Box Findings TextLine Thing Witness",
    "inquisight.captioning": "CaptionArguments InterviewArguments acaption caption caption_many interview load_vision",
}

__all__ = [
    "NOTHING_NEW", "BackendError", "Box", "Caption", "CaptionArguments", "Chat", "ChatOptions", "ChatTurn", "Dialogue",
    "EncodedImage", "Entry", "Findings", "GenerationOptions", "ImageError", "InquisightError", "InterviewArguments",
    "InterviewOptions", "IsolatedVision", "Limits", "Picture", "PictureInfo", "Problem", "Prompts", "QuestionerError",
    "Register", "Registry", "RegistryError", "Reply", "ScoredToken", "Settings", "StoreError", "StoredCaption", "Task",
    "TaskTurn", "TextLine", "Thing", "ToolCall", "TranscriptStore", "Turn", "UsageError", "VisionBackend",
    "VisionChatModel", "VisualQuestion", "Witness", "acaption", "caption", "caption_many", "events", "find_pictures",
    "get_registry", "get_settings", "hookimpl", "interview", "load_questioner", "load_registry", "load_vision",
    "open_picture", "printable",
]
# fmt: on

__version__: str
_SOURCE_OF = {  # public name -> (module, name there)
    public: (module, original or public)
    for module, names in _MODULES.items()
    for public, _, original in (name.partition("=") for name in names.split())
}


def __getattr__(name: str) -> Any:
    """Import the module that defines `name` when it is first used (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("inquisight")
        except PackageNotFoundError:  # a checkout that is not installed
            return "0+unknown"
    if name not in (*__all__, "testing"):  # which needs pytest, so `import *` leaves it out
        raise AttributeError(f"module 'inquisight' has no attribute '{name}'")
    _check_not_shadowed()
    if name not in _SOURCE_OF:
        return importlib.import_module(f"inquisight.{name}")
    module, original = _SOURCE_OF[name]
    value = globals()[name] = getattr(importlib.import_module(module), original)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "testing", "__version__"})


@cache
def _check_not_shadowed() -> None:
    """Raise an error that names the other distribution whose `core`, `agents`, ... hides ours."""
    from pathlib import Path

    ours = Path(__file__).resolve().parent.parent
    core = importlib.util.find_spec("core")
    found = core and (core.origin or next(iter(core.submodule_search_locations or ())))
    if found and ours not in Path(found).resolve().parents:
        raise ImportError(
            f"the package 'core' that Python finds is not Inquisight's but another one, in '{found}'; use a fresh "
            f"virtual environment, or put '{ours}' first in PYTHONPATH."
        )
    from core.console.shadow import check_not_shadowed

    check_not_shadowed()
