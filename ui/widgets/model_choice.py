"""Choosing who sees and who asks, with their abilities beside their names."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from agents.interview.seeds import check_seed
from agents.llm.capabilities import Choice
from core.errors import InquisightError
from ui.state.model_choice import RULES, Kind, _offer, check_choice, eyes, may_type, questioners
from ui.text import complete, plain


def choose_eye(key: str, default: str, *, disabled: bool = False) -> str:
    """A box to choose the eye from; a name with an argument may be typed where the owner set no list."""
    return _choose(
        "Vision model",
        "eye",
        eyes(),
        key,
        default,
        disabled=disabled,
        typed=may_type("eye"),
        hint="Answers questions about the image. Type a name with its directory or model behind a colon, such as "
        "minigpt4:/models/minigpt4-7b.",
    )


def choose_questioner(key: str, default: str, *, disabled: bool = False) -> str:
    """A box to choose the questioner from."""
    return _choose(
        "Language model",
        "questioner",
        questioners(),
        key,
        default,
        disabled=disabled,
        typed=may_type("questioner"),
        hint="Asks the questions and writes the description. Type provider:model, such as ollama:llama3.2.",
    )


def choose_mender(key: str, default: str, *, disabled: bool = False) -> str:
    """A box to choose who repairs texts: a language model, or rules that need none."""
    rules = Choice(RULES, "what can be repaired by counting", ("no language model", "costs nothing"))
    # `scripted` asks questions and nothing else
    offered = [rules, *(one for one in questioners() if one.spec.partition(":")[0] != "scripted")]
    return _choose(
        "Model for repairs",
        "questioner",
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


def draw_blocked(reason: str) -> None:
    """Beside a button that is off: why it is."""
    if reason:
        st.caption(f":material/block: {plain(reason)}")


def _choose(
    label: str,
    what: Kind,
    offered: Sequence[Choice],
    key: str,
    default: str,
    *,
    disabled: bool,
    typed: bool,
    hint: str,
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
        format_func=lambda name: named(by_name.get(name), name),
        key=key,
        disabled=disabled,
        accept_new_options=typed,
        help=hint if typed else None,
    )
    spec = str(chosen or names[0]).strip()
    choice = by_name.get(spec)
    if choice is None:
        check_choice(what, spec)
        choice = _offer(what, spec)
    about = plain(complete(choice.about)) if choice.about else ""
    abilities = ", ".join(choice.abilities)
    if about or abilities:
        st.caption(" ".join(filter(None, [about, f"**Can:** {plain(abilities)}." if abilities else ""])))
    if choice.missing:
        st.warning(plain(complete(choice.missing)), icon=":material/block:")
    return spec


def named(choice: Choice | None, name: str) -> str:
    """A model in a list: one that cannot work as offered says so."""
    return f"{name} (not ready)" if choice is not None and not choice.ready else name
