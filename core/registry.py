"""Register what plugins offer: backends, questioners, witnesses, trainers, commands. Ours use the same entry points.

Plugins are entry points of the group `inquisight`. Loading one imports its module, which registers names and targets;
a target is imported at first use. A broken plugin becomes a `Problem` and does not affect the others.

INQUISIGHT_LOAD_PLUGINS selects third-party plugins (comma list; empty: none). INQUISIGHT_STRICT_PLUGINS=1 turns the
first problem into a RegistryError.
"""

from __future__ import annotations

import difflib
import os
import re
import threading
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import pluggy

from core import hookspecs
from core.console.commands import Commands
from core.entries import Entry, Kind, Problem, Register, Target, one_line
from core.errors import BackendError, InquisightError, QuestionerError, RegistryError, UsageError, printable
from core.hookspecs import GROUP

if TYPE_CHECKING:
    from core.vision import VisionBackend
    from core.witness import Witness

__all__ = [
    "BUILTINS",
    "Entry",
    "Kind",
    "Problem",
    "Register",
    "Registry",
    "Target",
    "get_registry",
    "load_registry",
    "one_line",
]

OURS = "inquisight"
BUILTINS = {
    "blip2": "plugins.blip2",
    "detector": "plugins.detector",
    "evaluation": "evaluation.plugin",
    "lavis": "plugins.lavis",
    "minigpt4": "plugins.minigpt4",
    "openai_vision": "plugins.openai_vision",
    "pocket": "plugins.pocket",
    "reader": "plugins.reader",
    "scripted": "plugins.scripted",
    "two_stage": "training.plugin",
    "vlm": "plugins.vlm",
}
_HOOKS: dict[str, Kind] = {
    "register_vision_backends": "vision backend",
    "register_questioners": "questioner",
    "register_witnesses": "witness",
    "register_trainers": "trainer",
}


class Registry:
    """All registered entries by name. Create one with `load_registry()` or `get_registry()`."""

    def __init__(self, *, strict: bool = False) -> None:
        self.vision_backends: dict[str, Entry] = {}
        self.questioners: dict[str, Entry] = {}
        self.witnesses: dict[str, Entry] = {}
        self.trainers: dict[str, Entry] = {}
        self._tables: dict[Kind, dict[str, Entry]] = {
            "vision backend": self.vision_backends,
            "questioner": self.questioners,
            "witness": self.witnesses,
            "trainer": self.trainers,
        }
        self.problems: list[Problem] = []
        self.plugins: dict[str, str] = {}  # name of each loaded plugin -> distribution
        self._strict = strict
        self._claims: dict[tuple[Kind, str], list[Entry]] = {}
        self._loaded: dict[str, Witness] = {}
        self._loading = threading.RLock()
        self._pm = pluggy.PluginManager(GROUP)
        self._pm.add_hookspecs(hookspecs)

    # Using what is registered

    def create_vision(self, spec: str) -> VisionBackend:
        """The backend for "name" or "name:argument". Raises RegistryError or BackendError."""
        from core.vision import VisionBackend

        made: VisionBackend = self._create(
            "vision backend", spec, lambda one: isinstance(one, VisionBackend), "VisionBackend"
        )
        return made

    def create_questioner(self, spec: str) -> Any:
        """The LangChain chat model for "name" or "name:argument". Raises RegistryError or QuestionerError."""
        return self._create(
            "questioner", spec, lambda one: callable(getattr(one, "invoke", None)), "LangChain chat model"
        )

    def create_witness(self, spec: str) -> Witness:
        """The witness for "name" or "name:argument", loaded once; it examines no picture twice (`Remembering`).

        Raises RegistryError or BackendError.
        """
        from core.witness import Remembering, Witness

        with self._loading:
            if spec not in self._loaded:
                made: Witness = self._create("witness", spec, lambda one: isinstance(one, Witness), "Witness")
                self._loaded[spec] = Remembering(made)
            return self._loaded[spec]

    def check(self, kind: Kind, spec: str) -> None:
        """Raise an InquisightError if the plugin's check rejects "name" or "name:argument". Loads nothing."""
        entry, argument = self._entry_of(kind, spec)
        if entry.check is not None:
            self._call(entry, spec, entry.resolve(entry.check), argument)

    def trainer(self, name: str) -> Callable[..., Any]:
        """The recipe runner registered as `name`, imported. Raises RegistryError."""
        return self.find("trainer", name).resolve()

    def find(self, kind: Kind, name: str) -> Entry:
        """The entry `name`. Raises RegistryError if it is unknown or two plugins register it."""
        table = self._tables[kind]
        if name in table:
            return table[name]
        if claims := self._claims.get((kind, name)):
            raise RegistryError(_collision(claims))
        known = sorted(table)
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
        if close:
            hint = f"did you mean {_either(close)}?"
        elif known:
            hint = f"there is {', '.join(known)}; see `inquisight plugins`."
        else:
            hint = "none is installed; see `inquisight plugins`."
        raise RegistryError(f"there is no {kind} '{printable(name, limit=80)}': {hint}")

    def register_commands(self, cli: Any) -> None:
        """Let every plugin add commands to the typer app `cli`."""
        for implementation in self._pm.hook.register_commands.get_hookimpls():
            before = Commands.of(cli)
            try:
                implementation.function(*(cli for _ in implementation.argnames))
                before.check(cli)
            except (Exception, SystemExit) as error:
                before.restore(cli)
                self._report(implementation.plugin_name, one_line(error), cause=error)

    # Filling it

    def load(self, points: Iterable[EntryPoint], *, distribution: str | None = None) -> None:
        """Import each entry point and register its entries. Problems are recorded, or raised when strict."""
        for point in points:
            owner = distribution or (point.dist.name if point.dist else "an unknown distribution")
            self._load_one(point, printable(owner, limit=80))

    def _load_one(self, point: EntryPoint, distribution: str) -> None:
        name = printable(point.name, limit=80)
        if name in self.plugins:
            error = f"another plugin of this name, from {self.plugins[name]}, is loaded already"
            self._add_problem(Problem(name, distribution, error))
            return
        self.plugins[name] = distribution
        plugin: object = None
        try:
            plugin = point.load()
            self._pm.register(plugin, name=name)
            self._pm.check_pending()
            if not self._pm.get_hookcallers(plugin):
                raise RegistryError("it implements no hook; mark its functions with @inquisight.hookimpl")
            gathered = self._collect(name, distribution)
        except (Exception, SystemExit) as error:
            if plugin is not None and self._pm.get_plugin(name) is plugin:
                self._pm.unregister(plugin)
            reason = _validation_message(error) if isinstance(error, pluggy.PluginValidationError) else one_line(error)
            self._report(name, reason, cause=error)
            del self.plugins[name]
            return
        for entry in gathered:
            self._claim(entry)

    def _collect(self, plugin: str, distribution: str) -> list[Entry]:
        """The entries that one plugin's hooks register."""
        gathered: list[Entry] = []
        for hook, kind in _HOOKS.items():
            for implementation in getattr(self._pm.hook, hook).get_hookimpls():
                if implementation.plugin_name == plugin:
                    register = Register(kind, plugin, distribution)
                    implementation.function(*(register for _ in implementation.argnames))
                    gathered += register.entries
        return gathered

    def _claim(self, entry: Entry) -> None:
        """Register an entry. A name with two entries belongs to neither, since a guess could run the wrong model."""
        claims = self._claims.setdefault((entry.kind, entry.name), [])
        claims.append(entry)
        if len(claims) == 1:
            self._tables[entry.kind][entry.name] = entry
            return
        self._tables[entry.kind].pop(entry.name, None)
        self._add_problem(Problem(entry.plugin, entry.distribution, _collision(claims)))

    def _report(self, plugin: str, error: str, *, cause: BaseException) -> None:
        self._add_problem(Problem(plugin, self.plugins.get(plugin, OURS), error), cause)

    def _add_problem(self, problem: Problem, cause: BaseException | None = None) -> None:
        self.problems.append(problem)
        if self._strict:
            raise RegistryError(f"{problem} (INQUISIGHT_STRICT_PLUGINS is set)") from cause

    def _create(self, kind: Kind, spec: str, fits: Callable[[Any], bool], expected: str) -> Any:
        entry, argument = self._entry_of(kind, spec)
        made = self._call(entry, spec, entry.resolve(), argument)
        if not fits(made):
            raise RegistryError(
                f"the {kind} '{entry.name}' (plugin '{entry.plugin}' of {entry.distribution}) made a "
                f"{type(made).__name__}, which is not a {expected}."
            )
        return made

    def _entry_of(self, kind: Kind, spec: str) -> tuple[Entry, str | None]:
        name, colon, argument = spec.partition(":")
        if colon and not argument:
            raise UsageError(f"'{printable(spec)}' ends in a colon; write '{printable(name)}' or 'name:argument'.")
        return self.find(kind, name), argument or None

    @staticmethod
    def _call(entry: Entry, spec: str, target: Callable[..., Any], argument: str | None) -> Any:
        failure: type[InquisightError] = QuestionerError if entry.kind == "questioner" else BackendError
        try:
            return target(argument)
        except InquisightError:
            raise
        except ModuleNotFoundError as error:
            way_out = f"pip install '{entry.extra}'" if entry.extra else "install the package that provides it"
            raise failure(
                f"the {entry.kind} '{entry.name}' needs the module '{printable(error.name)}', which is not installed; "
                f"{way_out}."
            ) from error
        except Exception as error:
            raise failure(f"the {entry.kind} '{printable(spec)}' could not start: {one_line(error)}.") from error


def load_registry(*, strict: bool | None = None, load: str | None = None) -> Registry:
    """A new registry with the built-in and the installed plugins.

    `strict` and `load` default to INQUISIGHT_STRICT_PLUGINS and INQUISIGHT_LOAD_PLUGINS. They are read here instead of
    by Settings, because `--help` must not wait for pydantic. Raises RegistryError when strict.
    """
    if strict is None:
        strict = os.environ.get("INQUISIGHT_STRICT_PLUGINS", "").strip().lower() in {"1", "true", "yes", "on", "t", "y"}
    if load is None:
        load = os.environ.get("INQUISIGHT_LOAD_PLUGINS")
    registry = Registry(strict=strict)
    installed = list(entry_points(group=GROUP))
    # A checkout that is not installed has no entry points.
    builtins = [point for point in installed if point.dist and point.dist.name == OURS]
    named = {point.name for point in builtins}
    builtins += [EntryPoint(name, module, GROUP) for name, module in BUILTINS.items() if name not in named]
    registry.load(builtins, distribution=OURS)
    others = sorted((point for point in installed if point not in builtins), key=lambda point: point.name)
    if load is not None:
        others = _selected(registry, others, load)
    registry.load(others)
    return registry


@lru_cache(maxsize=1)
def get_registry() -> Registry:
    """The registry of this process, loaded once; `get_registry.cache_clear()` resets it."""
    return load_registry()


def _selected(registry: Registry, points: list[EntryPoint], wanted: str) -> list[EntryPoint]:
    names = [name for part in wanted.split(",") if (name := part.strip())]
    chosen = [point for point in points if point.name in names or (point.dist and point.dist.name in names)]
    for name in names:
        if name in registry.plugins or name == OURS:
            continue
        if not any(point.name == name or (point.dist and point.dist.name == name) for point in chosen):
            error = "INQUISIGHT_LOAD_PLUGINS asks for it, but no such plugin is installed"
            registry._add_problem(Problem(printable(name, limit=80), "no distribution", error))
    return chosen


def _collision(claims: list[Entry]) -> str:
    first, second = claims[0], claims[-1]
    return (
        f"the {first.kind} '{first.name}' is claimed by plugin '{first.plugin}' of {first.distribution} and by plugin "
        f"'{second.plugin}' of {second.distribution}; uninstall one, or choose with INQUISIGHT_LOAD_PLUGINS"
    )


def _validation_message(error: pluggy.PluginValidationError) -> str:
    """pluggy's multi-line message about an unknown hook or argument as one line, with the closest hook."""
    if match := re.search(r"unknown hook '(\w+)'", str(error)):
        known = [name for name in vars(hookspecs) if name.startswith("register_")]
        close = difflib.get_close_matches(match[1], known, n=1)
        return f"there is no hook '{match[1]}'" + (f"; did you mean '{close[0]}'?" if close else "")
    hook = re.search(r"hook '(\w+)'", str(error))
    arguments = re.search(r"Argument\(s\) \{([^{}]*)\}", str(error))
    if hook and arguments:
        return f"its '{hook[1]}' asks for {printable(arguments[1])}, which this hook does not offer"
    return one_line(error)


def _either(names: list[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
