"""The dashboard: `inquisight ui`, or `streamlit run ui/app.py`.

Each page is one file in this folder with a function `page`, and is imported when it is first opened.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Streamlit puts the script's folder first on the path, where `ui/plugins.py` and others would hide our packages.
_HERE = Path(__file__).resolve().parent
sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != _HERE]
if str(_HERE.parent) not in sys.path:
    sys.path.insert(0, str(_HERE.parent))

import streamlit as st  # noqa: E402

from core.errors import InquisightError  # noqa: E402
from ui.shared.entrance import admit  # noqa: E402
from ui.shared.going import remember  # noqa: E402
from ui.shared.icon import icon  # noqa: E402
from ui.shared.options import UiOptions, get_options  # noqa: E402
from ui.shared.style import style  # noqa: E402
from ui.shared.words import plain, sentence, told  # noqa: E402


@dataclass(frozen=True)
class Place:
    """One page: the module `ui.<name>`."""

    name: str
    title: str
    icon: str
    of_the_machine: bool = False  # needs the right to use folders of this machine

    def draw(self) -> Callable[[], None]:
        def page() -> None:
            with told():
                importlib.import_module(f"ui.{self.name}").page()

        return page


PLACES = (
    Place("interview", "Interview", ":material/forum:"),
    Place("chat", "Chat", ":material/chat:"),
    Place("video", "Video", ":material/movie:"),
    Place("compare", "Compare", ":material/compare:"),
    Place("history", "History", ":material/history:"),
    Place("curate", "Curate", ":material/fact_check:", of_the_machine=True),
    Place("train", "Train", ":material/model_training:", of_the_machine=True),
    Place("plugins", "Plugins and models", ":material/extension:", of_the_machine=True),
)


def places(options: UiOptions) -> list[Place]:
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
    with st.sidebar:
        busy = one.jobs.active()
        if busy:
            st.caption(f"{len(busy)} of your tasks {'is' if len(busy) == 1 else 'are'} at work.")
        if options.oidc:
            st.button("Log out", on_click=st.logout, icon=":material/logout:")
    chosen.run()


if __name__ == "__main__":
    main()
