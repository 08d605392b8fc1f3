"""The dashboard: `inquisight ui`, or `streamlit run ui/server/app.py`.

Each page is one module in `ui/pages` with a function `page`, and is imported when it is first opened.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

ROOT: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if ROOT not in sys.path:  # `streamlit run` puts only the script's own folder there
    sys.path.insert(0, ROOT)

import streamlit as st  # noqa: E402

from core.errors import InquisightError, UsageError  # noqa: E402
from ui.state.navigation import remember  # noqa: E402
from ui.state.options import UiOptions, get_options  # noqa: E402
from ui.text import count, plain, sentence, told  # noqa: E402
from ui.views.login import admit  # noqa: E402
from ui.views.style import style  # noqa: E402
from ui.widgets.attention import attention  # noqa: E402
from ui.widgets.icon import icon  # noqa: E402


@dataclass(frozen=True)
class PageEntry:
    """One page: the module `ui.pages.<name>`."""

    name: str
    title: str
    icon: str
    of_the_machine: bool = False  # needs the right to use folders of this machine

    def draw(self) -> Callable[[], None]:
        def page() -> None:
            with told():
                self._module().page()

        return page

    def _module(self) -> Any:
        try:
            return importlib.import_module(f"ui.pages.{self.name}")
        except ModuleNotFoundError as error:
            raise UsageError(
                f"this page needs the module '{error.name}', which is not installed: pip install 'inquisight[train]'"
            ) from error


PLACES = (
    PageEntry("interview", "Interview", ":material/forum:"),
    PageEntry("chat", "Chat", ":material/chat:"),
    PageEntry("video", "Video", ":material/movie:"),
    PageEntry("compare", "Compare", ":material/compare:"),
    PageEntry("history", "History", ":material/history:"),
    PageEntry("curate", "Curate", ":material/fact_check:", of_the_machine=True),
    PageEntry("train", "Train", ":material/model_training:", of_the_machine=True),
    PageEntry("plugins", "Plugins and models", ":material/extension:", of_the_machine=True),
)


def places(options: UiOptions) -> list[PageEntry]:
    """The pages that visitors of this dashboard have."""
    return [place for place in PLACES if options.may_use_server_paths or not place.of_the_machine]


def main() -> None:
    """One run of the script: one visitor looks at one page."""
    st.set_page_config(page_title="Inquisight", page_icon=icon(), layout="wide")
    style()
    try:
        one = admit()
    except InquisightError as error:
        st.error(plain(sentence(error)))
        return
    if one is None:
        return
    options = get_options()
    pages = {
        place.name: st.Page(
            place.draw(), title=place.title, icon=place.icon, url_path=place.name, default=place is PLACES[0]
        )
        for place in places(options)
    }
    remember(pages)
    chosen = st.navigation(list(pages.values()))
    st.set_page_config(page_title=f"{chosen.title} · Inquisight")
    with st.sidebar:
        waiting = sum(job.state == "waiting" for job in one.jobs.active())
        if busy := len(one.jobs.active()) - waiting:
            st.caption(f"{count(busy, 'task')} at work" + (f", {waiting} waiting." if waiting else "."))
        if options.oidc:
            st.button("Log out", on_click=st.logout, icon=":material/logout:")
    chosen.run()
    attention()


if __name__ == "__main__":
    main()
