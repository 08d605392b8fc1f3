"""Links between pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

_PAGES: Final = "inquisight.pages"


def set_pages(pages: Mapping[str, Any]) -> None:
    """Register the pages of `st.navigation` by name, in each run."""
    st.session_state[_PAGES] = dict(pages)


def open_page(name: str) -> None:
    """Switch to that page; do nothing if a page runs alone, as in tests."""
    if name in (pages := st.session_state.get(_PAGES, {})):
        st.switch_page(pages[name])


def draw_transcript_link(id: str, more: str = "") -> None:
    """A link to a stored transcript in the page History."""
    page, words = st.session_state.get(_PAGES, {}).get("history"), f"Transcript {id[:10]}{more}"
    if page is None:
        st.caption(words)
    else:
        st.page_link(page, label=words, icon=":material/history:", query_params={"id": id})
