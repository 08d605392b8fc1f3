"""Plugins and models: what is registered and from where, what failed and why, what it can do, whether it fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from agents.llm.capabilities import eye_abilities
from core.hardware import Machine, ModelFiles, find_weights, fits, this_machine
from core.registry import Registry, get_registry
from core.settings import get_settings
from ui.state.model_choice import SUGGESTED, Kind, blocked
from ui.state.models import models
from ui.state.training_tools import may_enter
from ui.text import complete, count, plain, size, told
from ui.views.style import tag, text

if TYPE_CHECKING:
    from core.entries import Entry

_KINDS = (
    ("vision backend", "Vision models", ":material/visibility:"),
    ("questioner", "Language models", ":material/forum:"),
    ("trainer", "Trainings", ":material/model_training:"),
)


def page() -> None:
    """Draw it."""
    if not may_enter():
        return
    st.title("Plugins and models")
    registry = get_registry()
    machine = _machine()
    _problems(registry)
    _this_machine(machine)
    _loaded()
    tables: dict[str, dict[str, Entry]] = {
        "vision backend": registry.vision_backends,
        "questioner": registry.questioners,
        "trainer": registry.trainers,
    }
    for kind, title, icon in _KINDS:
        table = tables[kind]
        st.subheader(f"{icon} {title}", anchor=False)
        if not table:
            st.caption("None is registered.")
        for _, entry in sorted(table.items()):
            _entry(entry, machine)
        if kind == "questioner":
            _providers()
    st.caption(
        "Any LangChain chat model can ask as well: choose it as provider:model, such as openai:gpt-4o-mini. "
        "A plugin is a package with an entry point of the group inquisight; see docs/plugins.md."
    )


@st.cache_data(ttl=15, show_spinner=False)
def _machine() -> Machine:
    return this_machine(get_settings().home)


def _problems(registry: Registry) -> None:
    if not registry.problems:
        return
    st.subheader(":material/error: Left out", anchor=False)
    for problem in registry.problems:
        st.error(
            f"**{plain(problem.plugin)}** of the package {plain(problem.distribution)}: "
            f"{plain(complete(problem.error))}"
        )


def _this_machine(machine: Machine) -> None:
    with st.container(horizontal=True, key="machine"):
        st.metric("Processor cores", machine.cores)
        st.metric("Memory free", size(machine.free), f"of {size(machine.total)}", delta_color="off", delta_arrow="off")
        st.metric("Disk free", size(machine.disk_free))
        for card in machine.gpus:
            st.metric(card.name, size(card.free), f"of {size(card.total)}", delta_color="off", delta_arrow="off")
        if not machine.gpus:
            st.metric("Graphics card", "none")


def _loaded() -> None:
    loaded = models().loaded()
    if not loaded:
        st.caption("No model is loaded; one is when it is first used, once for all visitors.")
        return
    st.subheader(":material/memory: Loaded now", anchor=False)
    for spec, one in loaded.items():
        about = ", ".join(f"{name}: {value}" for name, value in one.describe().items() if name != "name")
        waiting = one.line.length
        state = f"{count(waiting, 'request')} in its line" if waiting else "idle"
        st.write(f"**{plain(spec)}** ({state}). {plain(about)}")


def _entry(entry: Entry, machine: Machine) -> None:
    with st.container(border=True):
        kind: Kind | None = {"vision backend": "eye", "questioner": "questioner"}.get(entry.kind)  # type: ignore[assignment]
        missing = _missing(kind, entry.name) if kind is not None else ""
        st.markdown(f"**{plain(entry.name)}** from the package {plain(entry.distribution)}")
        if entry.description:
            st.write(plain(complete(entry.description)))
        abilities = eye_abilities(entry.capabilities)
        if abilities:
            st.caption("Can: " + plain(", ".join(abilities)))
        if kind is not None:
            _state(entry.name, missing)
        if entry.extra:
            st.caption(plain(f"Its optional part: pip install '{entry.extra}'"))
        if entry.kind == "vision backend":
            _weights(entry, machine)


def _missing(kind: Kind, spec: str) -> str:
    return blocked(**{"vision" if kind == "eye" else "questioner": [spec]})


def _state(spec: str, missing: str) -> None:
    """Whether it can be used as it is named, else what to do."""
    if missing:
        st.html(f"<p>{tag('not ready', 'red')} {text(missing)}</p>")
    else:
        st.html(f"<p>{tag('ready')} as <code>{text(spec)}</code></p>")


def _providers() -> None:
    """Language models of providers, each with what it still needs."""
    for spec in SUGGESTED.values():
        with st.container(border=True):
            st.markdown(f"**{plain(spec)}**")
            _state(spec, _missing("questioner", spec))


def _weights(entry: Entry, machine: Machine) -> None:
    spec = get_settings().vision
    weights = find_weights(entry, spec if spec.partition(":")[0] == entry.name else "")
    if weights.where is not None:
        _show_weights(weights, machine)
    else:
        given = st.text_input(
            f"Directory or model for {entry.name}",
            key=f"weights-{entry.name}",
            placeholder="a folder, or a model's name",
            help="Checks whether it can be used and fits; nothing is loaded or downloaded",
        )
        if given.strip():
            with told():
                named = f"{entry.name}:{given.strip()}"
                _state(named, _missing("eye", named))
                _show_weights(find_weights(entry, named), machine)


def _show_weights(weights: ModelFiles, machine: Machine) -> None:
    fit = fits(weights, machine)
    if weights.where is None or not weights.nbytes:
        st.caption(f"Weights: {plain(weights.note)}" + (f" ({plain(weights.where)})" if weights.where else ""))
        return
    parameters = f", {weights.parameters / 1e6:,.1f} million parameters" if weights.parameters else ""
    st.caption(f"Weights: {plain(weights.where)} ({size(weights.nbytes)}{parameters})")
    icon = ":material/check_circle:" if fit.ok else ":material/warning:"
    st.caption(f"{icon} {'Fits' if fit.ok else 'Does not fit'}: {plain(fit.words)}.")
