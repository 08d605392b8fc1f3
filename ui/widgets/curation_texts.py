"""All texts of a curation on the page Curate: search, edit, find and replace with a preview, undo."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import streamlit as st

from core.captions.edits import Replace
from core.errors import UsageError
from training.curation.review.edits import change_all
from training.curation.review.texts import find_texts, preview
from ui.controls import act_button, note
from ui.text import count, escape, label, plain, sentence, show_errors
from ui.views.review_view import MAX_SHOWN, marked_change

if TYPE_CHECKING:
    from training.curation.folder import CurationFolder
    from training.curation.review.labels import LabelItem, Stage
    from ui.state.training import CuratePageState

PAGE_SIZE: Final = 20
MAX_CHARS: Final = 8000


def draw_texts(state: CuratePageState, folder: CurationFolder, stage: Stage) -> None:
    """Draw the texts after `stage`, and the forms that change them."""
    state.reviewer = st.text_input("Your name", state.reviewer, key="texts-reviewer", max_chars=40).strip()
    if not state.reviewer:
        note("Enter your name to edit texts; it is stored with each change.", "badge")
    words = st.text_input("Search", key="texts-words", icon=":material/search:", placeholder="words in the text")
    found = find_texts(folder, stage, words)
    if state.message:
        st.success(plain(state.message), icon=":material/check:")
        state.message = ""
    if state.undo and state.undo[-1][0] == (str(folder.path), stage):
        act_button(f"Undo: {label(state.undo[-1][1], 80)}", "texts-undo", _undo, state, icon="undo")
    with st.expander("Find and replace", icon=":material/find_replace:"), show_errors():
        _replace(state, folder, stage, found)
    pages = max(1, -(-len(found) // PAGE_SIZE))
    if "texts-page" in st.session_state:
        st.session_state["texts-page"] = min(st.session_state["texts-page"], pages)
    st.html(f'<p class="iq-note" role="status">{count(len(found), "text")}</p>')
    page = int(st.pagination(pages, key="texts-page") or 1) if pages > 1 else 1
    for item in found[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]:
        _text(state, folder, stage, item)


def _text(state: CuratePageState, folder: CurationFolder, stage: Stage, item: LabelItem) -> None:
    with st.form(f"text-{item.id}-{item.of}", border=True):
        text = st.text_area(
            label(item.id, 60), item.text, max_chars=MAX_CHARS, key=f"text-area-{item.id}-{item.of}", height="content"
        )
        if st.form_submit_button("Save", disabled=not state.reviewer):
            with show_errors():
                _apply(state, folder, stage, [(item, text)], f"the text of {item.id}")
                st.rerun()


def _replace(state: CuratePageState, folder: CurationFolder, stage: Stage, found: list[LabelItem]) -> None:
    left, right = st.columns(2)
    find = left.text_input("Find", key="texts-find", max_chars=500)
    by = right.text_input("Replace with", key="texts-by", max_chars=500)
    with st.container(horizontal=True):
        whole = st.checkbox("Whole words", key="texts-whole")
        ignore = st.checkbox("Ignore case", key="texts-case")
        regex = st.checkbox("Regular expression", key="texts-regex")
    if not find:
        st.caption("The texts that the search above leaves are changed, after a preview.")
        return
    changes = preview(found, Replace(find, by, regex=regex, ignore_case=ignore, whole_words=whole))
    if not changes:
        st.caption("No text changes.")
        return
    for item, text in changes[:MAX_SHOWN]:
        st.html(f'<p class="iq-note"><b>{escape(item.id)}</b> {marked_change(item.text, text)}</p>')
    if len(changes) > MAX_SHOWN:
        st.caption(f"The first {MAX_SHOWN} of {len(changes):,} are shown.")
    act = partial(_apply, state, folder, stage, changes, f"'{find}' replaced in {count(len(changes), 'text')}")
    name = f"Replace in {count(len(changes), 'text')}"
    act_button(name, "texts-replace", act, icon="find_replace", type="primary", disabled=not state.reviewer)


def _apply(
    state: CuratePageState, folder: CurationFolder, stage: Stage, changes: list[tuple[LabelItem, str]], what: str
) -> None:
    """Save the changes, and remember how to undo them. Raises UsageError."""
    if not state.reviewer:
        raise UsageError("enter your name first; it is stored with each change")
    _, undo = change_all(folder, changes, state.reviewer, stage)
    state.undo.append(((str(folder.path), stage), what, undo))
    state.message = sentence(f"changed: {what}")
    state.review = None


def _undo(state: CuratePageState) -> None:
    """Undo the last change that was made on this page. Raises UsageError if somebody has changed the text since."""
    _, what, undo = state.undo[-1]
    undo()
    state.undo.pop()
    state.message = sentence(f"undone: {what}")
    state.review = None
