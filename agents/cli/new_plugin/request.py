"""The options of `inquisight new-plugin`; the docstring below a field is its help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True, slots=True)
class NewPluginRequest:
    """Write the package of a new plugin, with code and tests."""

    name: Annotated[str, typer.Argument(metavar="NAME")]
    """The name that users will write, such as owl for --vision owl."""
    kind: Annotated[str, typer.Option("--kind", metavar="KIND")]
    """What the plugin adds: vision, questioner, witness or trainer."""
    folder: Annotated[Path | None, typer.Option("--folder", metavar="DIR")] = None
    """The folder to write; it must not exist [inquisight-NAME]."""
