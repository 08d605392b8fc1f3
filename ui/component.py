"""Our own Streamlit components: HTML, CSS and JavaScript that run in the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit import runtime


def component(name: str, html: str, js: str, css: str = "", *, isolate: bool = True) -> Callable[..., Any]:
    """A function that mounts the component `inquisight_<name>`, registered on first use.

    `isolate`: its styles do not affect the page, and those of the page do not affect it.
    """

    @st.cache_resource(show_spinner=False)
    def register(name: str, runtime_id: int) -> Any:
        # Components belong to the server they were registered with; tests run several in one process.
        return st.components.v2.component(
            f"inquisight_{name}", html=html, css=css or None, js=js, isolate_styles=isolate
        )

    def mount(**arguments: Any) -> Any:
        return register(name, id(runtime.get_instance()) if runtime.exists() else 0)(**arguments)

    return mount
