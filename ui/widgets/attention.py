"""Scrolling and focus after a click, and announcements for screen readers.

focus_on("talk")                                  # in a callback: scroll to the container or widget of that key
apply_focus()                                     # once on each page, at its end
announce(lines, of=item.key, key="talk-announce") # new lines are read out, earlier ones are not repeated
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final

import streamlit as st

from ui.component import component

_LEAD: Final = "inquisight.lead"

# The target may be drawn later than this component, or replaced: poll for it, and restore its focus for a while, unless
# the visitor moves the focus. Each number is handled once.
_lead = component("lead", "<span hidden></span>")
_announce = component(
    "announce",
    '<div class="iq-sr" role="log" aria-live="polite" aria-label="New answers"></div>',
    isolate=False,
)


def focus_on(key: str, *, control: bool = False) -> None:
    """Scroll to the container of that key and focus it as soon as it is drawn; `control`: focus the widget in it."""
    st.session_state[_LEAD] = {"key": key, "control": control, "number": secrets.token_hex(6)}


def apply_focus() -> None:
    """Follow the last `focus_on`. Call it at the end of each run of the whole page."""
    _lead(data={"go": st.session_state.get(_LEAD)}, key="inquisight-lead", height=1)


def announce(lines: Sequence[str], *, of: str, key: str, on_typing: Callable[[], None] | None = None) -> None:
    """Have screen readers read out the new lines. `of` names the dialogue; earlier lines of another one are not read.

    `on_typing` is called once when the visitor starts to type in the page's chat input.
    """
    data = {"lines": list(lines), "of": of, "typing": on_typing is not None}
    _announce(data=data, key=key, on_typing_change=on_typing or (lambda: None))
