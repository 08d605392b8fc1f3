"""What the pages Curate and Train share: who may open them, and which folder of this machine they list."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.errors import printable
from ui.state.options import require_server_paths
from ui.text import told


def may_enter() -> bool:
    """Whether this page is open to whom it is drawn for; says why not where it is not."""
    with told():
        require_server_paths()
        return True
    return False


def shown_path(path: Path, root: Path) -> str:
    """`path` as people read it: below `root` without it, else below their home, else whole."""
    for base, head in ((root, ""), (Path.home(), "~/")):
        try:
            inner = path.relative_to(base)
        except ValueError:
            continue
        return printable(f"{head}{inner}" if str(inner) != "." else path.name, limit=80)
    return printable(path, limit=80)


def root_box(key: str, kept: str, what: str) -> Path:
    """Where on this machine to look; the folder that the dashboard was started in, if nothing else was said."""
    said = st.text_input(
        f"Look for {what} in",
        kept,
        key=key,
        placeholder=str(Path.cwd()),
        help="A folder of this machine; three folders deep are looked through",
    )
    return Path(said.strip() or ".").expanduser().absolute()
