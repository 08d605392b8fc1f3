"""The command `inquisight`: one module per command, `render/` for what a terminal shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def run(argv: Sequence[str], **options: Any) -> int:
    """Run the command line (`agents.cli.main.run`) and return its exit code; imports it only now."""
    from agents.cli import main

    return main.run(argv, **options)
