"""Buttons, downloads, dialogs and parts of a page that refresh themselves, in the form in which all pages use them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import streamlit as st

from ui.state.jobs import Job, job_status
from ui.text import attempt, capital, escape, plain, show_attempt_error, show_errors

POLL: Final = 1.0  # seconds between two refreshes
CLICK_SECONDS: Final = 30.0
_CLICKS: Final = "inquisight.clicks"


def header(title: str, intro: str) -> None:
    """The top of a page, with the error of the last `act_button`."""
    st.title(title)
    st.write(intro)
    show_attempt_error()


def icon_of(name: str) -> str | None:
    """Streamlit's name of a Material icon."""
    return f":material/{name}:" if name else None


def note(words: str, icon: str) -> None:
    """A hint what to do next, or what has happened."""
    st.info(words, icon=icon_of(icon))


def act_button(label: str, key: str, act: Callable[..., object], *args: object, icon: str = "", **more: Any) -> None:
    """A button whose click calls `act(*args)` before the page is drawn; `header` shows its error."""
    st.button(label, key=key, icon=icon_of(icon), on_click=attempt, args=(act, *args), **more)


def button(label: str, key: str, *, icon: str = "", **more: Any) -> bool:
    """A button that returns True once after a click, when the page has read all widgets above it.

    With `st.button` alone the click is lost if another event reruns the page before this line. A click that no run
    has reached within CLICK_SECONDS is dropped.
    """
    clicks: dict[str, float] = st.session_state.setdefault(_CLICKS, {})
    st.button(label, key=key, icon=icon_of(icon), on_click=_click, args=(key,), **more)
    return time.monotonic() - clicks.pop(key, -math.inf) < CLICK_SECONDS


def _click(key: str) -> None:
    st.session_state[_CLICKS][key] = time.monotonic()


def start_button(label: str, key: str, *, ready: bool, reason: str = "", **more: Any) -> bool:
    """The primary button of a page; disabled with `reason` beside it, or if not `ready`."""
    disabled = bool(reason) or not ready
    clicked = button(label, key, icon="play_arrow", type="primary", disabled=disabled, **more)
    if reason:
        st.caption(f":material/block: {plain(reason)}")
    return clicked


def download(label: str, data: Any, name: str, key: str, *, icon: str = "download", **more: Any) -> None:
    """A download; `data` may be a function, called on a click. The page is not drawn again."""
    st.download_button(label, data, name, key=key, on_click="ignore", icon=icon_of(icon), **more)


# --- dialogs ------------------------------------------------------------------------------------------------------


def open_dialog(name: str, value: Any = True) -> None:
    """Have the page show the dialog `name`, which reads `dialog_value(name)`."""
    st.session_state[f"dialog.{name}"] = value


def dialog_value(name: str) -> Any:
    """The value of an open dialog; None if it is closed."""
    return st.session_state.get(f"dialog.{name}")


def close_dialog(name: str) -> None:
    """Close the dialog, with the next run of the page."""
    st.session_state.pop(f"dialog.{name}", None)


def dialog(name: str, title: str, draw: Callable[[], object]) -> None:
    """Show a dialog whose content is `draw`; it stays open across reruns until `close_dialog` or a dismissal."""
    st.dialog(title, on_dismiss=partial(close_dialog, name))(draw)()


# --- work in progress ---------------------------------------------------------------------------------------------


def refresh(
    active: Callable[[], bool],
    draw: Callable[[], None],
    *,
    every: float = POLL,
    key: str | None = None,
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Draw a part of the page repeatedly while `active`; then, or earlier if `until`, draw the whole page once.

    Without work it is no fragment, on purpose. A browser's last request for a fragment, sent while the page is drawn
    after the end of the work, would start another run, and Streamlit would discard undelivered output of the run
    before. A request for a fragment that no longer exists starts nothing.
    """
    if not active():
        with st.container(), show_errors():  # a fragment has a container, too: what follows stays in its place
            draw()
        return

    @st.fragment(run_every=every, key=key)
    def part() -> None:
        with show_errors():
            draw()
        if not active() or until():
            st.rerun()

    part()


def draw_job(job: Job, key: str, *, progress: str = "", stop: Callable[[], object] | None = None, **more: Any) -> None:
    """What a job is doing, and a button that stops it."""
    status = job_status(job)
    words = f"{progress}: {status}" if progress and progress != status else status
    # The style sheet keeps it in view on a narrow screen.
    with st.container(horizontal=True, vertical_alignment="center", key=f"running-{key}"):
        st.html(f'<p class="iq-dots">{escape(capital(words))}</p>', width="content")
        more = {"label": "Stop", "disabled": job.state == "stopping", **more}
        act_button(key=key, act=stop or job.stop, icon="stop", **more)
