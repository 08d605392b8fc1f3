"""Interview: a language model questions a vision model about the visitor's images, and writes a caption of each."""

from __future__ import annotations

from functools import partial

import streamlit as st

from ui.controls import button, close_dialog, dialog_value, draw_job, header, note, open_dialog, refresh
from ui.state.interviews import InterviewItem, InterviewPageState, begin, page_state, resume
from ui.state.items import MAX_ROUNDS
from ui.state.session import Visitor, visitor
from ui.text import count, escape, show_errors
from ui.views.exports import draw_archive, draw_exports
from ui.views.findings_view import draw_image, draw_problems
from ui.views.interview_view import (
    announced_lines,
    asking_html,
    draw_captions,
    draw_refused,
    turns_html,
)
from ui.views.sample_view import draw_sample
from ui.widgets.attention import announce, focus_on
from ui.widgets.description import draw_edit
from ui.widgets.image_input import draw_image_input
from ui.widgets.image_list import LIST, draw_list
from ui.widgets.interview_parts import correction_dialog, draw_end, draw_file, draw_saved, draw_start
from ui.widgets.model_choice import choose_asking, choose_audit, choose_dialogue, choose_models, choose_witnesses


def page() -> None:
    """Draw the page."""
    me = visitor()
    state = page_state(me)
    item, job, version = state.item, state.job, state.version()

    def active() -> bool:
        return job is not None and job.active

    def changed() -> bool:
        return state.version() != version

    header("Interview", "A language model asks a vision model about your image, then writes a caption.")
    left, right = st.columns([2, 3], gap="large")
    with left:
        draw_image_input(state, "interview")
        refresh(active, lambda: draw_list(state, _remove), until=changed, key="list")
        if item is not None:
            _image(state, item)
        choose_models(state.settings, "interview")
        start = st.container()  # above the settings, which say whether it may start
        valid = _settings(state)
        with start:
            _start(me, state, valid=valid)
    with right, st.container(key="talk"):
        if item is None:
            draw_sample()
            return
        if item.live is not None and item.live.requested and item.view.state == "complete" and item.upload:
            with show_errors():
                resume(me, item)  # a request that arrived while the interview ended; nothing if it runs
        refresh(active, lambda: _dialogue(me, state, item), until=changed, key=f"talk-{item.key}")
        if item.live is not None:
            _below(me, state, item)
    _correction_dialog(me, state)


# --- image and settings -------------------------------------------------------------------------------------------


def _image(state: InterviewPageState, item: InterviewItem) -> None:
    view = item.view
    if item.upload is None:
        note("The image is not stored with this interview. Add it again to resume.", "image_not_supported")
    else:
        alt = view.text or view.opening or view.plain or f"{item.upload.label}, no caption yet"
        draw_image(item.upload, alt, view.findings, item.key, "stretch")
    draw_file(item, "remove", partial(_remove, item) if len(state.items) == 1 else None)


def _remove(item: InterviewItem) -> None:
    me = visitor()
    state = page_state(me)
    state.remove(item)
    me.images.remove(item.info.sha256, "interview")
    focus_on(LIST if len(state.items) > 1 else "interview-intake", control=True)


def _settings(state: InterviewPageState) -> bool:
    """Draw the settings; returns whether they are valid."""
    settings = state.settings
    with st.expander("Settings", icon=":material/tune:"):
        about = "Includes the opening question; your own questions are not counted"
        rounds = st.number_input("Questions", 1, MAX_ROUNDS, settings.rounds, key="interview-rounds", help=about)
        settings.rounds = int(rounds)
        choose_witnesses(settings, "interview")
        valid = choose_asking(settings, "interview", settings.rounds)
        choose_audit(settings, "interview")
        return choose_dialogue(settings, "interview") and valid


def _start(me: Visitor, state: InterviewPageState, *, valid: bool) -> None:
    shown = state.item
    new = [item for item in state.items.values() if item.upload and item.state == "new"]
    again = [shown] if shown and shown.upload and not new and not shown.active else []
    name = "Restart" if again else f"Start {count(len(new), 'interview')}" if len(new) > 1 else "Start"

    def start() -> None:
        begin(me, again or new, state.settings)
        state.pick(None)

    draw_start(name, "start", state.settings, ready=valid and bool(new or again), start=start, focus="talk")


# --- the dialogue -------------------------------------------------------------------------------------------------


def _dialogue(me: Visitor, state: InterviewPageState, item: InterviewItem) -> None:
    view = item.view
    announce(
        announced_lines(view, item.info.source),
        of=item.key,
        key="announce-interview",
        on_typing=lambda: state.pick(item.info.sha256),
    )
    if len(state.items) > 1:
        place = list(state.items).index(item.info.sha256) + 1 if item.info.sha256 in state.items else 1
        st.html(f'<p class="iq-note">Image {place} of {len(state.items)}: <b>{escape(item.info.source)}</b></p>')
    if item.active and item.job is not None:
        draw_job(item.job, f"stop-{item.key}", progress=item.progress, stop=partial(_stop, item))
    elif item.state == "new":
        note("Choose the models, and press Start.", "play_arrow")
    if item.live is None:
        return
    if view.plain or view.turns:
        caption = None if item.active else view.caption
        draw_captions(view, partial(draw_edit, "interview", caption, item.key, item.live.edit))
    unsure = [number for number, turn in enumerate(view.turns, start=1) if turn.certainty == "unsure"]
    shown = turns_html(view.turns)
    for number, turn in enumerate(shown, start=1):
        if number not in unsure:
            _turn(item, number, turn)
    if unsure:
        with st.expander(f"{count(len(unsure), 'unsure answer')}, not used", icon=":material/help:"):
            for number in unsure:
                _turn(item, number, shown[number - 1])
    if item.active and view.asked:
        st.html(asking_html(view))
    for question in view.waiting:
        st.html(f'<p class="iq-note">Your question is next: {escape(question)}</p>')
    draw_refused(view.refused)
    draw_problems(view.problems)
    draw_end(item, view, len(view.turns), partial(resume, me, item), "talk")


def _turn(item: InterviewItem, number: int, html: str) -> None:
    """A question and its answer, with the button that corrects it."""
    with st.container(key=f"turn-{item.key}-{number}", gap=None):
        st.html(html)
        key = f"change-{item.key}-{number}"
        if item.upload and button(f"Correct answer {number}", key, icon="edit", type="tertiary"):
            open_dialog("interview", (item.info.sha256, number - 1))
            st.rerun()


def _stop(item: InterviewItem) -> None:
    item.stop()
    focus_on("talk")


def _below(me: Visitor, state: InterviewPageState, item: InterviewItem) -> None:
    """The field for the visitor's question, and exports."""
    live, view = item.live, item.view
    if item.upload is not None:
        asked = st.chat_input("Ask your own question", key=f"ask-{item.key}", max_chars=240)
        if asked and live is not None:
            with show_errors():
                live.ask(asked)
                state.pick(item.info.sha256)  # keep showing this image
                resume(me, item)
                st.rerun()
    if view.caption is not None and not item.active:
        draw_exports(view.caption, item.stem, key=f"get-{item.key}")
    captions = [(one.stem, one.view.caption) for one in state.items.values()]
    draw_archive(captions, "interviews.zip", "zip", fewest=2)
    draw_saved(view)


def _correction_dialog(me: Visitor, state: InterviewPageState) -> None:
    sha256, index = dialog_value("interview") or ("", 0)
    item = state.items.get(sha256)
    if item is None or item.live is None or index >= len(item.view.turns):
        close_dialog("interview")
        return
    live, turn = item.live, item.view.turns[index]

    def submit(answer: str, again: bool) -> None:
        live.correct(index, answer, go_on=again)
        resume(me, item)

    key = f"{item.key}-{index}"
    correction_dialog("interview", index + 1, key, turn.question, turn.answer, submit, ask=True)
