"""Editing of a finished caption: a dialog with the text and its earlier versions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from core.records import Caption
from ui.controls import button, close_dialog, dialog, dialog_value, open_dialog
from ui.text import escape, label, show_errors

MAX_CHARS = 8000


def draw_edit(name: str, caption: Caption | None, key: str, save: Callable[[str], object]) -> None:
    """A button that opens the dialog `name`, which edits `caption` by `save(text)`; nothing for an unfinished one."""
    if caption is None or caption.status != "complete":
        return
    dialog_name = f"edit-{name}"
    if button("Edit the caption", f"edit-{key}", icon="edit", type="tertiary"):
        open_dialog(dialog_name, key)
    if dialog_value(dialog_name) == key:
        dialog(dialog_name, "Edit the caption", partial(_editor, dialog_name, caption, key, save))


def _editor(name: str, caption: Caption, key: str, save: Callable[[str], object]) -> None:
    def submit(text: str) -> None:
        with show_errors():
            save(text)
            close_dialog(name)
            st.rerun()

    version = f"{key}-{len(caption.edits)}"
    with st.form(f"{name}-form", border=False):
        text = st.text_area("Caption", caption.text, max_chars=MAX_CHARS, height=180, key=f"{name}-text-{version}")
        if st.form_submit_button("Save", type="primary"):
            submit(text)
    earlier = [text for text in caption.versions if text != caption.text]
    if earlier:
        st.caption("Earlier versions")
    for number, text in enumerate(earlier, start=1):
        by = "by the models" if text == caption.written else "edited"
        st.html(f'<p class="iq-note">{escape(text)} ({by})</p>')
        if button(label(f"Restore version {number}"), f"{name}-restore-{version}-{number}", icon="undo"):
            submit(text)
