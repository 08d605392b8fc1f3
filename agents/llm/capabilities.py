"""What the models that can be chosen are able to do, in words, before any of them is loaded."""

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
    """A model as it is offered: what is typed, a line about it, and what it can do."""

    spec: str
    about: str
    abilities: tuple[str, ...]
    missing: str = ""
    """Why it cannot work as offered, one line with the way out; "" where it can."""

    @property
    def ready(self) -> bool:
        """Whether nothing is missing, as far as is known without loading it."""
        return not self.missing


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
    name = spec or entry.name
    return Choice(name, entry.description, eye_abilities(entry.capabilities), why_not("vision backend", name))


def questioner_choice(spec: str, entry: Entry | None, settings: Settings) -> Choice:
    """A registered questioner, or "provider:model" for a language model."""
    missing = why_not("questioner", spec, settings)
    if entry is not None:
        capabilities = ("plays by rules, no language model",) if entry.name == "scripted" else ()
        return Choice(spec, entry.description, capabilities, missing)
    provider, _, model = spec.partition(":")
    about = f"{model or 'a language model'}, by {provider}"
    return Choice(spec, about, ("a language model", "asks about anything", "any language it knows"), missing)


def why_not(kind: Kind, spec: str, settings: Settings | None = None) -> str:
    """Why a model cannot work as it is named, one line; "" where nothing is known to be missing. Loads nothing."""
    from agents.llm.questioners import check_questioner

    try:
        if kind == "questioner":
            check_questioner(spec, settings)
        else:
            get_registry().check(kind, spec)
    except InquisightError as error:
        return str(error)
    return ""
