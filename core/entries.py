"""What a plugin registers: an Entry per thing offered, a Problem per thing left out."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Protocol

from core.errors import InquisightError, RegistryError, printable

Kind = Literal["vision backend", "questioner", "trainer"]
Target = str | Callable[..., Any]

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Register(Protocol):
    """The callback a plugin's hook gets; call it once per thing offered."""

    def __call__(
        self,
        name: str,
        target: Target,
        *,
        description: str = "",
        capabilities: Mapping[str, Any] | None = None,
        extra: str | None = None,
    ) -> None:
        """Offer `target` ("module:attribute" or a factory) under `name`.

        `extra` names the optional dependencies it needs ("inquisight[openai]"), for the message when
        they are missing.
        """


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered thing. Nothing of it has been imported yet."""

    kind: Kind
    name: str
    target: Target = field(repr=False)
    description: str
    capabilities: Mapping[str, Any]
    plugin: str  # the entry point's name
    distribution: str  # what pip calls the package it came from
    extra: str | None = None

    def resolve(self) -> Callable[..., Any]:
        """Import the target. Raises RegistryError naming what is missing."""
        who = f"the {self.kind} '{self.name}' (plugin '{self.plugin}' of {self.distribution})"
        if not isinstance(self.target, str):
            return self.target
        module_name, _, attribute = self.target.partition(":")
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            missing = printable(error.name or "unknown")
            if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
                raise RegistryError(f"{who} points to the module '{missing}', which does not exist.") from error
            way_out = f"pip install '{self.extra}'" if self.extra else f"install the package that provides '{missing}'"
            raise RegistryError(f"{who} needs the module '{missing}', which is not installed; {way_out}.") from error
        except Exception as error:
            raise RegistryError(f"{who} cannot be imported: {one_line(error)}.") from error
        for part in attribute.split("."):
            try:
                found = getattr(found, part)
            except AttributeError as error:
                raise RegistryError(f"{who} points to '{self.target}', but '{part}' is not there.") from error
        if not callable(found):
            raise RegistryError(f"{who} points to '{self.target}', which cannot be called.")
        return found  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Problem:
    """A plugin, or a part of it, that was left out, and why."""

    plugin: str
    distribution: str
    error: str  # one line

    def __str__(self) -> str:
        return f"plugin '{self.plugin}' of {self.distribution}: {self.error}"


def collector(gathered: list[Entry], kind: Kind, plugin: str, distribution: str) -> Register:
    """The callback for one hook of one plugin; what it accepts is appended to `gathered`."""

    def register(
        name: str,
        target: Target,
        *,
        description: str = "",
        capabilities: Mapping[str, Any] | None = None,
        extra: str | None = None,
    ) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise RegistryError(
                f"'{printable(name, limit=80)}' cannot be the name of a {kind}: lower-case letters, digits, '.', "
                "'_' and '-' only"
            )
        if not callable(target) and not (isinstance(target, str) and _TARGET.fullmatch(target)):
            raise RegistryError(
                f"the target of the {kind} '{name}' must be \"module:attribute\" or a callable, "
                f"not '{printable(target, limit=80)}'"
            )
        frozen = MappingProxyType(dict(capabilities)) if capabilities else _NOTHING
        gathered.append(Entry(kind, name, target, printable(description), frozen, plugin, distribution, extra))

    return register


def one_line(error: BaseException, limit: int = 200) -> str:
    """The first line of an error, with its type where the message alone says too little."""
    text = str(error).strip().partition("\n")[0].rstrip(". ")
    if isinstance(error, InquisightError) and text:
        return printable(text, limit)
    return printable(f"{type(error).__name__}: {text}" if text else type(error).__name__, limit)
