"""Parts of the pages Interview and Video: the file, the start, the end, and the correction of an answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from ui.controls import act_button, button, close_dialog, dialog, note, start_button
from ui.navigation import draw_transcript_link
from ui.state.model_choice import blocked
from ui.text import count, escape, label, plain, seconds, sentence, show_errors
from ui.widgets.attention import focus_on

if TYPE_CHECKING:
    from agents.interview.live import LiveState
    from ui.state.items import DialogueSettings, LiveItem


def draw_file(item: LiveItem, key: str, remove: Callable[[], object] | None) -> None:
    """The name and size of an image or video, with a button that removes it."""
    info = item.info
    with st.container(horizontal=True, vertical_alignment="center"):
        more = f", {plain(info.note)}" if info.note else ""
        st.caption(f"{plain(info.source)} ({info.width} × {info.height}{more})")
        if remove is not None:
            name, about = f"Remove {label(info.source, 40)}", "Its transcript stays in the history"
            act_button(name, key, remove, icon="close", type="tertiary", help=about)


def draw_start(
    name: str, key: str, settings: DialogueSettings, *, ready: bool, start: Callable[[], object], focus: str
) -> None:
    """The button that starts interviews, off with the reason if a model cannot be used."""
    reason = blocked(vision=[settings.vision], questioner=[settings.questioner])
    if start_button(name, key, ready=ready, reason=reason, width="stretch"):
        with show_errors():
            start()
            focus_on(focus)
            st.rerun()


def draw_end(item: LiveItem, view: LiveState, answers: int, resume: Callable[[], None], focus: str) -> None:
    """Errors of an interview and, if it or its check is stopped or failed, the button that resumes it."""
    if view.save_error:
        st.warning(plain(sentence(view.save_error)))
    if item.active:
        return
    if item.error:
        st.error(plain(item.error), icon=":material/error:")
    if (view.unaudited or view.state in ("failed", "stopped")) and item.upload is not None:
        if view.state == "stopped":
            note(f"Stopped after {count(answers, 'answer')}.", "pause")
        if button("Check the caption" if view.unaudited else "Resume", f"resume-{item.key}", icon="play_arrow"):
            with show_errors():
                resume()
                focus_on(focus)
                st.rerun()


def draw_saved(view: LiveState) -> None:
    """A link to the stored transcript, with the time the interview took."""
    if view.id:
        took = view.caption.seconds.get("total") if view.caption else None
        draw_transcript_link(view.id, f", {seconds(took)}" if took else "")


def correction_dialog(
    name: str, number: int, key: str, question: str, answer: str, submit: Callable[[str, bool], None], *, ask: bool
) -> None:
    """The dialog that corrects an answer, by `submit(answer, ask_again)`.

    `ask`: the visitor chooses whether the questions after it are asked again.
    """
    content = partial(_correction, name, key, question, answer, submit, ask)
    dialog(name, f"Correct answer {number}", content)


def _correction(
    name: str, key: str, question: str, answer: str, submit: Callable[[str, bool], None], ask: bool
) -> None:
    st.html(f'<p class="iq-q">{escape(question)}</p>')
    with st.form(name, border=False):
        right = st.text_area("Correct answer", answer, max_chars=700, key=f"{name}-answer-{key}")
        follow = "keep"
        if ask:
            choices = {"again": "Ask them again", "keep": "Keep them, and rewrite only the caption"}
            follow = st.radio("Following questions", list(choices), format_func=choices.get, key=f"{name}-follow-{key}")
        else:
            st.caption("The questions stay, and the caption is rewritten.")
        if st.form_submit_button("Save", type="primary"):
            with show_errors():
                submit(right, follow == "again")
                close_dialog(name)
                st.rerun()
