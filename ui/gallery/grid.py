"""The grid as a Streamlit component: the server's routes give it pictures and captions, the page does the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import streamlit as st
from streamlit import config

from ui.component import ASSETS, component
from ui.gallery.entries import ORDERS, SHOWN
from ui.gallery.routes import PREFIX

PARTS: Final = ("server", "card", "grid", "view", "bulk", "gallery")
_grid = component("gallery", (ASSETS / "gallery" / "gallery.html").read_text("utf-8"), parts=PARTS)


@dataclass(frozen=True, slots=True)
class GridAction:
    """A button of the page among those of the grid."""

    name: str
    label: str
    main: bool = False


@dataclass(frozen=True, slots=True)
class GridRequest:
    """A click on such a button."""

    name: str
    numbers: tuple[int, ...]
    """The pictures that are selected, else those that are shown."""
    chosen: bool
    """Whether they were selected."""


def draw_grid(
    library: str,
    folder: str,
    actions: Sequence[GridAction],
    act: Callable[[GridRequest], None],
    *,
    empty: str,
    key: str,
    uploads: bool = False,
) -> None:
    """Draw the grid of the folder with the id `library`; `act` is called before the page is drawn again."""

    def clicked() -> None:
        if (request := _request(st.session_state.get(key))) is not None:
            act(request)

    data = {
        "base": f"{(config.get_option('server.baseUrlPath') or '').rstrip('/')}{PREFIX}",
        "library": library,
        "folder": folder,
        "shows": dict(SHOWN),
        "orders": dict(ORDERS),
        "actions": [asdict(action) for action in actions],
        "empty": empty,
        "uploads": uploads,
    }
    _grid(data=data, key=key, on_act_change=clicked)


def _request(value: Any) -> GridRequest | None:
    """What a browser sent, None for anything else."""
    sent = (value or {}).get("act") if hasattr(value, "get") else None
    if not isinstance(sent, dict) or not isinstance(sent.get("numbers"), list):
        return None
    numbers = tuple(int(one) for one in sent["numbers"] if isinstance(one, int | float))
    return GridRequest(str(sent.get("name", "")), numbers, bool(sent.get("chosen")))
