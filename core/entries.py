"""What plugins register: an Entry per backend, questioner, witness or trainer, a Problem per failure."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from core.errors import InquisightError, RegistryError, printable

Kind = Literal["vision backend", "questioner", "witness", "trainer"]
Target = str | Callable[..., Any]

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered backend, questioner or trainer, which has not been imported yet."""

    kind: Kind
    name: str
    target: Target = field(repr=False)
    description: str
    capabilities: Mapping[str, Any]
    plugin: str  # the entry point's name
    distribution: str  # the package's name for pip
    extra: str | None = None
    check: Target | None = field(default=None, repr=False)

    def resolve(self, target: Target | None = None) -> Callable[..., Any]:
        """Import the target, or another one of this entry. Raises RegistryError if something is missing."""
        target = target or self.target
        if not isinstance(target, str):
            return target
        who = f"the {self.kind} '{self.name}' (plugin '{self.plugin}' of {self.distribution})"
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
    """A plugin, or a part of it, that cannot be used, and the reason."""

    plugin: str
    distribution: str
    error: str  # one line

    def __str__(self) -> str:
        return f"plugin '{self.plugin}' of {self.distribution}: {self.error}"


@dataclass(slots=True)
class Register:
    """The callback of a plugin's hook, to be called once per thing offered."""

    kind: Kind
    plugin: str
    distribution: str
    entries: list[Entry] = field(default_factory=list)

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

        `extra` names its optional dependencies ("inquisight[openai]"), for the message if they are missing. `check` is
        called with the argument after the name (None: nothing) and raises an InquisightError if that cannot work (no
        folder, no key, ...); it must be quick and load nothing.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise RegistryError(
                f"'{printable(name, limit=80)}' cannot be the name of a {self.kind}: lower-case letters, digits, '.', "
                "'_' and '-' only"
            )
        for what, given in {"target": target, **({} if check is None else {"check": check})}.items():
            if not callable(given) and not (isinstance(given, str) and _TARGET.fullmatch(given)):
                raise RegistryError(
                    f"the {what} of the {self.kind} '{name}' must be \"module:attribute\" or a callable, "
                    f"not '{printable(given, limit=80)}'"
                )
        frozen = MappingProxyType(dict(capabilities or {}))
        source = (self.plugin, self.distribution)
        self.entries.append(Entry(self.kind, name, target, printable(description), frozen, *source, extra, check))


def one_line(error: BaseException) -> str:
    """The first line of an error, with its type unless it is an InquisightError."""
    text = str(error).strip().partition("\n")[0].rstrip(". ")
    if isinstance(error, InquisightError) and text:
        return printable(text)
    return printable(f"{type(error).__name__}: {text}" if text else type(error).__name__)
