"""Gather what `inquisight doctor` reports. Nothing is loaded or downloaded, and nothing is sent unless `connect`."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agents.doctor.models import ModelState, language_models, vision_models, witnesses
from agents.doctor.packages import PROGRAMS, Extra, TorchBuild, extras, own_version, torch_build, unmet, versions
from agents.doctor.privacy import shareable
from agents.doctor.servers import Server, ask_servers
from agents.llm.providers import PROVIDERS
from core.errors import InquisightError
from core.hardware import Machine, this_machine
from core.registry import OURS, Registry, get_registry
from core.settings import PREFIX, Settings, load_settings

FORMAT: Final = 1  # of the JSON report
KEYS: Final = ("INQUISIGHT_API_KEY", "INQUISIGHT_VISION_API_KEY", "HF_TOKEN")
_MORE: Final = ("INQUISIGHT_DEBUG",)  # not a field of Settings


@dataclass(frozen=True, slots=True)
class Cache:
    """The models in Hugging Face's cache; their names are left out, since they may be private."""

    models: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin of another package; `error` is one line if it could not be loaded."""

    name: str
    package: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that `inquisight doctor` prints, without secrets."""

    version: str
    python: str
    system: str
    machine: Machine
    home: str
    packages: Mapping[str, str]
    torch: TorchBuild | None
    extras: tuple[Extra, ...]
    programs: Mapping[str, bool]
    vision: tuple[ModelState, ...]
    questioners: tuple[ModelState, ...]
    witnesses: tuple[ModelState, ...]
    cache: Cache | None
    keys: Mapping[str, bool]
    settings: Mapping[str, str]
    offline: bool
    servers: tuple[Server, ...]
    """Those that were asked."""
    plugins: tuple[Plugin, ...]
    problems: tuple[str, ...]
    """What is broken, one line each with the way out."""
    notes: tuple[str, ...]
    """What may surprise, but breaks nothing."""
    format: int = FORMAT


def make_report(*, connect: bool = False) -> Report:
    """Look at this machine and this environment; with `connect`, ask the configured servers for their models, too."""
    problems = unmet()
    try:
        settings = load_settings()
    except InquisightError as error:
        problems.append(str(error))
        settings = _without_environment()
    if not own_version():
        problems.append("Inquisight runs from a checkout that is not installed: pip install -e . in its folder")
    registry, machine, offline = get_registry(), this_machine(settings.home), _is_offline()
    vision = vision_models(registry, settings, machine, offline=offline)
    questioners = language_models(registry, settings)
    problems += [f"{kind} {one.name}: {one.about}" for kind, one in _unusable(vision, questioners)]
    servers = ask_servers(settings) if connect else []
    problems += [f"the server of the {one.purpose}: {one.problem}" for one in servers if one.chosen and one.problem]
    problems += _folder_problems(settings)
    plugins = _plugins(registry)
    problems += [f"the plugin {one.name} of {one.package}: {one.error}" for one in plugins if one.error]
    torch = torch_build()
    return Report(
        version=own_version() or "unknown",
        python=shareable(f"{platform.python_version()} ({platform.python_implementation()}) in {sys.prefix}"),
        system=_system(),
        machine=machine,
        home=shareable(settings.home),
        packages=versions(),
        torch=torch,
        extras=tuple(extras()),
        programs={name: shutil.which(name) is not None for name in PROGRAMS},
        vision=tuple(map(_shared, vision)),
        questioners=tuple(map(_shared, questioners)),
        witnesses=tuple(map(_shared, witnesses(registry))),
        cache=_cache(),
        keys={name: bool(os.environ.get(name, "").strip()) for name in _key_names()},
        settings=_variables(),
        offline=offline,
        servers=tuple(replace(one, address=shareable(one.address), problem=shareable(one.problem)) for one in servers),
        plugins=tuple(plugins),
        problems=tuple(map(shareable, problems)),
        notes=tuple(map(shareable, _notes(machine, torch))),
    )


def _unusable(vision: list[ModelState], questioners: list[ModelState]) -> list[tuple[str, ModelState]]:
    """The models that every command uses and that cannot work."""
    both = [("the vision model", one) for one in vision] + [("the questioner", one) for one in questioners]
    return [(kind, one) for kind, one in both if one.chosen and one.state in ("missing", "too large")]


def _shared(one: ModelState) -> ModelState:
    return ModelState(shareable(one.name), one.state, shareable(one.about), one.chosen)


def _without_environment() -> Settings:
    """The defaults, where the environment holds something invalid."""
    return Settings.model_construct()


def _system() -> str:
    try:
        distribution = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        distribution = ""
    container = "in a container" if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists() else ""
    parts = (f"{platform.system()} {platform.release()}", platform.machine(), distribution, container)
    return ", ".join(filter(None, parts))


def _folder_problems(settings: Settings) -> list[str]:
    home = settings.home
    existing = next((one for one in (home, *home.parents) if one.exists()), home)
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return [f"'{existing}' is not a folder that can be written; set {PREFIX}HOME to another one"]
    return []


def _plugins(registry: Registry) -> list[Plugin]:
    """The plugins of other packages, those that failed included, and problems of ours."""
    loaded = [
        Plugin(name, " ".join(filter(None, (package, versions([package])[package]))))
        for name, package in sorted(registry.plugins.items())
        if package != OURS
    ]
    failed = [Plugin(one.plugin, one.distribution, shareable(one.error)) for one in registry.problems]
    broken = {one.name for one in failed}
    return [one for one in loaded if one.name not in broken] + failed


def _cache() -> Cache | None:
    """What Hugging Face's cache holds; None if there is no cache."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = [one for one in scan_cache_dir(constants.HF_HUB_CACHE).repos if one.repo_type == "model"]
    except (CacheNotFound, OSError, ValueError):
        return None
    return Cache(len(found), sum(one.size_on_disk for one in found))


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _key_names() -> tuple[str, ...]:
    return (*KEYS, *(one.key for one in PROVIDERS.values() if one.key))


def _variables() -> dict[str, str]:
    """The variables of Inquisight that are set, as far as they may be shown."""
    return {
        name: _shown(name, value) for name, value in sorted(os.environ.items()) if name.startswith(PREFIX) and value
    }


def _shown(name: str, value: str) -> str:
    if name.endswith("_API_KEY") or name not in _known_variables():
        return "set"
    return value.partition(":")[0] if name == "INQUISIGHT_DATABASE" else shareable(value)


def _known_variables() -> set[str]:
    return {f"{PREFIX}{field.upper()}" for field in Settings.model_fields} | set(_MORE)


def _notes(machine: Machine, torch: TorchBuild | None) -> list[str]:
    notes = []
    if machine.gpus and torch is not None and not torch.cuda and not torch.hip:
        notes.append("this machine has a GPU, but PyTorch is a build for CPUs; pytorch.org names the command for CUDA")
    unknown = [name for name in sorted(os.environ) if name.startswith(PREFIX) and name not in _known_variables()]
    notes += [f"{name} is no setting of Inquisight; see docs/settings.md" for name in unknown]
    return notes
