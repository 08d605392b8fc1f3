"""The dashboard's style sheet, and its own Streamlit components: HTML, with CSS and JavaScript from `ui/assets`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import streamlit as st
from streamlit import runtime

ASSETS: Final = Path(__file__).parent / "assets"


def apply_style() -> None:
    """Add the style sheet; call it once in each run, before anything is drawn."""
    st.html(ASSETS / "style.css")


def component(
    name: str, html: str, *, css: str = "", isolate: bool = True, parts: Sequence[str] = ()
) -> Callable[..., Any]:
    """A function that mounts a component with the code of `<name>.js`, registered on first use.

    `css`: another style sheet than `<name>.css`. `isolate`: its styles do not affect the page, nor the page's it.
    `parts`: the names of several files of code in the folder `<name>`, in order, with the style sheet in it.
    """

    @st.cache_resource(show_spinner=False)
    def register(name: str, runtime_id: int) -> Any:
        # Components belong to the server they were registered with; tests run several in one process.
        folder = ASSETS / name if parts else ASSETS
        style = folder / f"{css or name}.css"
        code = [folder / f"{part}.js" for part in parts or (name,)]
        return st.components.v2.component(
            f"inquisight_{name}",
            html=html,
            css=style.read_text("utf-8") if style.is_file() else None,
            js="\n".join(file.read_text("utf-8") for file in code),
            isolate_styles=isolate,
        )

    def mount(**arguments: Any) -> Any:
        return register(name, id(runtime.get_instance()) if runtime.exists() else 0)(**arguments)

    return mount
