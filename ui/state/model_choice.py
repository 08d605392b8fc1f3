"""Which models a visitor may choose, and what keeps one from working."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import Final, Literal

import streamlit as st

from agents.llm.capabilities import Choice, eye_choice, questioner_choice, why_not
from core.errors import UsageError, printable
from core.registry import get_registry
from core.settings import get_settings
from ui.state.options import get_options
from ui.text import complete

RULES: Final = "rules"  # what repairs texts without a language model


# A name that stands for nothing without a folder or model behind it is no choice by itself.
_COMPLETE: Final = ("pocket", "scripted")


SUGGESTED: Final = {
    "openai": "openai:gpt-4o-mini",
    "anthropic": "anthropic:claude-sonnet-4-5",
}


def eyes() -> list[Choice]:
    """The eyes that are offered: the owner's list; else the set one, those that need no argument, and the others."""
    registry, options = get_registry(), get_options()
    specs = list(options.eyes) or list(
        dict.fromkeys([get_settings().vision, *_COMPLETE[:1], *sorted(registry.vision_backends)])
    )
    return _ready_first([_offer("eye", spec) for spec in specs if spec.partition(":")[0] in registry.vision_backends])


def questioners() -> list[Choice]:
    """The questioners that are offered: the owner's list; else registered ones, and providers whose key is set."""
    registry, options = get_registry(), get_options()
    specs = list(options.questioners)
    if not specs:
        specs = [get_settings().questioner, *sorted(registry.questioners)]
        specs += [spec for name, spec in SUGGESTED.items() if _has_key(name)]
    return _ready_first([_offer("questioner", spec) for spec in dict.fromkeys(specs)])


def _ready_first(choices: list[Choice]) -> list[Choice]:
    return sorted(choices, key=lambda choice: not choice.ready)


@st.cache_data(ttl=20, max_entries=200, show_spinner=False)
def _offer(what: Kind, spec: str) -> Choice:
    """A model with its abilities, and why it cannot work as named; looked at anew every 20 seconds."""
    registry, name = get_registry(), spec.partition(":")[0]
    if what == "questioner":
        return questioner_choice(spec, registry.questioners.get(name), get_settings())
    entry = registry.vision_backends.get(name)
    return eye_choice(entry, spec) if entry is not None else Choice(spec, "", (), why_not("vision backend", spec))


def _has_key(provider: str) -> bool:
    from agents.llm.providers import PROVIDERS

    known = PROVIDERS.get(provider)
    return bool(
        known
        and known.key
        and os.environ.get(known.key)
        and importlib.util.find_spec(f"langchain_{provider}") is not None
    )


def may_type(what: Kind) -> bool:
    """Whether other names than the offered ones may be typed. They may hold folders of this machine and addresses."""
    options = get_options()
    return options.may_name_models and not (options.eyes if what == "eye" else options.questioners)


def check_choice(what: Kind, spec: str) -> None:
    """Raise UsageError for a model that may not be chosen in this dashboard, whoever or whatever named it.

    To be called wherever a name becomes a model, here or in a process that is started from here: what a browser sends,
    and what a transcript says, need not be what a page has offered.
    """
    if may_type(what):
        return
    offered = [choice.spec for choice in (eyes() if what == "eye" else questioners())]
    if spec not in offered:
        name = "vision model" if what == "eye" else "language model"
        raise UsageError(
            f"the {name} '{printable(spec, 80)}' is not offered here; choose one of {', '.join(offered) or 'none'}"
        )


def require(*, vision: Sequence[str] = (), questioner: Sequence[str] = ()) -> None:
    """Raise UsageError for models that may not be chosen here, or cannot work as named; looked at this moment.

    To be called before anything is started with them.
    """
    for what, spec in _each(vision, questioner):
        check_choice(what, spec)
        if missing := why_not("vision backend" if what == "eye" else "questioner", spec):
            raise UsageError(missing)


def blocked(*, vision: Sequence[str] = (), questioner: Sequence[str] = ()) -> str:
    """Why nothing can be started with these models, as a sentence; "" where nothing is in the way."""
    try:
        for what, spec in _each(vision, questioner):
            check_choice(what, spec)  # before anything of a name is looked at that may not be chosen
            if missing := _offer(what, spec).missing:
                return complete(missing)
    except UsageError as error:
        return complete(str(error))
    return ""


def _each(vision: Sequence[str], questioner: Sequence[str]) -> list[tuple[Kind, str]]:
    return [*(("eye", spec) for spec in vision), *(("questioner", spec) for spec in questioner if spec != RULES)]


Kind = Literal["eye", "questioner"]
