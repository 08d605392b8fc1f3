"""Messages that stay on a page, across reruns and reloads, until the visitor dismisses them.

notices = notices_of(me, "interview")
notices.add("3 of 7 files were not added: 2 HEIC (a.heic), 1 truncated (cut.jpg).", details)
draw_notices(notices, focus="interview-intake")
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import streamlit as st

from ui.controls import act_button
from ui.text import escape, plain
from ui.widgets.attention import focus_on

if TYPE_CHECKING:
    from ui.state.session import Visitor

MAX_NOTICES: Final = 6  # the oldest ones are dropped


@dataclass(frozen=True, slots=True)
class PageNotice:
    """One message, with details one a line."""

    words: str
    details: tuple[str, ...] = ()
    id: str = field(default_factory=lambda: secrets.token_hex(4), compare=False)


class Notices:
    """The messages of one page that were not dismissed."""

    def __init__(self) -> None:
        self.all: list[PageNotice] = []

    def add(self, words: str, details: Sequence[str] = ()) -> None:
        """Add a message; an equal one is replaced."""
        new = PageNotice(words, tuple(details))
        self.all = [*(one for one in self.all if one != new), new][-MAX_NOTICES:]


def notices_of(me: Visitor, page: str) -> Notices:
    """The messages of one page of a visitor."""
    return me.keep(f"notices {page}", Notices)


def draw_notices(notices: Notices, *, focus: str) -> None:
    """All messages, each with a button that dismisses it and moves the focus to the container `focus`."""
    for number, one in enumerate(list(notices.all), start=1):
        with st.container(key=f"notice-{one.id}", gap="small"):
            st.error(plain(one.words), icon=":material/error:")
            if one.details:
                lines = "".join(f"<li>{escape(line)}</li>" for line in one.details)
                st.html(f'<details class="iq-note"><summary>Details</summary><ul>{lines}</ul></details>')
            label = "Dismiss" if len(notices.all) == 1 else f"Dismiss message {number}"
            act_button(label, f"dismiss-{one.id}", _dismiss, notices, one, focus, icon="close", type="tertiary")


def _dismiss(notices: Notices, notice: PageNotice, focus: str) -> None:
    notices.all.remove(notice)
    focus_on(focus, control=True)
