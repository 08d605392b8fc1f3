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
        check: Target | None = None,
    ) -> None:
        """Offer `target` ("module:attribute" or a factory) under `name`.

        `extra` names the optional dependencies it needs ("inquisight[openai]"), for the message when
        they are missing. `check` is called with what stands behind the name (None: nothing) and raises an
        InquisightError where that cannot work (no folder, no key, ...); it must be quick, and load and fetch nothing.
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
    check: Target | None = field(default=None, repr=False)

    def resolve(self) -> Callable[..., Any]:
        """Import the target. Raises RegistryError naming what is missing."""
        return self._resolve(self.target)

    def resolve_check(self) -> Callable[..., Any] | None:
        """Import the check; None where there is none. Raises RegistryError naming what is missing."""
        return None if self.check is None else self._resolve(self.check)

    def _resolve(self, target: Target) -> Callable[..., Any]:
        who = f"the {self.kind} '{self.name}' (plugin '{self.plugin}' of {self.distribution})"
        if not isinstance(target, str):
            return target
        module_name, _, attribute = target.partition(":")
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
                raise RegistryError(f"{who} points to '{target}', but '{part}' is not there.") from error
        if not callable(found):
            raise RegistryError(f"{who} points to '{target}', which cannot be called.")
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
        check: Target | None = None,
    ) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise RegistryError(
                f"'{printable(name, limit=80)}' cannot be the name of a {kind}: lower-case letters, digits, '.', "
                "'_' and '-' only"
            )
        for what, given in {"target": target, **({} if check is None else {"check": check})}.items():
            if not callable(given) and not (isinstance(given, str) and _TARGET.fullmatch(given)):
                raise RegistryError(
                    f"the {what} of the {kind} '{name}' must be \"module:attribute\" or a callable, "
                    f"not '{printable(given, limit=80)}'"
                )
        frozen = MappingProxyType(dict(capabilities)) if capabilities else _NOTHING
        gathered.append(Entry(kind, name, target, printable(description), frozen, plugin, distribution, extra, check))

    return register


def one_line(error: BaseException, limit: int = 200) -> str:
    """The first line of an error, with its type where the message alone says too little."""
    text = str(error).strip().partition("\n")[0].rstrip(". ")
    if isinstance(error, InquisightError) and text:
        return printable(text, limit)
    return printable(f"{type(error).__name__}: {text}" if text else type(error).__name__, limit)
