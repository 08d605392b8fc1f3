"""Describe the models that can be chosen, before any of them is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import InquisightError
from core.registry import get_registry

if TYPE_CHECKING:
    from core.entries import Entry, Kind
    from core.settings import Settings


@dataclass(frozen=True, slots=True)
class Choice:
    """A model to choose: its name as typed, a line about it, and its abilities."""

    spec: str
    about: str
    abilities: tuple[str, ...]
    missing: str = ""
    """Why it cannot work, one line with the way out; "" if it can."""

    @property
    def ready(self) -> bool:
        """Whether nothing is missing, as far as is known before loading."""
        return not self.missing


def vision_abilities(capabilities: Mapping[str, Any]) -> tuple[str, ...]:
    """The declared capabilities of a vision model, in words."""
    words = []
    if "follows_instructions" in capabilities:
        words.append("holds a conversation" if capabilities["follows_instructions"] else "answers short questions")
    if capabilities.get("streams"):
        words.append("streams answers")
    if capabilities.get("scores"):
        words.append("scores answers")
    most = capabilities.get("max_images")
    if isinstance(most, int):
        words.append("one image" if most == 1 else f"up to {most} images")
    if capabilities.get("interleaves"):
        words.append("more images at any time")
    languages = capabilities.get("languages")
    if isinstance(languages, list | tuple) and languages:
        words.append(f"languages: {', '.join(map(str, languages))}")
    return tuple(words)


def vision_choice(entry: Entry, spec: str | None = None) -> Choice:
    """The vision model `entry`, perhaps with an argument behind its name."""
    name = spec or entry.name
    return Choice(name, entry.description, vision_abilities(entry.capabilities), why_not("vision backend", name))


def questioner_choice(spec: str, entry: Entry | None, settings: Settings) -> Choice:
    """A registered questioner, or "provider:model" for a language model."""
    missing = why_not("questioner", spec, settings)
    if entry is not None:
        capabilities = ("a rule-based baseline, no language model",) if entry.name == "scripted" else ()
        return Choice(spec, entry.description, capabilities, missing)
    provider, _, model = spec.partition(":")
    about = f"{model or 'a language model'}, by {provider}"
    return Choice(spec, about, ("a language model", "asks about anything", "any language it knows"), missing)


def why_not(kind: Kind, spec: str, settings: Settings | None = None) -> str:
    """Why a model cannot work, one line; "" if nothing is known to be missing. Loads nothing."""
    from agents.llm.questioners import check_questioner

    try:
        if kind == "questioner":
            check_questioner(spec, settings)
        else:
            get_registry().check(kind, spec)
    except InquisightError as error:
        return str(error)
    return ""
