"""The installed packages: whether they fit what Inquisight declares, and which extras they complete.

The declarations come from the metadata of the installed distribution, so nothing is listed twice.
"""

from __future__ import annotations

import importlib.util
import runpy
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS: Final = "inquisight"
# What each extra adds; a test compares the names with pyproject.toml.
EXTRAS: Final = {
    "openai": "vision models and questioners behind OpenAI-compatible servers (openai:MODEL)",
    "anthropic": "Anthropic's models as questioners (anthropic:MODEL)",
    "ollama": "Ollama's models as questioners (ollama:MODEL)",
    "huggingface": "language models of transformers as questioners (huggingface:MODEL)",
    "ocr": "the witness `reader`, which reads text in images",
    "video": "videos (inquisight video)",
    "ui": "the dashboard (inquisight ui)",
    "serve": "the OpenAI-compatible server (inquisight serve)",
    "mcp": "tools for agents (inquisight mcp)",
    "batch": "Parquet tables and patterns with braces for inquisight batch",
    "ray": "inquisight batch on a Ray cluster (--engine ray)",
    "minigpt4": "old Llama folders that have only tokenizer.model (inquisight convert minigpt4)",
    "train": "training, data checks and curation (inquisight train, data, curate)",
    "raw": "camera raw files",
    "jxl": "JPEG XL",
    "docs": "building the documentation (contributors)",
    "dev": "tests and checks (contributors)",
}
# Packages whose versions explain most failures.
SHOWN: Final = (
    "torch",
    "transformers",
    "tokenizers",
    "huggingface_hub",
    "langchain",
    "langchain-core",
    "numpy",
    "pillow",
)
PROGRAMS: Final = {"exiftool": "--write-metadata"}
"""Programs that are found on the path, and the option that needs each."""


@dataclass(frozen=True, slots=True)
class Extra:
    """An optional part of Inquisight."""

    name: str
    adds: str
    missing: tuple[str, ...]
    """Packages that are absent or have a version that does not fit; none: the extra is installed."""
    command: str = ""
    """What installs it, if something is missing."""


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """What PyTorch was built for, read without importing it."""

    cuda: str | None
    hip: str | None


def own_version() -> str:
    """The version of Inquisight; "" if it is a checkout that is not installed."""
    return _version(OURS) or ""


def versions(names: Sequence[str] = SHOWN) -> dict[str, str]:
    """The versions of packages; "" for one that is not installed."""
    return {name: _version(name) or "" for name in names}


def unmet() -> list[str]:
    """A line for each required package that is missing or has a version that does not fit."""
    return [
        f"{'the package' if found is None else 'the version'} {one.name}{f' {found}' if found else ''} "
        f"{'is missing' if found is None else 'does not fit'}: pip install {shlex.quote(_wanted(one))}"
        for one, found in _unfit(_required())
    ]


def extras() -> list[Extra]:
    """Every extra that the installed distribution declares, with what is missing for it."""
    found = []
    for name, adds in EXTRAS.items():
        wanted = _required(name)
        missing = tuple(f"{one.name} {got}" if got else one.name for one, got in _unfit(wanted))
        if wanted:
            command = f"pip install {shlex.quote(f'{OURS}[{name}]')}" if missing else ""
            found.append(Extra(name, adds, missing, command))
    return found


def torch_build() -> TorchBuild | None:
    """CUDA's and HIP's version of the installed PyTorch; None if it is not installed or does not say."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.origin:
        return None
    try:
        told = runpy.run_path(str(Path(spec.origin).with_name("version.py")))  # a few constants
    except (OSError, SyntaxError, ImportError):
        return None
    return TorchBuild(told.get("cuda"), told.get("hip"))


def _required(extra: str = "") -> list[Requirement]:
    """What Inquisight requires itself, or what an extra adds; an extra of extras is resolved."""
    try:
        lines = requires(OURS) or []
    except PackageNotFoundError:
        return []
    found: list[Requirement] = []
    for one in map(Requirement, lines):
        applies = one.marker is None or one.marker.evaluate({"extra": extra})
        basic = one.marker is None or one.marker.evaluate({"extra": ""})
        if not applies or (extra and basic):
            continue
        if canonicalize_name(one.name) == OURS:
            found += [inner for name in sorted(one.extras) for inner in _required(name)]
        else:
            found.append(one)
    return found


def _unfit(wanted: Iterable[Requirement]) -> list[tuple[Requirement, str | None]]:
    """The requirements that are not met, with the version that is installed, if any."""
    pairs = {one.name: (one, _version(one.name)) for one in wanted}
    return [
        (one, found)
        for one, found in pairs.values()
        if found is None or not one.specifier.contains(found, prereleases=True)
    ]


def _wanted(one: Requirement) -> str:
    return f"{one.name}{one.specifier}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
