"""The list of images on the page Interview: state and progress of each, with buttons to show and remove it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import streamlit as st

from ui.controls import act_button
from ui.state.interviews import InterviewItem, InterviewPageState
from ui.text import data_url, escape, label
from ui.widgets.attention import focus_on

LIST: Final = "images"
MAX_ROWS: Final = 6  # shown without scrolling
_CHOSEN: Final = "<style>.st-key-row-KEY { border-left-color: light-dark(#0f766e, #2dd4bf) !important; }</style>"


def draw_list(state: InterviewPageState, remove: Callable[[InterviewItem], None]) -> None:
    """One row for each image; nothing for a single image."""
    shown = state.item
    if shown is None or len(state.items) < 2:
        return
    items = list(state.items.values())
    st.html(_CHOSEN.replace("KEY", shown.key))
    with st.container(key=LIST, gap="small", height=58 * MAX_ROWS if len(items) > MAX_ROWS else "content"):
        for item in items:
            _row(state, item, remove)
    if any(item.active for item in items):
        with st.container(horizontal=True):
            act_button("Stop all", "stop-all", state.stop, icon="stop")
            if state.picked is not None:
                about = "Show the image whose interview runs"
                act_button("Follow", "follow", state.pick, None, icon="sync", type="tertiary", help=about)


def _row(state: InterviewPageState, item: InterviewItem, remove: Callable[[InterviewItem], None]) -> None:
    name = label(item.info.source, 40)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"row-{item.key}"):
        if item.upload is not None:
            st.html(f'<img class="iq-thumb" src="{data_url(item.upload.thumbnail)}" alt="">', width="content")
        with st.container(gap=None):
            about = "Show this image and its interview"
            act_button(name, f"show-{item.key}", _show, state, item, type="tertiary", help=about)
            st.html(f'<p class="iq-note iq-state">{escape(item.status)}</p>')
        about = f"Remove {name}; its transcript stays in the history"
        key = f"remove-{item.key}"
        act_button(f"Remove {name}", key, remove, item, icon="close", type="tertiary", help=about)


def _show(state: InterviewPageState, item: InterviewItem) -> None:
    state.pick(item.info.sha256)
    focus_on("talk")
