"""From one page to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

_PAGES: Final = "inquisight.pages"


def remember(pages: Mapping[str, Any]) -> None:
    """The pages of this visitor by name, as `st.navigation` has them; the app says so in each run."""
    st.session_state[_PAGES] = dict(pages)


def go(name: str) -> None:
    """Open that page; nothing happens where there is none (a page that runs by itself)."""
    page = st.session_state.get(_PAGES, {}).get(name)
    if page is not None:
        st.switch_page(page)


def draw_kept(id: str, more: str = "") -> None:
    """A link to a kept transcript, at its own address."""
    page = st.session_state.get(_PAGES, {}).get("history")
    words = f"Kept as {id[:10]}{more}"
    if page is None:
        st.caption(words)
    else:
        st.page_link(page, label=words, icon=":material/history:", query_params={"id": id})
