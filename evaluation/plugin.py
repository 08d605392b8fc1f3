"""The evaluation plugin: adds the command `evaluate`."""

from __future__ import annotations

from typing import Any

from core.hookspecs import hookimpl


@hookimpl
def register_commands(cli: Any) -> None:
    """Add `evaluate`."""
    from core.console.dataclass_commands import add_command
    from evaluation.request import EvaluateRequest

    add_command(cli, "evaluate", EvaluateRequest, "evaluation.command:run_evaluate")
