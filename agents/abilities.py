"""What the models that can be chosen are able to do, in words, before any of them is loaded."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.entries import Entry
    from core.settings import Settings


@dataclass(frozen=True, slots=True)
class Choice:
    """A model as it is offered: what is typed, a line about it, and what it can do."""

    spec: str
    about: str
    abilities: tuple[str, ...]
    ready: bool = True
    """False where something is missing before it can be used; `missing` says what."""
    missing: str = ""


def eye_abilities(capabilities: Mapping[str, Any]) -> tuple[str, ...]:
    """What an eye says of itself, in words; nothing for what it does not say."""
    words = []
    if "follows_instructions" in capabilities:
        words.append("holds a conversation" if capabilities["follows_instructions"] else "answers short questions")
    if capabilities.get("streams"):
        words.append("answers word by word")
    most = capabilities.get("max_images")
    if isinstance(most, int):
        words.append("one picture at a time" if most == 1 else f"up to {most} pictures at once")
    if capabilities.get("interleaves"):
        words.append("new pictures at any time")
    languages = capabilities.get("languages")
    if isinstance(languages, list | tuple) and languages:
        words.append(f"speaks {', '.join(map(str, languages))}")
    return tuple(words)


def eye_choice(entry: Entry, spec: str | None = None) -> Choice:
    """The eye `entry`, perhaps with an argument behind its name."""
    return Choice(spec or entry.name, entry.description, eye_abilities(entry.capabilities))


def questioner_choice(spec: str, entry: Entry | None, settings: Settings) -> Choice:
    """A registered questioner, or "provider:model" for a language model."""
    if entry is not None:
        capabilities = ("plays by rules, no language model",) if entry.name == "scripted" else ()
        return Choice(spec, entry.description, capabilities)
    from agents.providers import PROVIDERS, Provider

    provider_name, _, model = spec.partition(":")
    provider = PROVIDERS.get(provider_name, Provider())
    about = f"{model or 'a language model'}, by {provider_name}"
    missing = ""
    if provider.extra and importlib.util.find_spec(f"langchain_{provider_name}") is None:
        missing = f"it needs an optional part: pip install 'inquisight[{provider.extra}]'"
    elif provider.key and not (os.environ.get(provider.key) or (provider_name == "openai" and _has_server(settings))):
        missing = f"it needs a key: set {provider.key} before the dashboard is started"
    return Choice(
        spec, about, ("a language model", "asks about anything", "any language it knows"), not missing, missing
    )


def _has_server(settings: Settings) -> bool:
    """Whether an OpenAI-compatible server, or a key for OpenAI itself, is set."""
    return bool(settings.api_key or settings.base_url)
