"""Gallery: the pictures of a folder with their captions, to look through, edit, caption and export."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import streamlit as st

from ui.controls import header, note, open_dialog
from ui.gallery.export_form import NAME as EXPORT
from ui.gallery.export_form import draw_export_dialog
from ui.gallery.grid import GridAction, GridRequest, draw_grid
from ui.gallery.library import folders, libraries_of
from ui.gallery.run_form import NAME as RUN
from ui.gallery.run_form import draw_run, draw_run_dialog
from ui.gallery.state import GalleryPageState, page_state
from ui.gallery.uploads import visitor_folder
from ui.state.options import get_options
from ui.state.session import Visitor, visitor
from ui.text import plain, show_errors
from ui.widgets.server_folder import absolute

ACTIONS: Final = (GridAction("run", "Caption", main=True), GridAction("export", "Export"))
PLACES: Final = {"folder": "Folder of this machine", "uploads": "Your uploads"}


def page() -> None:
    """Draw the page."""
    me = visitor()
    state = page_state(me)
    header("Gallery", "Look through pictures, edit their captions, and have new ones written.")
    with show_errors():
        uploads = _choose_place(state) == "uploads"
        root = _uploads(me) if uploads else _choose_folder(state)
        if root is not None:
            _gallery(me, state, root, uploads=uploads)


def _choose_place(state: GalleryPageState) -> str:
    if not get_options().may_use_server_paths:
        return "uploads"
    place = st.segmented_control(
        "Pictures", list(PLACES), default=state.place, required=True, format_func=PLACES.__getitem__,
        key="gallery-place", label_visibility="collapsed",
    )  # fmt: skip
    state.place = place or state.place
    return state.place


def _choose_folder(state: GalleryPageState) -> Path | None:
    state.typed = st.text_input(
        "Folder of pictures", state.typed, key="gallery-folder", placeholder=str(Path.cwd()),
        help="A folder of this machine, with its subfolders",
    )  # fmt: skip
    root = absolute(state.typed)
    if root is None:
        note("Enter a folder to see its pictures.", "photo_library")
    return root


def _uploads(me: Visitor) -> Path:
    own = visitor_folder(me)
    own.touch()
    libraries_of(me).own = own.pictures
    st.caption("Your pictures are deleted when you have not used the dashboard for six hours.")
    return own.pictures


def _gallery(me: Visitor, state: GalleryPageState, root: Path, *, uploads: bool) -> None:
    with st.spinner("Reading the folder"):
        folder = folders().get(root)
    library = libraries_of(me).add(folder.root)
    if folder.left_out:
        st.caption(plain(f"{folder.left_out}."))
    name = hashlib.sha256(str(folder.root).encode("utf-8", "replace")).hexdigest()[:16]
    draw_run(folder)
    empty = "Add pictures with the button above, or drop them here." if uploads else "No pictures found in this folder."
    draw_grid(library, name, ACTIONS, _act, empty=empty, key="gallery-grid", uploads=uploads)
    draw_run_dialog(folder, state)
    draw_export_dialog(me, folder, library)


def _act(request: GridRequest) -> None:
    """A click on a button of the page in the grid."""
    if request.name in ("run", "export"):
        open_dialog(RUN if request.name == "run" else EXPORT, request)
