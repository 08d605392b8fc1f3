"""Plugins and models: what is registered, what failed to load, where weights are, and whether they fit this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from agents.llm.capabilities import vision_abilities
from core.hardware import Machine, ModelFiles, find_weights, fits, this_machine
from core.registry import get_registry
from core.settings import get_settings
from ui.controls import header
from ui.state.model_choice import SUGGESTED, Kind, blocked
from ui.state.models import models
from ui.text import count, escape, plain, sentence, show_errors, size, tag
from ui.widgets.server_folder import may_enter

if TYPE_CHECKING:
    from core.entries import Entry


def page() -> None:
    """Draw the page."""
    if not may_enter():
        return
    header("Plugins and models", "The models and training recipes that Inquisight can use on this machine.")
    registry, machine = get_registry(), _machine()
    if registry.problems:
        st.subheader(":material/error: Failed to load", anchor=False)
    for problem in registry.problems:
        package, error = plain(problem.distribution), plain(sentence(problem.error))
        st.error(f"**{plain(problem.plugin)}** from the package {package}: {error}")
    _draw_machine(machine)
    _draw_loaded()
    _draw_entries(":material/visibility: Vision models", registry.vision_backends, machine, "vision")
    _draw_entries(":material/forum: Language models", registry.questioners, machine, "questioner")
    for spec in SUGGESTED:
        with st.container(border=True):
            st.markdown(f"**{plain(spec)}**")
            _draw_state("questioner", spec)
    _draw_entries(":material/model_training: Trainers", registry.trainers, machine)
    st.caption(
        "Any LangChain chat model can be the language model: choose it as provider:model, such as openai:gpt-4o-mini. "
        "A plugin is a package with an entry point in the group inquisight; see docs/plugins.md."
    )


@st.cache_data(ttl=15, show_spinner=False)
def _machine() -> Machine:
    return this_machine(get_settings().home)


def _draw_machine(machine: Machine) -> None:
    with st.container(horizontal=True, key="machine"):
        st.metric("CPU cores", machine.cores)
        memory = [("Free memory", machine.free, machine.total)]
        for name, free, total in memory + [(card.name, card.free, card.total) for card in machine.gpus]:
            st.metric(name, size(free), f"of {size(total)}", delta_color="off", delta_arrow="off")
        st.metric("Free disk", size(machine.disk_free))
        if not machine.gpus:
            st.metric("GPU", "none")


def _draw_loaded() -> None:
    loaded = models().loaded()
    if not loaded:
        st.caption("No model is loaded; each is loaded on first use, once for all visitors.")
        return
    st.subheader(":material/memory: Loaded", anchor=False)
    for spec, model in loaded.items():
        about = ", ".join(f"{name}: {value}" for name, value in model.describe().items() if name != "name")
        waiting = model.queue.length
        st.write(f"**{plain(spec)}** ({count(waiting, 'request') if waiting else 'idle'}). {plain(about)}")


def _draw_entries(title: str, entries: dict[str, Entry], machine: Machine, kind: Kind | None = None) -> None:
    st.subheader(title, anchor=False)
    if not entries:
        st.caption("None is registered.")
    for _, entry in sorted(entries.items()):
        with st.container(border=True):
            st.markdown(f"**{plain(entry.name)}** from the package {plain(entry.distribution)}")
            if entry.description:
                st.write(plain(sentence(entry.description)))
            if abilities := vision_abilities(entry.capabilities):
                st.caption("Capabilities: " + plain(", ".join(abilities)))
            if kind is not None:
                _draw_state(kind, entry.name)
            if entry.extra:
                st.caption(plain(f"Optional dependencies: pip install '{entry.extra}'"))
            if kind == "vision":
                _draw_weights(entry, machine)


def _draw_state(kind: Kind, spec: str) -> None:
    """Whether a model can be used under this name, else what to do."""
    if missing := blocked(**{kind: [spec]}):
        st.html(f"<p>{tag('not ready', 'red')} {escape(missing)}</p>")
    else:
        st.html(f"<p>{tag('ready')} as <code>{escape(spec)}</code></p>")


def _draw_weights(entry: Entry, machine: Machine) -> None:
    spec = get_settings().vision
    weights = find_weights(entry, spec if spec.partition(":")[0] == entry.name else "")
    if weights.where is not None:
        _draw_files(weights, machine)
        return
    about = "Checks whether it can be used and fits; nothing is loaded or downloaded"
    name = f"Directory or model for {entry.name}"
    typed = st.text_input(name, key=f"weights-{entry.name}", placeholder="a folder, or a model name", help=about)
    if typed.strip():
        with show_errors():
            spec = f"{entry.name}:{typed.strip()}"
            _draw_state("vision", spec)
            _draw_files(find_weights(entry, spec), machine)


def _draw_files(weights: ModelFiles, machine: Machine) -> None:
    if weights.where is None or not weights.nbytes:
        st.caption(f"Weights: {plain(weights.note)}" + (f" ({plain(weights.where)})" if weights.where else ""))
        return
    fit = fits(weights, machine)
    parameters = f", {weights.parameters / 1e6:,.1f} million parameters" if weights.parameters else ""
    st.caption(f"Weights: {plain(weights.where)} ({size(weights.nbytes)}{parameters})")
    icon, words = ("check_circle", "Fits") if fit.ok else ("warning", "Does not fit")
    st.caption(f":material/{icon}: {words}: {plain(fit.words)}.")
