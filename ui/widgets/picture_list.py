"""The list of a visitor's pictures on the page Interview: state and progress of each, choosing one, removing one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import streamlit as st

from ui.state.interviews import InterviewItem, InterviewPageState
from ui.text import label
from ui.views.style import text
from ui.views.video_view import data_url
from ui.widgets.attention import lead_to

LIST: Final = "pictures"
MOST_HIGH: Final = 6  # rows that are shown without scrolling
_CSS: Final = """
<style>
[class*="st-key-row-"] { border-left: 3px solid transparent; padding-left: .6rem; flex-wrap: nowrap !important; }
[class*="st-key-row-"] > div:nth-child(2) { min-width: 0; }
[class*="st-key-row-"] button { min-height: 1.5rem; padding: 0; max-width: 100%; }
[class*="st-key-row-"] button p { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
[class*="st-key-row-"] .iq-note { margin: 0; }
[class*="st-key-remove-"] button { min-width: 2rem; min-height: 2rem; justify-content: center; }
[class*="st-key-remove-"] button p { position: absolute; width: 1px; height: 1px; clip-path: inset(50%); }
.iq-thumb { width: 2.6rem; height: 2.6rem; object-fit: cover; border-radius: .4rem; display: block; }
.st-key-CHOSEN { border-left-color: light-dark(#0f766e, #2dd4bf) !important; }
</style>
"""


def draw_list(desk: InterviewPageState, remove: Callable[[InterviewItem], None]) -> None:
    """One row for each picture; nothing where there is one picture only."""
    shown = desk.item
    if shown is None or len(desk.items) < 2:
        return
    items = list(desk.items.values())
    st.html(_CSS.replace("CHOSEN", f"row-{shown.key}"))
    with st.container(key=LIST, gap="small", height=58 * MOST_HIGH if len(items) > MOST_HIGH else "content"):
        for item in items:
            _row(desk, item, remove)
    if any(item.active for item in items):
        with st.container(horizontal=True):
            st.button("Stop all", key="stop-all", icon=":material/stop:", on_click=desk.stop)
            if desk.picked is not None:
                st.button(
                    "Follow the interviews",
                    key="follow",
                    type="tertiary",
                    icon=":material/sync:",
                    on_click=desk.pick,
                    args=(None,),
                    help="Show whichever picture is being talked about",
                )


def _row(desk: InterviewPageState, item: InterviewItem, remove: Callable[[InterviewItem], None]) -> None:
    name = label(item.info.source, 40)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"row-{item.key}"):
        if item.held is not None:
            st.html(f'<img class="iq-thumb" src="{data_url(item.held.thumbnail)}" alt="">', width="content")
        with st.container(gap=None):
            st.button(
                name,
                key=f"show-{item.key}",
                type="tertiary",
                help="Show this picture and its interview",
                on_click=_show,
                args=(desk, item),
            )
            st.html(f'<p class="iq-note iq-state">{text(item.progress)}</p>')
        st.button(
            f"Remove {name}",
            key=f"remove-{item.key}",
            type="tertiary",
            icon=":material/close:",
            help=f"Remove {name}; its transcript stays in the history",
            on_click=remove,
            args=(item,),
        )


def _show(desk: InterviewPageState, item: InterviewItem) -> None:
    desk.pick(item.info.sha256)
    lead_to("talk")
