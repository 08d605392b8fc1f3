"""The state of the page Gallery for one visitor; it survives a reload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ui.state.options import get_options

if TYPE_CHECKING:
    from ui.state.session import Visitor


@dataclass
class GalleryPageState:
    """The state of the page Gallery."""

    typed: str = ""
    """The folder of this machine, as typed."""


def page_state(me: Visitor) -> GalleryPageState:
    """The visitor's state of the page; at first with the folder that the dashboard was started with."""

    def make() -> GalleryPageState:
        options = get_options()
        given = options.folder is not None and options.may_use_server_paths
        return GalleryPageState(typed=str(options.folder) if given else "")

    return me.keep("gallery", make)
