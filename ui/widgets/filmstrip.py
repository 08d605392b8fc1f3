"""The timeline of a video: its frames in order of time, as buttons that seek the player on the page.

Each button shows the frame's time and the number of questions about it. A click seeks in the browser to the exact time
(Streamlit's player knows whole seconds only) and reports the frame to the page. If the browser cannot play the video,
the timeline says so, because only the browser knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from ui.component import component

_strip = component(
    "filmstrip",
    '<ol aria-label="Frames in order of time; click to seek"></ol><div role="status" aria-live="polite"></div>',
)


def filmstrip(
    frames: list[dict[str, Any]],
    *,
    chosen: int | None,
    jumps: int,
    kind: str,
    key: str,
    on_chosen: Callable[[int], None],
) -> None:
    """Draw the timeline. Each frame is a dict of

    `number`, `seconds`, `when` (as text), `words` (its label), `picture` (a data URL or ""), `asked` (the number of
    questions about it), `now` (whether it is being asked about) and `first` (whether a scene starts with it).

    The player seeks to `chosen` whenever `jumps` has changed. `kind` names the file format if it cannot be played.
    """

    def choose() -> None:
        number = (st.session_state.get(key) or {}).get("chosen")
        if isinstance(number, int | float):
            on_chosen(int(number))

    data = {"frames": frames, "chosen": chosen, "jumps": jumps, "kind": kind}
    _strip(data=data, key=key, on_chosen_change=choose)
