"""A guard around the command line while plugins add to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.errors import RegistryError


@dataclass(frozen=True)
class Commands:
    """The commands of a typer app, to check and undo a plugin's additions."""

    commands: list[Any]
    groups: list[Any]
    callback: Any

    @classmethod
    def of(cls, cli: Any) -> Commands:
        """The current commands of `cli`."""
        return cls(list(cli.registered_commands), list(cli.registered_groups), cli.registered_callback)

    def restore(self, cli: Any) -> None:
        """Reset `cli` to these commands."""
        cli.registered_commands[:] = self.commands
        cli.registered_groups[:] = self.groups
        cli.registered_callback = self.callback

    def check(self, cli: Any) -> None:
        """Raise RegistryError if a name exists twice or the app's callback was replaced."""
        if cli.registered_callback is not self.callback:
            raise RegistryError("it replaces the callback of the command line; it may only add commands")
        names = [_command_name(info) for info in (*cli.registered_commands, *cli.registered_groups)]
        twice = sorted({name for name in names if name and names.count(name) > 1})
        if twice:
            raise RegistryError(f"its command '{twice[0]}' exists already")


def _command_name(info: Any) -> str:
    if isinstance(info.name, str) and info.name:
        return info.name
    callback = getattr(info, "callback", None)
    if callable(callback):
        return str(getattr(callback, "__name__", "")).lower().replace("_", "-")
    inner = getattr(getattr(info, "typer_instance", None), "info", None)  # a group takes the name of its app
    return inner.name if inner is not None and isinstance(inner.name, str) else ""
