"""The dashboard: `inquisight ui`, or `streamlit run ui/server/asgi.py`.

Each page is a module in `ui/pages` with a function `page`, imported when it is first opened.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from typing import Final

ROOT: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if ROOT not in sys.path:  # `streamlit run` adds only the script's own folder
    sys.path.insert(0, ROOT)

import streamlit as st  # noqa: E402

from core.errors import InquisightError, UsageError  # noqa: E402
from ui.component import ASSETS, apply_style  # noqa: E402
from ui.navigation import set_pages  # noqa: E402
from ui.state.options import UiOptions, get_options  # noqa: E402
from ui.text import count, error_message, plain, show_errors  # noqa: E402
from ui.views.login import admit  # noqa: E402
from ui.widgets.attention import apply_focus  # noqa: E402


@dataclass(frozen=True)
class PageEntry:
    """One page: the module `ui.pages.<name>`."""

    name: str
    title: str
    icon: str
    uses_server_paths: bool = False
    sets_up_models: bool = False

    def is_open(self, options: UiOptions) -> bool:
        """Whether visitors of this dashboard have the page."""
        if self.sets_up_models:
            return options.may_set_up_models
        return options.may_use_server_paths or not self.uses_server_paths

    def draw(self) -> None:
        """Draw the page, or the error that prevents it."""
        with show_errors():
            try:
                module = importlib.import_module(f"ui.pages.{self.name}")
            except ModuleNotFoundError as error:
                raise UsageError(
                    f"this page needs the package '{error.name}': pip install 'inquisight[train]'"
                ) from error
            module.page()


PAGES = (
    PageEntry("interview", "Interview", ":material/forum:"),
    PageEntry("chat", "Chat", ":material/chat:"),
    PageEntry("video", "Video", ":material/movie:"),
    PageEntry("compare", "Compare", ":material/compare:"),
    PageEntry("gallery", "Gallery", ":material/photo_library:"),
    PageEntry("history", "History", ":material/history:"),
    PageEntry("curate", "Curate", ":material/fact_check:", uses_server_paths=True),
    PageEntry("train", "Train", ":material/model_training:", uses_server_paths=True),
    PageEntry("setup", "Set up a model", ":material/add_link:", sets_up_models=True),
    PageEntry("plugins", "Plugins and models", ":material/extension:", uses_server_paths=True),
)


def pages_for(options: UiOptions) -> list[PageEntry]:
    """The pages that visitors of this dashboard have."""
    return [page for page in PAGES if page.is_open(options)]


def main() -> None:
    """One run of the script: one visitor opens or uses one page."""
    st.set_page_config(page_title="Inquisight", page_icon=str(ASSETS / "icon.png"), layout="wide")
    apply_style()
    try:
        me = admit()
    except InquisightError as error:
        st.error(plain(error_message(error)))
        return
    if me is None:
        return
    options = get_options()
    first = "gallery" if options.folder is not None and options.may_use_server_paths else PAGES[0].name
    pages = {
        page.name: st.Page(page.draw, title=page.title, icon=page.icon, url_path=page.name, default=page.name == first)
        for page in pages_for(options)
    }
    set_pages(pages)
    chosen = st.navigation(list(pages.values()))
    st.set_page_config(page_title=f"{chosen.title} · Inquisight")
    with st.sidebar:
        jobs = me.jobs.active()
        waiting = sum(job.state == "waiting" for job in jobs)
        if busy := len(jobs) - waiting:
            st.caption(f"{count(busy, 'task')} running" + (f", {waiting} waiting." if waiting else "."))
        if options.oidc:
            st.button("Log out", on_click=st.logout, icon=":material/logout:")
    chosen.run()
    apply_focus()


if __name__ == "__main__":
    main()
