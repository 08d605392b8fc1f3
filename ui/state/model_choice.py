"""Which models a visitor may choose, and why one cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import streamlit as st

from agents.llm.capabilities import Choice, questioner_choice, vision_choice, why_not
from core.errors import UsageError, printable
from core.registry import get_registry
from core.settings import get_settings
from ui.setup.saved import saved_models
from ui.state.options import get_options
from ui.text import sentence

Kind = Literal["vision", "questioner"]
NAMES: Final[dict[Kind, str]] = {"vision": "vision model", "questioner": "language model"}
RULES: Final = "rules"  # repairs texts without a language model
SUGGESTED: Final = ("openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5")


def offered(kind: Kind) -> list[Choice]:
    """The models to choose from, usable ones first.

    They are the owner's list; else the default model, registered names, and language models whose key is set. Models
    that were set up in the dashboard come in both cases.
    """
    registry, options, settings = get_registry(), get_options(), get_settings()
    if kind == "vision":
        names = options.vision or (settings.vision, "pocket", *sorted(registry.vision_backends))
        names = (*names, *saved_models().names(kind))
        names = tuple(name for name in names if name.partition(":")[0] in registry.vision_backends)
    else:
        with_key = [name for name in SUGGESTED if choice_of(kind, name).ready]
        names = options.questioner or (settings.questioner, *sorted(registry.questioners), *with_key)
        names = (*names, *saved_models().names(kind))
    return sorted((choice_of(kind, name) for name in dict.fromkeys(names)), key=lambda choice: not choice.ready)


@st.cache_data(ttl=20, max_entries=200, show_spinner=False)
def choice_of(kind: Kind, spec: str) -> Choice:
    """A model with its capabilities and what is missing to use it; cached for 20 seconds."""
    registry, name = get_registry(), spec.partition(":")[0]
    if kind == "questioner":
        return questioner_choice(spec, registry.questioners.get(name), get_settings())
    entry = registry.vision_backends.get(name)
    return vision_choice(entry, spec) if entry is not None else Choice(spec, "", (), why_not("vision backend", spec))


def may_type(kind: Kind) -> bool:
    """Whether other names than the offered ones may be typed; these may contain folders and addresses."""
    options = get_options()
    return options.may_name_models and not (options.vision if kind == "vision" else options.questioner)


def check_choice(kind: Kind, spec: str) -> None:
    """Raise UsageError for a model that may not be used in this dashboard.

    Call it wherever a name becomes a model, here or in a started process: a browser or a transcript may name others
    than a page has offered.
    """
    if may_type(kind):
        return
    names = [choice.spec for choice in offered(kind)]
    if spec not in names:
        raise UsageError(
            f"the {NAMES[kind]} '{printable(spec, 80)}' is not offered here; choose one of {', '.join(names) or 'none'}"
        )


def require(*, vision: Sequence[str] = (), questioner: Sequence[str] = ()) -> None:
    """Raise UsageError for models that may not be used here or lack something. Call it before starting work."""
    for kind, spec in _each(vision, questioner):
        check_choice(kind, spec)
        if missing := why_not("vision backend" if kind == "vision" else "questioner", spec):
            raise UsageError(missing)


def blocked(*, vision: Sequence[str] = (), questioner: Sequence[str] = ()) -> str:
    """Why work with these models cannot start, as a sentence; "" if it can."""
    try:
        for kind, spec in _each(vision, questioner):
            check_choice(kind, spec)  # first: nothing is revealed about a name that may not be chosen
            if missing := choice_of(kind, spec).missing:
                return sentence(missing)
    except UsageError as error:
        return sentence(str(error))
    return ""


def _each(vision: Sequence[str], questioner: Sequence[str]) -> list[tuple[Kind, str]]:
    return [*(("vision", spec) for spec in vision), *(("questioner", spec) for spec in questioner if spec != RULES)]
