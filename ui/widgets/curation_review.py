"""The review queue of the page Curate: one text with its image, and the buttons that label it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from core.errors import printable
from training.curation import workspace
from training.curation.review import labels
from training.curation.review.review import measured
from ui.controls import icon_of
from ui.text import count, escape, plain, show_errors
from ui.views.review_view import image_of, shortcuts

if TYPE_CHECKING:
    from training.curation.folder import CurationFolder
    from training.curation.review.review import Review
    from ui.state.training import CuratePageState


@st.fragment
def draw_queue(state: CuratePageState, folder: CurationFolder) -> None:
    """The current text, and its buttons. A fragment: a key press redraws this part alone."""
    with show_errors():
        review = _current(state, folder)
        _apply_moves(state, folder, review)
        said, review.message = review.message, ""
        total = len(review.items)
        st.progress(review.done / total if total else 0.0, text=f"{review.done} of {count(total, 'text')} labelled")
        if review.item is None:
            st.success("All texts are labelled.", icon=":material/done_all:")
            _moves(state, review)
            return
        left, right = st.columns([2, 3], gap="medium")
        with left, st.container(key="review-image"):
            image = image_of(review.item.picture)
            if isinstance(image, bytes):
                st.image(image, alt=f"Image {review.item.id}, which the text beside it describes", width="stretch")
            else:
                st.warning(plain(image), icon=":material/broken_image:")
            st.caption(f"{review.place + 1} of {total}: {plain(review.item.id, 60)}")
        with right:
            _text(state, review, review.item)
            if not state.editing:
                _kinds(state, review)
                _moves(state, review)
        st.html(f'<p class="iq-sr" role="status" aria-live="polite">{escape(said)}</p>')


def _current(state: CuratePageState, folder: CurationFolder) -> Review:
    """The review, loaded again at the same text if somebody has changed a text since."""
    version, old = workspace.stamp_of_texts(folder), state.review
    if old is not None and state.version == version:
        return old
    kinds = labels.Kinds.load(state.kinds or None)
    new: Review = workspace.open_review(folder, state.reviewer, stage=state.stage, kinds=kinds)
    state.review, state.version = new, workspace.stamp_of_texts(folder)
    if old is not None and old.item is not None:
        place = next((place for place, item in enumerate(new.items) if item.id == old.item.id), None)
        if place is not None:
            new.go_to(place)
    return new


def _apply_moves(state: CuratePageState, folder: CurationFolder, review: Review) -> None:
    """Apply the pressed buttons to the text that was in view."""
    moves, state.pressed = state.pressed, set()
    review.note = st.session_state.get(_key("note", review), review.note)
    if moves & {"edit", "cancel"}:
        state.editing = "edit" in moves
    with show_errors():
        if "save" in moves:
            review.edit(st.session_state.get(_key("edit", review), ""))
            state.editing = False
        if moved := moves & {"keep", "skip", "back"}:
            getattr(review, moved.pop())()
        elif "undo" in moves:
            review.undo()
    if moves & {"save", "undo"}:
        state.version = workspace.stamp_of_texts(folder)


def _key(name: str, review: Review) -> str:
    return f"{name}-{review.place}-{review.item.of if review.item is not None else ''}"


def _text(state: CuratePageState, review: Review, item: labels.LabelItem) -> None:
    if not state.editing:
        shown = escape(printable(item.text, limit=None)) or "(no text)"
        st.html(f'<p class="iq-caption" style="height:auto">{shown}</p>')
        st.caption(plain(measured(item.text)))
        return
    with st.form("edit", border=False):
        st.text_area("Text", item.text, height=220, key=_key("edit", review))
        with st.container(horizontal=True):
            st.form_submit_button("Save", type="primary", on_click=state.pressed.add, args=("save",))
            st.form_submit_button("Cancel", type="tertiary", on_click=state.pressed.add, args=("cancel",))


def _kinds(state: CuratePageState, review: Review) -> None:
    """A button for each type of error, and a note."""
    keys = shortcuts(review.kinds) if state.keys else {}
    with st.container(horizontal=True, key="review-kinds", gap="small"):
        for kind in review.kinds.kind:
            ticked = kind.name in review.ticked
            st.button(
                kind.name,
                key=f"kind-{kind.name}",
                type="primary" if ticked else "secondary",
                icon=icon_of("check_box" if ticked else "check_box_outline_blank"),
                shortcut=keys.get(kind.name),
                help=kind.says,
                on_click=review.tick,
                args=(kind.key,),
            )
    st.text_input("Note", review.note, key=_key("note", review), max_chars=300)


def _moves(state: CuratePageState, review: Review) -> None:
    """The buttons that save the label, and move between texts."""
    keys = shortcuts(review.kinds) if state.keys else {}

    def button(move: str, words: str, icon: str = "", **more: Any) -> None:
        more = {"shortcut": keys.get(move), "on_click": state.pressed.add, "args": (move,), **more}
        st.button(words, key=f"review-{move}", icon=icon_of(icon), **more)

    with st.container(horizontal=True, key="review-moves", gap="small"):
        if review.item is not None:
            button("keep", "Save, next" if review.ticked else "No errors, next", "arrow_forward", type="primary")
            button("skip", "Skip")
        button("back", "Back", disabled=not review.place)
        button("undo", "Undo", "undo", disabled=not review.can_undo)
        if review.item is not None:
            button("edit", "Edit", "edit")
