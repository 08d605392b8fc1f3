"""Plugins and models: what is registered and from where, what failed and why, what it can do, whether it fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from agents.abilities import eye_abilities
from agents.weights import Machine, Weights, find_weights, fits, this_machine
from core.registry import Registry, get_registry
from core.settings import get_settings
from ui.shared.models import models
from ui.shared.words import complete, count, plain, size, told
from ui.shared.workshop import may_enter

if TYPE_CHECKING:
    from core.entries import Entry

_KINDS = (
    ("vision backend", "Models that see", ":material/visibility:"),
    ("questioner", "Models that ask", ":material/forum:"),
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
        st.markdown(f"**{plain(entry.name)}** from the package {plain(entry.distribution)}")
        if entry.description:
            st.write(plain(complete(entry.description)))
        abilities = eye_abilities(entry.capabilities)
        if abilities:
            st.caption("Can: " + plain(", ".join(abilities)))
        if entry.extra:
            st.caption(plain(f"Its optional part: pip install '{entry.extra}'"))
        if entry.kind == "vision backend":
            _weights(entry, machine)


def _weights(entry: Entry, machine: Machine) -> None:
    spec = get_settings().vision
    weights = find_weights(entry, spec if spec.partition(":")[0] == entry.name else "")
    _show_weights(weights, machine)
    if weights.where is None:
        given = st.text_input(
            "Where do weights lie, and do they fit?",
            key=f"weights-{entry.name}",
            placeholder="a folder, or a model's name",
            help="Nothing is loaded or downloaded",
        )
        if given.strip():
            with told():
                _show_weights(find_weights(entry, f"{entry.name}:{given.strip()}"), machine)


def _show_weights(weights: Weights, machine: Machine) -> None:
    fit = fits(weights, machine)
    if weights.where is None or not weights.nbytes:
        st.caption(f"Weights: {plain(weights.note)}" + (f" ({plain(weights.where)})" if weights.where else ""))
        return
    parameters = f", {weights.parameters / 1e6:,.1f} million parameters" if weights.parameters else ""
    st.caption(f"Weights: {plain(weights.where)} ({size(weights.nbytes)}{parameters})")
    icon = ":material/check_circle:" if fit.ok else ":material/warning:"
    st.caption(f"{icon} {'Fits' if fit.ok else 'Does not fit'}: {plain(fit.words)}.")
