"""The dialog that exports captions of the gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import streamlit as st
from streamlit import config

from agents.captions.export import FORMATS
from ui.controls import act_button, close_dialog, dialog, dialog_value
from ui.gallery.exports import ExportRequest, write_beside
from ui.gallery.library import libraries_of
from ui.gallery.routes import PREFIX
from ui.state.options import get_options, require_server_paths
from ui.text import count, escape

if TYPE_CHECKING:
    from ui.gallery.entries import Entry
    from ui.gallery.folder import GalleryFolder
    from ui.gallery.grid import GridRequest
    from ui.state.session import Visitor

NAME: Final = "gallery-export"


def draw_export_dialog(me: Visitor, folder: GalleryFolder, library: str) -> None:
    """The dialog, if it is open."""
    if dialog_value(NAME) is not None:
        dialog(NAME, "Export captions", lambda: _form(me, folder, library))


def _form(me: Visitor, folder: GalleryFolder, library: str) -> None:
    request: GridRequest = dialog_value(NAME)
    entries = folder.entries(request.numbers)
    with_caption = [one for one in entries if one.caption.strip()]
    which = "selected" if request.chosen else "shown"
    bare = len(entries) - len(with_caption)
    note = f"; {count(bare, 'picture')} without one will be left out" if bare else ""
    st.write(f"{count(len(with_caption), 'caption')} of the {count(len(entries), 'picture')} {which}{note}.")
    chosen = st.selectbox(
        "Format", list(FORMATS), format_func=lambda name: FORMATS[name].label, key="gallery-format"
    )  # fmt: skip
    st.caption(FORMATS[chosen].about)
    base = (config.get_option("server.baseUrlPath") or "").rstrip("/")
    name = libraries_of(me).offer(ExportRequest(chosen, request.numbers))
    with st.container(horizontal=True):
        url = f"{base}{PREFIX}/{library}/export/{name}"
        if with_caption:
            st.html(f'<a class="iq-download" href="{escape(url)}" download>Download</a>')
        if chosen == "xmp" and get_options().may_use_server_paths and folder.root != libraries_of(me).own:
            about = "Into the folder; what else is in a sidecar stays"
            act_button("Write beside the pictures", "gallery-xmp", _beside, folder, with_caption, help=about)


def _beside(folder: GalleryFolder, entries: list[Entry]) -> None:
    require_server_paths()
    written = write_beside(folder, entries)
    close_dialog(NAME)
    st.toast(f"{count(written, 'XMP sidecar')} written.")
