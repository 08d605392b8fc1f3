"""Set up a model: an OpenAI-compatible server, Ollama, a model of Hugging Face or a folder; test it before use."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import streamlit as st

from core.errors import InquisightError, UsageError
from ui.controls import act_button, button, draw_job, header, note, refresh
from ui.setup.saved import OLLAMA, ROLES, Keep, Role, SavedModels, SetUpModel, keyring_name, saved_models
from ui.setup.trial import Outcome, sample, try_model
from ui.state.jobs import Job
from ui.state.model_choice import NAMES, choice_of
from ui.state.models import models
from ui.state.options import get_options, require_model_setup, require_server_paths
from ui.state.session import visitor
from ui.text import capital, error_message, escape, plain, sentence, show_errors, tag

SERVER, LOCAL, HERE = "OpenAI-compatible server", "Ollama", "Hugging Face or folder"
KEPT: Final[dict[Keep, str]] = {
    "none": "no key",
    "keyring": "key in the system's keyring",
    "session": "key until the dashboard ends",
}


@dataclass
class SetupState:
    """What a visitor is setting up. The key stays on the server and is never drawn."""

    model: SetUpModel | None = None
    key: str = field(default="", repr=False)
    keep: Keep = "none"
    outcomes: list[Outcome] = field(default_factory=list)
    tested: str = ""  # the name of the model that `outcomes` are about
    title: str = ""  # of that model, for people
    job: Job | None = None
    problem: str = ""  # why the last click could not be carried out, as a sentence
    done: str = ""  # what the last click has done, as a sentence

    def clear(self, done: str = "") -> None:
        self.model, self.key, self.outcomes, self.tested, self.done = None, "", [], "", done


def page() -> None:
    """Draw the page."""
    with show_errors():
        require_model_setup()
        _draw(visitor().keep("setup", SetupState), saved_models())


def _draw(state: SetupState, saved: SavedModels) -> None:
    header(
        "Set up a model",
        "Add a vision model or a language model, test it with one question, and choose it on the other pages.",
    )
    if not get_options().single_user:
        st.caption(
            ":material/group: Everybody who uses this dashboard can choose these models, at the cost of their keys."
        )
    if saved.problem:
        st.warning(plain(sentence(saved.problem)), icon=":material/key_off:")
    if state.done:
        st.success(plain(state.done), icon=":material/check_circle:")
    job = state.job
    _draw_form(state)
    refresh(lambda: job is not None and job.active, lambda: _draw_trial(state), key="setup-trial")
    _draw_saved(state, saved)


# --- a new model ------------------------------------------------------------------------------------------------------


def _draw_form(state: SetupState) -> None:
    st.subheader("Add a model", anchor=False)
    way = st.segmented_control("Where it runs", [SERVER, LOCAL, HERE], default=SERVER, required=True, key="setup-way")
    version = st.session_state.setdefault("setup-version", 0)  # a new key field after each click
    with st.form("setup-form", border=True):
        typed = _draw_fields(str(way), version, "as typed for the last test" if state.key else "none")
        submitted = st.form_submit_button("Test", icon=":material/play_arrow:", type="primary")
    if submitted:
        state.done = state.problem = ""
        try:
            model = _model(str(way), typed)
            same_place = state.model is not None and state.model.address == model.address
            key = typed.key.strip() or (state.key if same_place else "")
            state.model, state.key, state.keep = model, key, typed.keep if key else "none"
            _test(state, model, key)
        except InquisightError as error:
            state.problem = error_message(error)
        else:
            st.session_state["setup-version"] = version + 1
            st.session_state.pop(f"setup-key-{version}", None)
        st.rerun()
    if state.problem:
        st.error(plain(state.problem), icon=":material/error:")


@dataclass
class _Typed:
    model: str = ""
    address: str = ""
    roles: tuple[Role, ...] = ROLES
    key: str = ""
    keep: Keep = "none"


def _draw_fields(way: str, version: int, key_now: str) -> _Typed:
    typed = _Typed()
    if way == HERE:
        typed.model = st.text_input(
            "Name or folder",
            key="setup-here",
            placeholder="Qwen/Qwen2.5-VL-3B-Instruct",
            help="A name at huggingface.co, downloaded when it is first used, or a folder of this machine",
        )
        typed.roles = (_role("Use as", "setup-here-role"),)
        return typed
    example = "http://localhost:8000/v1" if way == SERVER else OLLAMA
    left, right = st.columns(2)
    typed.address = left.text_input(
        "Address",
        "" if way == SERVER else OLLAMA,
        key=f"setup-address-{way}",
        placeholder=example,
        help="Ends in /v1 for most servers: OpenAI's is https://api.openai.com/v1" if way == SERVER else "Ollama's own",
    )
    typed.model = right.text_input(
        "Model", key=f"setup-model-{way}", placeholder="gpt-4o-mini" if way == SERVER else "qwen3-vl:8b"
    )
    chosen = st.pills(
        "Use as", ROLES, selection_mode="multi", default=ROLES, format_func=_role_name, key=f"setup-roles-{way}"
    )
    typed.roles = tuple(role for role in ROLES if role in chosen)
    if way == SERVER:
        left, right = st.columns(2)
        about = "Sent only to this address, with requests of this model. Never shown again"
        typed.key = left.text_input(
            "Key", key=f"setup-key-{version}", type="password", autocomplete="off", placeholder=key_now, help=about
        )
        ring = keyring_name()
        places: list[Keep] = ["keyring", "session"] if ring else ["session"]
        typed.keep = right.selectbox(
            "Keep the key",
            places,
            format_func=lambda place: "In the system's keyring" if place == "keyring" else "Until the dashboard ends",
            key="setup-keep",
            help=None if ring else "This machine has no keyring that keeps keys encrypted",
        )
    return typed


def _role(label: str, key: str) -> Role:
    chosen = st.segmented_control(label, ROLES, default="vision", required=True, format_func=_role_name, key=key)
    return "questioner" if chosen == "questioner" else "vision"


def _role_name(role: Role) -> str:
    return capital(NAMES[role])


def _model(way: str, typed: _Typed) -> SetUpModel:
    if not typed.roles:
        raise UsageError("choose what the model is used as: vision model, language model or both")
    if way == SERVER:
        return SetUpModel.endpoint(typed.address, typed.model, typed.roles)
    if way == LOCAL:
        return SetUpModel.ollama(typed.model, typed.address, typed.roles)
    text = typed.model.strip()
    if text.startswith(("/", "~", ".", "\\")) or (text and os.path.lexists(Path(text).expanduser())):
        require_server_paths()
        text = str(Path(text).expanduser().absolute())
    return SetUpModel.here(text, typed.roles[0])


# --- the test ---------------------------------------------------------------------------------------------------------


def _test(state: SetupState, model: SetUpModel, key: str = "") -> None:
    require_model_setup()
    state.outcomes, state.tested, state.title = [], model.name, model.title
    state.job = visitor().jobs.start("test of a model", lambda job: _try_all(job, state, model, key))


def _try_all(job: Job, state: SetupState, model: SetUpModel, key: str) -> None:
    for role in model.roles:
        job.check()
        job.doing = f"asking the {NAMES[role]}"
        outcome = try_model(model, role, key)
        if state.tested != model.name:  # another test has begun
            return
        state.outcomes.append(outcome)
        if outcome.problem and model.address and model.model not in outcome.models:
            return  # the second question would fail in the same way


def _draw_trial(state: SetupState) -> None:
    if not state.tested:
        return
    with st.container(border=True, key="setup-result"):
        st.markdown(f"**Test of {plain(state.title)}**")
        for outcome in state.outcomes:
            _draw_outcome(outcome)
        if state.job is not None and state.job.active:
            draw_job(state.job, "setup-stop")
            return
        if state.job is not None and state.job.error:
            st.error(plain(state.job.error))
        if state.model is None or state.model.name != state.tested:
            return
        works = bool(state.outcomes) and not any(outcome.problem for outcome in state.outcomes)
        with st.container(horizontal=True):
            label, kind = ("Add model", "primary") if works else ("Add anyway", "secondary")
            act_button(label, "setup-add", _add, state, icon="add", type=kind)
            act_button("Discard", "setup-discard", state.clear, icon="close")


def _draw_outcome(outcome: Outcome) -> None:
    picture, words = st.columns([1, 4], vertical_alignment="center")
    if outcome.role == "vision":
        picture.image(sample(), width=120)
    else:
        picture.markdown(":material/forum:")
    with words:
        st.caption(f"{_role_name(outcome.role)}: {plain(outcome.question)}")
        if outcome.problem:
            st.error(plain(sentence(outcome.problem)), icon=":material/error:")
            return
        st.markdown(f"{plain(outcome.answer, 400)}  \n:small[{outcome.seconds:.1f} seconds]")
        if outcome.doubt:
            st.warning(plain(outcome.doubt), icon=":material/help:")
        else:
            st.html(f"<p>{tag('works')}</p>")


def _add(state: SetupState) -> None:
    require_model_setup()
    if state.model is None:
        return
    model = saved_models().add(state.model, state.key, state.keep)
    _refresh_choices(model)
    uses = " or ".join(NAMES[role] for role in model.roles)
    state.clear(f"{model.title} was added: choose it as {uses} on the other pages.")


# --- those that are set up --------------------------------------------------------------------------------------------


def _draw_saved(state: SetupState, saved: SavedModels) -> None:
    st.subheader("Models that are set up", anchor=False)
    found = saved.all()
    if not found:
        note("None yet. The built-in model pocket needs no setup.", "info")
    for number, model in enumerate(found):
        with st.container(border=True, key=f"setup-model-{number}"):
            words, buttons = st.columns([3, 2], vertical_alignment="center")
            lost = model.keep != "none" and not saved.has_key(model)
            kept = "key missing: add the model again with its key" if lost else KEPT[model.keep]
            words.markdown(f"**{plain(model.title)}**")
            words.html(f"<p><code>{escape(model.name)}</code></p>")
            uses = ", ".join(NAMES[role] for role in model.roles)
            words.html(f"<p>{tag(kept, 'red' if lost else '')} {escape(uses)}</p>")
            with buttons.container(horizontal=True, horizontal_alignment="right"):
                if button("Test", f"setup-test-{number}", icon="play_arrow"):
                    state.clear()
                    with show_errors():
                        _test(state, model)
                        st.rerun()
                act_button("Remove", f"setup-remove-{number}", _remove, state, model, icon="delete")


def _remove(state: SetupState, model: SetUpModel) -> None:
    require_model_setup()
    saved_models().remove(model.name)
    _refresh_choices(model)
    state.clear(f"{model.title} was removed" + (", and its key deleted." if model.keep != "none" else "."))


def _refresh_choices(model: SetUpModel) -> None:
    choice_of.clear()
    models().forget(model.name)
