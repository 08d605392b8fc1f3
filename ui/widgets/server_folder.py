"""Fields of the pages Curate and Train, which work in folders of this machine."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.errors import printable
from ui.state.options import require_server_paths
from ui.text import show_errors


def may_enter() -> bool:
    """Whether the visitor may use folders of this machine; shows the reason if not."""
    with show_errors():
        require_server_paths()
        return True
    return False


def choose_root(key: str, what: str, kept: str) -> tuple[Path, str]:
    """The folder whose curations or trainings are listed, and the text as typed; the working directory by default."""
    help = "A folder of this machine; it is searched three levels deep"
    typed = st.text_input(f"Folder with {what}", kept, key=key, placeholder=str(Path.cwd()), help=help)
    return Path(typed.strip() or ".").expanduser().absolute(), typed


def absolute(typed: str) -> Path | None:
    """A typed path as absolute path; None if nothing was typed."""
    return Path(typed.strip()).expanduser().absolute() if typed.strip() else None


def short_path(path: Path, root: Path) -> str:
    """`path` relative to `root` or the home folder, else absolute."""
    for base, start in ((root, ""), (Path.home(), "~/")):
        if path.is_relative_to(base):
            inner = path.relative_to(base)
            return printable(f"{start}{inner}" if inner.parts else path.name, limit=80)
    return printable(path, limit=80)
