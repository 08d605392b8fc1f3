"""Fields that several pages have: models with their capabilities, seed, language and context."""

from __future__ import annotations

from typing import Final, TypeVar

import streamlit as st

from agents.interview.options import AskingMode, AuditMode, Fallback
from agents.interview.seeds import check_seed
from agents.llm.capabilities import Choice
from agents.witnesses.choice import AUTO, chosen
from core.errors import InquisightError
from core.settings import get_settings
from ui.state.items import MAX_ROUNDS, DialogueSettings
from ui.state.model_choice import NAMES, RULES, Kind, check_choice, choice_of, may_type, offered
from ui.state.options import get_options
from ui.text import capital, count, plain, sentence

_Mode = TypeVar("_Mode", AskingMode, AuditMode, Fallback)

HINTS: Final[dict[Kind, str]] = {
    "vision": "Answers questions about the image. To give it a directory or model, type it after a colon, such as "
    "minigpt4:/models/minigpt4-7b.",
    "questioner": "Asks the questions and writes the caption. Type provider:model, such as ollama:llama3.2.",
}


def choose_model(kind: Kind, key: str, default: str) -> str:
    """A box to choose a model; other names may be typed unless the owner set a list."""
    more = " Or add one with its key on the page Set up a model." if get_options().may_set_up_models else ""
    return _choose(capital(NAMES[kind]), kind, offered(kind), key, default, hint=HINTS[kind] + more)


def choose_repair_model(key: str, default: str, *, disabled: bool) -> str:
    """A box to choose what repairs texts: a language model, or rules."""
    rules = Choice(RULES, "repairs by fixed rules", ("no language model", "no cost"))
    # `scripted` only asks questions.
    choices = [rules, *(one for one in offered("questioner") if one.spec.partition(":")[0] != "scripted")]
    if default.partition(":")[0] == "scripted" and not disabled:
        default = RULES
    hint = "Type provider:model for a language model, such as ollama:llama3.2."
    return _choose("Repair model", "questioner", choices, key, default, hint=hint, disabled=disabled)


def choose_models(settings: DialogueSettings, page: str) -> None:
    """The boxes for the vision model and the language model of an interview."""
    settings.vision = choose_model("vision", f"{page}-vision", settings.vision)
    settings.questioner = choose_model("questioner", f"{page}-questioner", settings.questioner)


def choose_witnesses(settings: DialogueSettings, page: str) -> None:
    """A box for the witnesses that examine the image or frames, of those that work here."""
    names = list(dict.fromkeys([*chosen(AUTO), *settings.witnesses]))
    settings.witnesses = st.multiselect(
        "Witnesses",
        names,
        settings.witnesses,
        key=f"{page}-witnesses",
        placeholder="none",
        help="They find things and writing, with their places, and answer two questions of the interview",
    )


def choose_asking(settings: DialogueSettings, page: str, rounds: int | None = None) -> bool:
    """How the language model asks, when it may end, and who asks in its place; False if the end is after `rounds`."""
    about = "Small language models ask better questions when they choose from five proposed ones"
    modes: dict[AskingMode, str] = {"free": "Freely", "guided": "Choosing from proposed questions"}
    settings.asking = _named("How the language model asks", modes, settings.asking, f"{page}-asking", about)
    about = "Who asks when the language model has no usable question"
    names: dict[Fallback, str] = {"scripted": "The built-in rules", "none": "Nobody, and asking ends"}
    settings.fallback = _named("Fallback", names, settings.fallback, f"{page}-fallback", about)
    least = st.number_input(
        "Minimum questions",
        0,
        MAX_ROUNDS,
        settings.min_rounds,
        1,
        key=f"{page}-min-rounds",
        placeholder="half of the questions",
        help="The language model may not end asking before; 0: at any time",
    )
    settings.min_rounds = None if least is None else int(least)
    if rounds is None or settings.min_rounds is None or settings.min_rounds <= rounds:
        return True
    st.error(f"The minimum is more than the {count(rounds, 'question')} of the interview.")
    return False


def choose_audit(settings: DialogueSettings, page: str) -> None:
    """A box that says whether the claims of the caption are checked."""
    about = "The vision model is asked about each claim of the caption alone"
    names: dict[AuditMode, str] = {"none": "Off", "mark": "Mark false claims", "drop": "Remove false claims"}
    settings.audit = _named("Check the caption", names, settings.audit, f"{page}-audit", about)


def _named(label: str, names: dict[_Mode, str], value: _Mode, key: str, about: str) -> _Mode:
    """A box of values under their names."""
    values = list(names)
    return st.selectbox(label, values, values.index(value), format_func=names.__getitem__, key=key, help=about)


def choose_dialogue(settings: DialogueSettings, page: str) -> bool:
    """Context, language and seed of an interview; False if the seed is invalid."""
    whole = st.toggle(
        "Send all earlier answers with each question",
        settings.history == -1,
        key=f"{page}-context",
        help="Otherwise only the last one, which suits vision models for short questions",
    )
    settings.history = -1 if whole else max(1, get_settings().history)
    settings.language = st.text_input(
        "Language of the caption", settings.language, key=f"{page}-language", placeholder="English", max_chars=40
    )
    settings.seed, valid = choose_seed(f"{page}-seed", settings.seed)
    return valid


def choose_seed(
    key: str, seed: int | None, help: str = "Same seed and models: same dialogue"
) -> tuple[int | None, bool]:
    """A field for the seed: its value and True; if it is invalid, an error, the earlier value and False."""
    typed = st.text_input("Seed", "" if seed is None else str(seed), key=key, placeholder="none", help=help).strip()
    try:
        return check_seed(int(typed)) if typed else None, True
    except (ValueError, InquisightError):
        st.error(f"The seed must be a whole number from 0 to {2**32 - 1}.")
        return seed, False


def _choose(
    label: str, kind: Kind, choices: list[Choice], key: str, default: str, *, hint: str, disabled: bool = False
) -> str:
    by_name = {choice.spec: choice for choice in choices}
    if not by_name:
        raise InquisightError(f"no {label.lower()} is available; see the page Plugins and models")
    typed = may_type(kind)
    names = list(by_name)
    if default not in by_name and typed:
        names.insert(0, default)
    chosen = st.selectbox(
        label,
        names,
        index=names.index(default) if default in names else 0,
        format_func=lambda name: name if name not in by_name or by_name[name].ready else f"{name} (not ready)",
        key=key,
        disabled=disabled,
        accept_new_options=typed,
        help=hint if typed else None,
    )
    spec = str(chosen or names[0]).strip()
    choice = by_name.get(spec)
    if choice is None:
        check_choice(kind, spec)
        choice = choice_of(kind, spec)
    about = [plain(sentence(choice.about))] if choice.about else []
    st.caption(
        " ".join([*about, f"**Capabilities:** {plain(', '.join(choice.abilities))}." if choice.abilities else ""])
    )
    if choice.missing:
        st.warning(plain(sentence(choice.missing)), icon=":material/block:")
    return spec
