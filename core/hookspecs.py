"""All hooks that a plugin may implement. Hooks are only added, never removed.

Each hook gets a `register` callback; call it once per thing your package offers. Targets are "module:attribute" strings
or factories, so that registering imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from core.entries import Register

GROUP = "inquisight"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def register_vision_backends(register: Register) -> None:
    """register(name, target, description=..., capabilities={...}); target(argument) -> core.vision.VisionBackend"""


@hookspec
def register_questioners(register: Register) -> None:
    """register(name, target, description=...); target(argument) -> a LangChain BaseChatModel"""


@hookspec
def register_witnesses(register: Register) -> None:
    """register(name, target, description=..., capabilities={...}); target(argument) -> core.witness.Witness

    The capability `starts_early`: the witness shares no slow import with vision models, so it examines a picture in a
    thread while they are loaded.
    """


@hookspec
def register_trainers(register: Register) -> None:
    """register(name, target, description=...); target(recipe, folder) trains, and returns the path of the result"""


@hookspec
def register_commands(cli: Any) -> None:
    """Add typer commands to `inquisight`; import what they need inside the command."""
