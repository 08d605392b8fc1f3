"""Gallery: the pictures of a folder with their captions, to look through, edit, caption and export."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import streamlit as st

from ui.controls import header, note, open_dialog
from ui.gallery.grid import GridAction, GridRequest, draw_grid
from ui.gallery.library import folders, libraries_of
from ui.gallery.run_form import NAME as RUN
from ui.gallery.run_form import draw_run, draw_run_dialog
from ui.gallery.state import GalleryPageState, page_state
from ui.state.options import get_options
from ui.state.session import Visitor, visitor
from ui.text import plain, show_errors
from ui.widgets.server_folder import absolute

ACTIONS: Final = (GridAction("run", "Caption", main=True),)


def page() -> None:
    """Draw the page."""
    me = visitor()
    state = page_state(me)
    header("Gallery", "Look through the pictures of a folder, edit their captions, and have new ones written.")
    with show_errors():
        root = _choose_folder(state)
        if root is not None:
            _gallery(me, state, root)


def _choose_folder(state: GalleryPageState) -> Path | None:
    if not get_options().may_use_server_paths:
        note("Folders of this machine are not open to visitors.", "folder_off")
        return None
    state.typed = st.text_input(
        "Folder of pictures", state.typed, key="gallery-folder", placeholder=str(Path.cwd()),
        help="A folder of this machine, with its subfolders",
    )  # fmt: skip
    root = absolute(state.typed)
    if root is None:
        note("Enter a folder to see its pictures.", "photo_library")
    return root


def _gallery(me: Visitor, state: GalleryPageState, root: Path) -> None:
    with st.spinner("Reading the folder"):
        folder = folders().get(root)
    library = libraries_of(me).add(folder.root)
    if folder.left_out:
        st.caption(plain(f"{folder.left_out}."))
    name = hashlib.sha256(str(folder.root).encode("utf-8", "replace")).hexdigest()[:16]
    draw_run(folder)
    draw_grid(library, name, ACTIONS, _act, empty="No pictures found in this folder.", key="gallery-grid")
    draw_run_dialog(folder, state)


def _act(request: GridRequest) -> None:
    """A click on a button of the page in the grid."""
    if request.name == "run":
        open_dialog(RUN, request)
