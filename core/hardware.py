"""Where a model's weights lie and whether they fit this machine, told without loading anything.

    weights = find_weights(entry, "minigpt4:/models/minigpt4-7b")
    machine = this_machine()
    weights.where, weights.nbytes, weights.parameters
    fits(weights, machine)              # Fit(True, "needs about 1.2 GB; 14 GB of memory are free")

Parameters are counted in the headers of safetensors files (https://github.com/huggingface/safetensors#format): eight
bytes of length, then JSON with the type and shape of each tensor. Of other formats only the size on disk is known.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.isolated.environment import foreign_environment

if TYPE_CHECKING:
    from core.entries import Entry

SUFFIXES: Final = (".safetensors", ".gguf", ".bin", ".pth", ".pt")
_HEADER_MOST: Final = 100_000_000  # bytes, the format's own limit
_FILES_MOST: Final = 2000  # looked at in one folder
_ROOM: Final = 1.25  # of the weights' own size: activations, tokenizer, the copy while a file is read


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Files of a model. Empty where there are none on this machine; `note` says why."""

    where: Path | None
    files: tuple[Path, ...] = ()
    nbytes: int = 0
    parameters: int | None = None
    """None where the format does not tell."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics card, sizes in bytes."""

    name: str
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What models have to fit into, sizes in bytes."""

    cores: int
    total: int
    free: int
    disk_free: int
    gpus: tuple[Gpu, ...] = ()


@dataclass(frozen=True, slots=True)
class Fit:
    """`ok` is None where it cannot be known."""

    ok: bool | None
    words: str


def find_weights(entry: Entry, spec: str = "") -> ModelFiles:
    """The weights of the model `entry`, those that `spec` ("name:argument") names if it does."""
    argument = spec.partition(":")[2].partition("?")[0]
    if argument:
        return _named(argument)
    folder = _package_folder(entry)
    files = tuple(_weight_files(folder)) if folder is not None else ()
    if files and folder is not None:
        return _weights(folder, files)
    if entry.kind == "vision backend":
        return ModelFiles(None, note=f"those that you name behind {entry.name}:")
    return ModelFiles(None, note="it has none")


def _named(argument: str) -> ModelFiles:
    path = Path(argument).expanduser()
    if path.is_file():
        return _weights(path.parent, (path,))
    if path.is_dir():
        files = tuple(_weight_files(path))
        return _weights(path, files) if files else ModelFiles(path, note="no weights lie in this folder")
    cached = _hub_folder(argument)
    if cached is not None:
        files = tuple(_weight_files(cached))
        if files:
            return _weights(cached, files)
    if argument.startswith(("http://", "https://")):
        return ModelFiles(None, note="on a server")
    return ModelFiles(None, note="not on this machine")


def _hub_folder(name: str) -> Path | None:
    """Where Hugging Face's libraries keep the model `name` ("owner/model"), the newest snapshot."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface").expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    if not all(part and part not in (".", "..") for part in name.split("/")):
        return None
    try:
        snapshots = [
            one for one in (hub / f"models--{name.replace('/', '--')}" / "snapshots").iterdir() if one.is_dir()
        ]
    except OSError:
        return None
    return max(snapshots, key=lambda one: one.stat().st_mtime, default=None)


def _package_folder(entry: Entry) -> Path | None:
    """The folder of the module a target lies in, found without importing that module."""
    if not isinstance(entry.target, str):
        return None
    package = entry.target.partition(":")[0].rpartition(".")[0]
    try:
        spec = importlib.util.find_spec(package) if "." in package else None  # a folder of its own, not all plugins
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _weight_files(folder: Path) -> Iterator[Path]:
    seen = 0
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith((".", "__")))
        for name in sorted(names):
            seen += 1
            if seen > _FILES_MOST:
                return
            if name.endswith(SUFFIXES) and not name.startswith(
                ("optimizer", "training_args", "scheduler", "rng_state")
            ):
                yield Path(here, name)


def _weights(where: Path, files: Iterable[Path]) -> ModelFiles:
    """Safetensors count alone where there are any: the same weights may lie there in an older format as well."""
    found = tuple(files)
    safe = tuple(file for file in found if file.suffix == ".safetensors")
    chosen = safe or found
    counts = [_parameters(file) for file in chosen]
    nbytes = 0
    for file in chosen:
        try:
            nbytes += file.stat().st_size
        except OSError:
            continue
    known = [count for count in counts if count is not None]
    return ModelFiles(where, chosen, nbytes, sum(known) if len(known) == len(counts) else None)


def _parameters(file: Path) -> int | None:
    if file.suffix != ".safetensors":
        return None
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if not 0 < length <= _HEADER_MOST:
                return None
            header: dict[str, Any] = json.loads(stream.read(length))
        return sum(int(prod(tensor["shape"])) for name, tensor in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None


def fits(weights: ModelFiles, machine: Machine) -> Fit:
    """Whether the model runs here: on the card with most room, in 16 bit, or else in main memory, in 32 bit."""
    if not weights.nbytes:
        return Fit(None, weights.note or "unknown")
    main = _needed(weights, 4)
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
    """Bytes in memory. Where parameters are not known, the files' own size."""
    own = weights.parameters * bytes_each if weights.parameters is not None else weights.nbytes
    return int(own * _ROOM)


def _gigabytes(nbytes: float) -> str:
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e9 else f"{max(1, round(nbytes / 1e6))} MB"


def this_machine(folder: Path | None = None) -> Machine:
    """Cores, memory, the disk of `folder` and graphics cards; nothing is imported for it."""
    total, free = _memory()
    try:
        disk = shutil.disk_usage(_existing(folder or Path.home())).free
    except OSError:
        disk = 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(cores, total, free, disk, _gpus())


def _existing(folder: Path) -> Path:
    return next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))


def _memory() -> tuple[int, int]:
    """(total, available) bytes, a container's limit counted."""
    total = free = 0
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        table = {line.partition(":")[0]: int(line.partition(":")[2].split()[0]) * 1024 for line in lines}
        total, free = table["MemTotal"], table["MemAvailable"]
        limit = Path("/sys/fs/cgroup/memory.max").read_text("ascii").strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text("ascii"))
        if limit.isdecimal():
            total, free = min(total, int(limit)), min(free, max(0, int(limit) - used))
    except (OSError, ValueError, KeyError, IndexError):
        pass
    if not total and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        free = total // 2  # macOS does not tell without a library; half is a cautious guess
    return total, free


def _gpus() -> tuple[Gpu, ...]:
    """What NVIDIA's own tool says; none without it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        said = subprocess.run(
            [tool, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env=foreign_environment(os.environ),
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    cards = []
    for line in said.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3 and parts[1].isdecimal() and parts[2].isdecimal():
            cards.append(Gpu(parts[0], int(parts[1]) * 2**20, int(parts[2]) * 2**20))
    return tuple(cards)
