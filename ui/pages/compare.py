"""Compare: one image, and an interview per vision model or language model, side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from core.settings import get_settings
from ui.controls import act_button, draw_job, header, note, refresh, start_button
from ui.state.comparison import MAX_COLUMNS, Column, ComparePageState, begin, page_state
from ui.state.model_choice import NAMES, Kind, blocked, may_type, offered
from ui.state.session import visitor
from ui.text import capital, count, escape, label, plain, seconds, show_errors, tag
from ui.views.exports import draw_archive
from ui.views.interview_view import captions_html, turns_html
from ui.widgets.attention import announce, focus_on
from ui.widgets.image_input import draw_image_input
from ui.widgets.model_choice import HINTS, choose_model


def page() -> None:
    """Draw the page."""
    state = page_state(visitor())
    header("Compare", "Compare the captions of several models for one image: each column is a separate interview.")
    left, right = st.columns([2, 3], gap="large")
    with left:
        draw_image_input(state, "compare", several=False)
        if (upload := state.upload) is not None:
            alt = next((column.view.summary for column in state.columns if column.view.summary), "")
            st.image(upload.preview, alt=alt or f"{upload.label}, no caption yet", width="stretch")
            st.caption(plain(", ".join(filter(None, (upload.label, upload.info.note)))))
    with right:
        _settings(state)
        _start(state)
    if state.columns:
        with st.container(key="compare-results"):
            refresh(lambda: state.busy is not None, lambda: _results(state), key="compare")


def _settings(state: ComparePageState) -> None:
    kinds: dict[Kind, str] = {kind: f"{capital(name)}s" for kind, name in NAMES.items()}
    kind = st.segmented_control(
        "Compare", list(kinds), default=state.compared, required=True, format_func=kinds.__getitem__, key="compare-axis"
    )
    if kind is not None and kind != state.compared:
        state.compared, state.chosen, state.other = kind, [], ""
    kind, settings = state.compared, get_settings()
    defaults: dict[Kind, str] = {"vision": settings.vision, "questioner": settings.questioner}
    choices = offered(kind)
    ready = [choice.spec for choice in choices if choice.ready]  # "Select all" takes only these
    chosen = state.chosen or ([defaults[kind]] if defaults[kind] in ready else ready[:1])
    state.chosen = st.multiselect(
        kinds[kind],
        list(dict.fromkeys([*ready, *chosen])),
        default=chosen,
        max_selections=MAX_COLUMNS,
        accept_new_options=may_type(kind),
        key=f"compare-{kind}",
        help=HINTS[kind] if may_type(kind) else None,
    )
    if others := [choice.spec for choice in choices if not choice.ready]:
        st.caption(f"Not ready, see Plugins and models: {plain(', '.join(others))}.")
    other: Kind = "questioner" if kind == "vision" else "vision"
    state.other = choose_model(other, f"compare-other-{other}", state.other or defaults[other])
    state.rounds = int(st.number_input("Questions", 1, 30, state.rounds, key="compare-rounds"))


def _start(state: ComparePageState) -> None:
    missing, models = state.missing, state.models
    some = missing < len(models)
    name = "Compare" if not some else f"Add {count(missing, 'column')}" if missing else "Compare again"
    reason = blocked(vision=[vision for vision, _, _ in models], questioner=[asks for _, asks, _ in models])
    ready = state.upload is not None and bool(state.chosen) and (missing > 0 or state.busy is None)
    if start_button(name, "compare-start", ready=ready, reason=reason):
        with show_errors():
            begin(state)
            focus_on("compare-results")
            st.rerun()
    if state.upload is None:
        note("Add an image to begin, or choose an example.", "add_photo_alternate")
    elif not state.chosen:
        note("Choose at least one model; two or more to compare.", "compare")


def _results(state: ComparePageState) -> None:
    lines = [
        f"{state.name(column)}: {column.state}. {column.view.text or column.view.error}"
        for column in state.columns
        if column.state in ("finished", "failed", "stopped")
    ]
    announce(lines, of=state.upload.id if state.upload is not None else "", key="announce-compare")
    if state.busy is not None and len(state.columns) > 1:
        act_button("Stop all", "compare-stop", state.stop, icon="stop")
    for column, place in zip(list(state.columns), st.columns(max(1, len(state.columns)), gap="medium"), strict=False):
        with place:
            _column(state, column)
    if state.busy is None:
        named = [(state.name(column).replace(":", "-").replace("/", "-"), column) for column in state.columns]
        draw_archive([(name, column.view.caption) for name, column in named], "comparison.zip", "compare-zip")


def _column(state: ComparePageState, column: Column) -> None:
    view, job, name = column.view, column.job, label(state.name(column), 40)
    st.subheader(plain(state.name(column)), anchor=False)
    st.html(f'<p class="iq-note">{escape(column.questioner)} asks, {escape(column.vision)} answers</p>')
    with st.container(horizontal=True, vertical_alignment="center"):
        if job is not None and job.active:
            key, stop = f"compare-stop-{column.id}", partial(_act, column.stop)
            draw_job(job, key, progress=column.progress, stop=stop, label=f"Stop {name}", type="tertiary")
        key, about = f"compare-remove-{column.id}", "Its transcript stays in the history"
        remove = partial(_act, state.remove, column)
        act_button(f"Remove {name}", key, remove, icon="close", type="tertiary", help=about)
    st.html(captions_html(view))
    if view.turns:
        unsure = sum(turn.certainty == "unsure" for turn in view.turns)
        facts = [count(len(view.turns), "answer"), f"{unsure} unsure"]
        if view.caption is not None and "total" in view.caption.seconds:
            facts.append(seconds(view.caption.seconds["total"]))
        st.html(f"<p>{''.join(tag(fact) for fact in facts)}</p>")
    with st.expander(f"Dialogue ({len(view.turns)})"):
        for turn in turns_html(view.turns):
            st.html(turn)
    if column.state == "failed":
        st.error(plain(column.error), icon=":material/error:")
    elif column.ended_early:
        note("Stopped.", "pause")


def _act(act: Callable[..., None], *args: object) -> None:
    act(*args)
    focus_on("compare-results")
