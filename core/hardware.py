"""Find a model's weights and estimate whether they fit this machine. Loads no model.

    weights = find_weights(entry, "minigpt4:/models/minigpt4-7b")
    machine = this_machine()
    weights.where, weights.nbytes, weights.parameters
    fits(weights, machine)              # Fit(True, "needs about 1.2 GB; 14 GB of memory are free")

Parameters are counted in the headers of safetensors files. Of other formats only the size on disk is known.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.errors import BackendError
from core.files.model_folder import tensor_shapes
from core.isolated.environment import foreign_environment

if TYPE_CHECKING:
    from core.entries import Entry

SUFFIXES: Final = (".safetensors", ".gguf", ".bin", ".pth", ".pt")
_NO_WEIGHTS: Final = ("optimizer", "training_args", "scheduler", "rng_state")
PROGRAM: Final = 800_000_000
"""Bytes of Python, PyTorch and the witnesses: `benchmarks.start_up` prints 875 MB for a caption by `pocket`."""
CGROUP: Final = Path("/sys/fs/cgroup")  # a container's own, of version 2
_FILES_MOST: Final = 2000  # read in one folder
OVERHEAD: Final = 1.25  # times the weights' size, for activations, tokenizer and the copy while a file is read


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Files of a model; if none are on this machine, `note` says why."""

    where: Path | None
    files: tuple[Path, ...] = ()
    nbytes: int = 0
    parameters: int | None = None
    """None if the format does not store shapes."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics card, sizes in bytes."""

    name: str
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Machine:
    """Resources of this machine, sizes in bytes."""

    cores: int
    total: int
    free: int
    disk_free: int
    gpus: tuple[Gpu, ...] = ()


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a model fits; `ok` is None if that is unknown."""

    ok: bool | None
    words: str


def find_weights(entry: Entry, spec: str = "") -> ModelFiles:
    """The weights of the model `entry`, or those that `spec` ("name:argument") names."""
    argument = spec.partition(":")[2].partition("?")[0]
    if argument:
        return _named(argument)
    folder = _package_folder(entry)
    if folder is not None and (found := _weights(folder)):
        return found
    if entry.kind == "vision backend":
        return ModelFiles(None, note=f"those that you name behind {entry.name}:")
    return ModelFiles(None, note="it has none")


def _named(argument: str) -> ModelFiles:
    path = Path(argument).expanduser()
    if path.is_file():
        return _measured(path.parent, [path])
    if path.is_dir():
        return _weights(path) or ModelFiles(path, note="no weights lie in this folder")
    if (cached := _hub_folder(argument)) and (found := _weights(cached)):
        return found
    if argument.startswith(("http://", "https://")):
        return ModelFiles(None, note="on a server")
    return ModelFiles(None, note="not on this machine")


def _hub_folder(name: str) -> Path | None:
    """The newest snapshot of the model `name` ("owner/model") in the hub's cache."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return None
    snapshots = [one for repo in repos if (repo.repo_type, repo.repo_id) == ("model", name) for one in repo.revisions]
    newest = max(snapshots, key=lambda one: one.last_modified, default=None)
    return newest.snapshot_path if newest else None


def _package_folder(entry: Entry) -> Path | None:
    """The folder of the package that contains a target, found without importing it."""
    if not isinstance(entry.target, str):
        return None
    package = entry.target.partition(":")[0].rpartition(".")[0]
    try:
        spec = importlib.util.find_spec(package) if "." in package else None  # not `plugins` itself
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _weights(folder: Path) -> ModelFiles | None:
    """The weights in `folder`; safetensors alone if there are any, since other formats may duplicate them."""
    files = list(_weight_files(folder))
    safetensors = [file for file in files if file.suffix == ".safetensors"]
    return _measured(folder, safetensors or files) if files else None


def _weight_files(folder: Path) -> Iterator[Path]:
    seen = 0
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith((".", "__")))
        for name in sorted(names):
            seen += 1
            if seen > _FILES_MOST:
                return
            if name.endswith(SUFFIXES) and not name.startswith(_NO_WEIGHTS):
                yield Path(here, name)


def _measured(where: Path, files: Sequence[Path]) -> ModelFiles:
    counts = [_parameters(file) for file in files]
    known = [count for count in counts if count is not None]
    nbytes = sum(file.stat().st_size for file in files if file.exists())
    return ModelFiles(where, tuple(files), nbytes, sum(known) if len(known) == len(counts) else None)


def _parameters(file: Path) -> int | None:
    if file.suffix != ".safetensors":
        return None
    try:
        return sum(map(prod, tensor_shapes(file).values()))
    except BackendError:
        return None


def fits(weights: ModelFiles, machine: Machine) -> Fit:
    """Whether the model runs here: on the GPU with most free memory in 16 bit, or in main memory in 32 bit."""
    if not weights.nbytes:
        return Fit(None, weights.note or "unknown")
    main = _needed(weights, 4) + PROGRAM
    if machine.gpus:
        card = max(machine.gpus, key=lambda one: one.free)
        half = _needed(weights, 2)
        if half <= card.free:
            return Fit(True, f"needs about {_gigabytes(half)} of the {_gigabytes(card.free)} free on {card.name}")
    if main <= machine.free:
        return Fit(True, f"needs about {_gigabytes(main)} of the {_gigabytes(machine.free)} of memory that are free")
    if main <= machine.total * 0.95:
        return Fit(
            False,
            f"needs about {_gigabytes(main)}, and {_gigabytes(machine.free)} of memory are free; close other programs",
        )
    return Fit(False, f"needs about {_gigabytes(main)}, and this machine has {_gigabytes(machine.total)} of memory")


def _needed(weights: ModelFiles, bytes_each: int) -> int:
    """Bytes in memory; based on the files' size if parameters are unknown."""
    own = weights.parameters * bytes_each if weights.parameters is not None else weights.nbytes
    return int(own * OVERHEAD)


def _gigabytes(nbytes: float) -> str:
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e9 else f"{max(1, round(nbytes / 1e6))} MB"


def this_machine(folder: Path | None = None) -> Machine:
    """Cores, memory, GPUs and the disk of `folder`; imports no model library."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = _within_limit(memory.total, memory.available)
    wanted = folder or Path.home()
    existing = next((one for one in (wanted, *wanted.parents) if one.exists()), Path("/"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(cores, total, free, shutil.disk_usage(existing).free, _gpus())


def _within_limit(total: int, free: int, folder: Path = CGROUP) -> tuple[int, int]:
    """Total and free memory under the limit of a container; files that the system has cached count as free."""
    try:
        limit = int((folder / "memory.max").read_text("ascii"))
        used = int((folder / "memory.current").read_text("ascii"))
        stat = dict(line.split(" ", 1) for line in (folder / "memory.stat").read_text("ascii").splitlines())
        used -= int(stat.get("inactive_file", "0"))
    except (OSError, ValueError):  # "max": no limit
        return total, free
    return min(total, limit), max(0, min(free, limit - used))


def _gpus() -> tuple[Gpu, ...]:
    """The GPUs that `nvidia-smi` lists; none without it."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True, env=foreign_environment(os.environ)
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [line.split(", ") for line in done.stdout.splitlines()]
    return tuple(
        Gpu(row[0], int(row[1]) * 2**20, int(row[2]) * 2**20)
        for row in rows
        if all(value.isdecimal() for value in row[1:])  # "[N/A]" where a GPU shares the main memory
    )
