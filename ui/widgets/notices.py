"""Messages that stay on a page until the visitor dismisses them: they outlive reruns and reloads.

notices = notices_of(me, "interview")
notices.add("3 of 7 files were not read: 2 HEIC (a.heic), 1 truncated (cut.jpg).", details)
draw_notices(notices, focus="interview-intake")
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import streamlit as st

from ui.text import plain
from ui.views.style import text
from ui.widgets.attention import lead_to

if TYPE_CHECKING:
    from ui.state.session import Visitor

MOST: Final = 6  # messages at a time; the oldest go


@dataclass(frozen=True, slots=True)
class PageNotice:
    """One message, with a line for each thing it is about."""

    words: str
    details: tuple[str, ...] = ()
    id: str = field(default_factory=lambda: secrets.token_hex(4))


class Notices:
    """The messages of one page that were not dismissed."""

    def __init__(self) -> None:
        self.all: list[PageNotice] = []

    def add(self, words: str, details: Sequence[str] = ()) -> None:
        """A new message; one that says the same is replaced."""
        kept = [one for one in self.all if (one.words, one.details) != (words, tuple(details))]
        self.all = [*kept, PageNotice(words, tuple(details))][-MOST:]

    def dismiss(self, id: str) -> None:
        """Take a message away."""
        self.all = [one for one in self.all if one.id != id]


def notices_of(me: Visitor, page: str) -> Notices:
    """Those of one page of a visitor."""
    return me.keep(f"notices {page}", Notices)


def draw_notices(notices: Notices, *, focus: str) -> None:
    """All messages, each with a button that dismisses it; the focus goes to the container `focus` then."""
    for number, one in enumerate(list(notices.all), start=1):
        with st.container(key=f"notice-{one.id}", gap="small"):
            st.error(plain(one.words), icon=":material/error:")
            if one.details:
                lines = "".join(f"<li>{text(line)}</li>" for line in one.details)
                st.html(f'<details class="iq-note"><summary>Which, and why</summary><ul>{lines}</ul></details>')
            st.button(
                "Dismiss" if len(notices.all) == 1 else f"Dismiss message {number}",
                key=f"dismiss-{one.id}",
                type="tertiary",
                icon=":material/close:",
                on_click=partial(_dismiss, notices, one.id, focus),
            )


def _dismiss(notices: Notices, id: str, focus: str) -> None:
    notices.dismiss(id)
    lead_to(focus, control=True)
