"""Choosing who sees and who asks, with their abilities beside their names."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import Final, Literal

import streamlit as st

from agents.abilities import Choice, eye_choice, questioner_choice
from agents.seeds import check_seed
from core.errors import InquisightError, UsageError, printable
from core.registry import get_registry
from core.settings import get_settings
from ui.shared.options import get_options
from ui.shared.words import complete, plain

Kind = Literal["eye", "questioner"]
RULES: Final = "rules"  # what repairs texts without a language model
# A name that stands for nothing without a folder or model behind it is no choice by itself.
_COMPLETE: Final = ("pocket", "scripted")
_SUGGESTED: Final = {
    "openai": "openai:gpt-4o-mini",
    "anthropic": "anthropic:claude-sonnet-4-5",
}


def eyes() -> list[Choice]:
    """The eyes that are offered: the owner's list; else the set one, those that need no argument, and the others."""
    registry, options = get_registry(), get_options()
    specs = list(options.eyes) or list(
        dict.fromkeys([get_settings().vision, *_COMPLETE[:1], *sorted(registry.vision_backends)])
    )
    return [
        eye_choice(entry, spec) for spec in specs if (entry := registry.vision_backends.get(spec.partition(":")[0]))
    ]


def questioners() -> list[Choice]:
    """The questioners that are offered: the owner's list; else registered ones, and providers whose key is set."""
    registry, options = get_registry(), get_options()
    specs = list(options.questioners)
    if not specs:
        specs = [get_settings().questioner, *sorted(registry.questioners)]
        specs += [spec for name, spec in _SUGGESTED.items() if _has_key(name)]
    found = dict.fromkeys(specs)
    return [questioner_choice(spec, registry.questioners.get(spec.partition(":")[0]), get_settings()) for spec in found]


def _has_key(provider: str) -> bool:
    from agents.providers import PROVIDERS

    known = PROVIDERS.get(provider)
    return bool(
        known
        and known.key
        and os.environ.get(known.key)
        and importlib.util.find_spec(f"langchain_{provider}") is not None
    )


def choose_eye(key: str, default: str, *, disabled: bool = False) -> str:
    """A box to choose the eye from; a name with an argument may be typed where the owner set no list."""
    return _choose(
        "The model that sees",
        eyes(),
        key,
        default,
        disabled=disabled,
        typed=may_type("eye"),
        hint="Type a name with what it takes behind a colon, such as minigpt4:/models/minigpt4-7b.",
    )


def choose_questioner(key: str, default: str, *, disabled: bool = False) -> str:
    """A box to choose the questioner from."""
    return _choose(
        "The model that asks",
        questioners(),
        key,
        default,
        disabled=disabled,
        typed=may_type("questioner"),
        hint="Type provider:model for a language model, such as ollama:llama3.2.",
    )


def choose_mender(key: str, default: str, *, disabled: bool = False) -> str:
    """A box to choose who repairs texts: a language model, or rules that need none."""
    rules = Choice(RULES, "what can be repaired by counting", ("no language model", "costs nothing"))
    # `scripted` asks questions and nothing else
    offered = [rules, *(one for one in questioners() if one.spec.partition(":")[0] != "scripted")]
    return _choose(
        "The model that repairs",
        offered,
        key,
        default if disabled or default.partition(":")[0] != "scripted" else rules.spec,
        disabled=disabled,
        typed=may_type("questioner"),
        hint="Type provider:model for a language model, such as ollama:llama3.2.",
    )


def choose_seed(
    key: str, seed: int | None, help: str = "Same seed, same models: same dialogue"
) -> tuple[int | None, bool]:
    """A field for a seed: what is in it, and True; where that is no seed, an error, the earlier one and False."""
    typed = st.text_input("Seed", "" if seed is None else str(seed), key=key, placeholder="none", help=help).strip()
    try:
        return check_seed(int(typed)) if typed else None, True
    except (ValueError, InquisightError):
        st.error(f"The seed must be a whole number from 0 to {2**32 - 1}.")
        return seed, False


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


def _choose(
    label: str, offered: Sequence[Choice], key: str, default: str, *, disabled: bool, typed: bool, hint: str
) -> str:
    by_name = {choice.spec: choice for choice in offered}
    if not by_name:
        raise InquisightError(f"there is no choice for {label.lower()}; see the page Plugins and models")
    names = list(by_name)
    if default not in by_name and typed:
        names.insert(0, default)
    chosen = st.selectbox(
        label,
        names,
        index=names.index(default) if default in names else 0,
        key=key,
        disabled=disabled,
        accept_new_options=typed,
        help=hint if typed else None,
    )
    spec = str(chosen or names[0]).strip()
    choice = by_name.get(spec) or _typed_choice(label, spec)
    if choice is not None:
        about = plain(complete(choice.about)) if choice.about else ""
        abilities = ", ".join(choice.abilities)
        st.caption(" ".join(filter(None, [about, f"**Can:** {plain(abilities)}." if abilities else ""])))
        if choice.missing:
            st.warning(plain(f"{spec}: {choice.missing}."), icon=":material/key:")
    return spec


def _typed_choice(label: str, spec: str) -> Choice | None:
    registry = get_registry()
    name = spec.partition(":")[0]
    if "sees" in label:
        entry = registry.vision_backends.get(name)
        return eye_choice(entry, spec) if entry is not None else None
    return questioner_choice(spec, registry.questioners.get(name), get_settings())
