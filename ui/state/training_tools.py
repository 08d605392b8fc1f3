"""The training plugin's rooms, for the pages Curate and Train.

A page knows no plugin: the package is the one that the registered trainer comes from.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

import streamlit as st

from core.errors import RegistryError, printable
from core.registry import get_registry
from ui.state.options import require_server_paths
from ui.text import told

TRAINER: Final = "stage2"


def may_enter() -> bool:
    """Whether this page is open to whom it is drawn for; says why not where it is not."""
    with told():
        require_server_paths()
        return True
    return False


def room(name: str) -> Any:
    """The module `name` ("runs", "curation.desk") of the package that trains.

    Everything that these pages read, start and stop is behind it. Raises RegistryError, and UsageError for visitors who
    may not use folders of this machine.
    """
    require_server_paths()
    entry = get_registry().find("trainer", TRAINER)
    if not isinstance(entry.target, str):
        raise RegistryError(f"the trainer '{entry.name}' of {entry.distribution} offers nothing to look at here.")
    package = entry.target.partition(":")[0].rpartition(".")[0]
    whole = f"{package}.{name}"
    try:
        return importlib.import_module(whole)
    except ModuleNotFoundError as error:
        if error.name and whole.startswith(error.name):
            raise RegistryError(f"the trainer '{entry.name}' of {entry.distribution} has no '{name}'.") from None
        raise RegistryError(
            f"this page needs the module '{error.name}', which is not installed: pip install 'inquisight[train]'"
        ) from error


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
