"""The models that could run here: whether they fit the memory, are downloaded, and what is missing for each.

Nothing is loaded, downloaded or called. `python -m benchmarks.known_models` counts the parameters again.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Final, Literal

from agents.llm.capabilities import why_not
from agents.llm.providers import PROVIDERS
from core.entries import Entry
from core.hardware import OVERHEAD, PROGRAM, Machine, ModelFiles, find_weights, fits
from core.registry import Registry
from core.settings import Settings

State = Literal["ready", "to download", "missing", "too large"]
# Further ways to load a model, from the best to the smallest: the option, bytes per parameter, whether it needs a GPU.
_SMALLER: Final = (("dtype=bfloat16", 2.0, False), ("quantize=8bit", 1.0, True), ("quantize=4bit", 0.56, True))


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A published vision model."""

    spec: str
    parameters: int
    title: str = ""
    """For a model without a name of its own on the command line."""
    needs: tuple[str, ...] = ()
    """Packages that its processor needs and no extra installs."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model, by the name under which it is chosen, and whether it can be used."""

    name: str
    state: State
    about: str
    """One line: what it needs, or why it cannot be used, with the command that changes that."""
    chosen: bool = False
    """Whether it is the one that commands use without an option."""


# Parameters: of the architectures of transformers with the published configurations; see benchmarks/known_models.py.
KNOWN: Final = (
    KnownModel("transformers:HuggingFaceTB/SmolVLM-500M-Instruct", 507_482_304, needs=("num2words",)),
    KnownModel("transformers:Qwen/Qwen2.5-VL-3B-Instruct", 3_754_622_976),
    KnownModel("transformers:llava-hf/llava-1.5-7b-hf", 7_063_427_072),
    KnownModel("blip2:Salesforce/blip2-opt-2.7b", 3_744_761_856),
    KnownModel("blip2:Salesforce/blip2-flan-t5-xl", 3_876_648_448),
    KnownModel("minigpt4:DIRECTORY", 7_832_688_128, title="with Vicuna-7B"),
    KnownModel("minigpt4:DIRECTORY", 14_110_926_336, title="with Vicuna-13B"),
)
LANGUAGE_MODELS: Final = (
    "ollama:llama3.2", "openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5", "huggingface:MODEL",
)  # fmt: skip
_EXAMPLES: Final = {"lavis": "lavis:blip2_t5/pretrain_flant5xl", "openai": "openai:MODEL"}
_SERVERS: Final = ("openai", "ollama", "anthropic")


def vision_models(registry: Registry, settings: Settings, machine: Machine, *, offline: bool) -> list[ModelState]:
    """The default vision model, those that are built in, well-known ones, and those of other plugins."""
    chosen, entries = settings.vision, registry.vision_backends
    rows: dict[str, ModelState] = {}
    for name in dict.fromkeys((chosen, "pocket")):
        if name.partition(":")[0] in entries:
            rows[name] = _opened(name, entries[name.partition(":")[0]], machine, chosen=name == chosen)
        else:
            rows[name] = ModelState(name, "missing", why_not("vision backend", name), chosen=True)
    for known in KNOWN:
        entry = entries.get(known.spec.partition(":")[0])
        if entry is not None and known.spec not in rows:
            rows[f"{known.spec} {known.title}".strip()] = _known(known, entry, machine, offline=offline)
    shown = {name.partition(":")[0] for name in rows}
    for name, entry in sorted(entries.items()):
        if name not in shown:
            spec = _EXAMPLES.get(name, name)
            rows[spec] = _opened(spec, entry, machine)
    return list(rows.values())


def language_models(registry: Registry, settings: Settings) -> list[ModelState]:
    """The default questioner, the registered ones, one of each usual provider, and providers whose key is set."""
    chosen = settings.questioner
    names = dict.fromkeys((chosen, *sorted(registry.questioners), *LANGUAGE_MODELS))
    for provider in PROVIDERS:
        if not any(name.partition(":")[0] == provider for name in names) and not why_not("questioner", f"{provider}:x"):
            names[f"{provider}:MODEL"] = None
    return [_questioner(name, registry, settings, chosen=name == chosen) for name in names]


def witnesses(registry: Registry) -> list[ModelState]:
    """Every registered witness."""
    rows = []
    for name, entry in sorted(registry.witnesses.items()):
        missing = why_not("witness", name)
        rows.append(ModelState(name, "missing" if missing else "ready", missing or entry.description))
    return rows


def _questioner(name: str, registry: Registry, settings: Settings, *, chosen: bool) -> ModelState:
    if missing := why_not("questioner", name, settings):
        return ModelState(name, "missing", missing, chosen)
    provider = name.partition(":")[0]
    entry = registry.questioners.get(name) or registry.questioners.get(provider)
    if entry is not None:
        return ModelState(name, "ready", entry.description, chosen)
    about = "its server was not asked" if provider != "huggingface" else "runs here; not checked further"
    return ModelState(name, "ready", about, chosen)


def _opened(spec: str, entry: Entry, machine: Machine, *, chosen: bool = False) -> ModelState:
    """A model under the name that is given, with its weights as they are found on this machine."""
    if missing := why_not("vision backend", spec):
        return ModelState(spec, "missing", missing, chosen)
    if entry.name in _SERVERS:
        return ModelState(spec, "ready", "its server was not asked", chosen)
    weights = find_weights(entry, spec)
    if not weights.nbytes:
        return ModelState(spec, "ready", weights.note if ":" in spec else entry.description, chosen)
    fit = fits(weights, machine)
    return ModelState(spec, "too large" if fit.ok is False else "ready", fit.words, chosen)


def _known(known: KnownModel, entry: Entry, machine: Machine, *, offline: bool) -> ModelState:
    name = f"{known.spec} {known.title}".strip()
    needed = ModelFiles(None, nbytes=2 * known.parameters, parameters=known.parameters)
    fit = fits(needed, machine)
    if fit.ok is False:
        smaller = _smaller(known, machine)
        return ModelState(name, "too large", f"{fit.words}; {smaller}" if smaller else fit.words)
    if known.title:
        return ModelState(name, "missing", f"{fit.words}; {why_not('vision backend', entry.name)}")
    if missing := why_not("vision backend", known.spec):
        return ModelState(name, "missing", missing)
    if packages := [one for one in known.needs if not _is_installed(one)]:
        return ModelState(name, "missing", f"{fit.words}; pip install {' '.join(packages)}")
    if find_weights(entry, known.spec).nbytes:
        return ModelState(name, "ready", f"{fit.words}; downloaded")
    repository, size = known.spec.partition(":")[2], f"{needed.nbytes / 1e9:.1f} GB"
    if offline:
        return ModelState(name, "missing", f"{fit.words}; {size}, to fetch while online: hf download {repository}")
    return ModelState(name, "to download", f"{fit.words}; {size}, fetched at first use or by: hf download {repository}")


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _smaller(known: KnownModel, machine: Machine) -> str:
    """An option with which the model fits; "" if there is none."""
    free = max((card.free for card in machine.gpus), default=0)
    for option, each, needs_gpu in _SMALLER:
        if known.parameters * each * OVERHEAD <= (free if needs_gpu else machine.free - PROGRAM):
            return f"fits with '{known.spec}?{option}'"
    return ""
