"""Write a model shard by shard, one tensor in memory at a time, so that it can be stopped and resumed.

A directory grows beside its final place as `NAME.partial`: a shard gets its name when it is complete, `progress.json`
lists the complete ones, and the finished directory is moved into place in one step.

The safetensors format (github.com/huggingface/safetensors, "Format") is written here by hand because the library's
writer wants all tensors of a file in memory, twice: 8 bytes with the header's length, the header in JSON, the tensors.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from core.errors import BackendError, UsageError, printable
from core.files.atomic import replacing
from core.files.locking import only_process
from plugins.minigpt4.convert.pieces import TensorPiece

MANIFEST = "manifest.json"
KIND = "inquisight-minigpt4"
MAX_SHARD = 4 * 1024**3
_PROGRESS = "progress.json"
_RESERVE = 64 * 1024**2  # tokenizer, configuration, index
_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


@dataclass(frozen=True, slots=True)
class Shard:
    """A file to write, and its tensors in order."""

    name: str
    pieces: tuple[TensorPiece, ...]

    @property
    def bytes(self) -> int:
        return sum(piece.bytes for piece in self.pieces)


def into_shards(pieces: Sequence[TensorPiece], limit: int = MAX_SHARD) -> list[Shard]:
    """The pieces in their order, in files of at most `limit` bytes (a larger tensor has its own file)."""
    groups: list[list[TensorPiece]] = [[]]
    size = 0
    for piece in pieces:
        if groups[-1] and size + piece.bytes > limit:
            groups.append([])
            size = 0
        groups[-1].append(piece)
        size += piece.bytes
    if len(groups) == 1:
        return [Shard("model.safetensors", tuple(groups[0]))]
    return [
        Shard(f"model-{number:05d}-of-{len(groups):05d}.safetensors", tuple(group))
        for number, group in enumerate(groups, 1)
    ]


def index_of(shards: Sequence[Shard]) -> dict[str, Any]:
    """The content of model.safetensors.index.json."""
    return {
        "metadata": {"total_size": sum(shard.bytes for shard in shards)},
        "weight_map": {piece.target: shard.name for shard in shards for piece in shard.pieces},
    }


def write_shard(path: Path, pieces: Sequence[TensorPiece], step: Callable[[int], None]) -> str:
    """Write one safetensors file and return its sha256. `step` receives the bytes of each tensor written."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for piece in pieces:
        end = offset + piece.bytes
        header[piece.target] = {"dtype": _NAMES[piece.dtype], "shape": list(piece.shape), "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    digest = hashlib.sha256()
    with replacing(path, BackendError, part=f"{path.name}.part") as file:
        for block in (len(encoded).to_bytes(8, "little"), encoded):
            digest.update(block)
            file.write(block)
        for piece in pieces:
            data = _bytes(piece.tensor())
            digest.update(data)
            file.write(data)
            step(piece.bytes)
    return digest.hexdigest()


def _bytes(tensor: torch.Tensor) -> memoryview:
    if sys.byteorder != "little":
        raise BackendError("this machine stores numbers with the highest byte first: convert on another one.")
    return memoryview(tensor.detach().view(torch.uint8).numpy()).cast("B")


@dataclass
class Workplace:
    """`NAME.partial`, and its finished files."""

    partial: Path
    fingerprint: str
    shards: dict[str, str] = field(default_factory=dict)  # file -> sha256
    sources: dict[str, str] = field(default_factory=dict)

    def remember(self) -> None:
        """Save what is finished."""
        write_json(
            self.partial / _PROGRESS,
            {"fingerprint": self.fingerprint, "shards": self.shards, "sources": self.sources},
        )

    def has(self, shard: Shard) -> bool:
        """Whether `shard` was written by an earlier run of the same conversion."""
        return shard.name in self.shards and (self.partial / shard.name).is_file()

    def finish(self, to: Path) -> None:
        """Move the directory to its final place; an earlier conversion there is replaced."""
        (self.partial / _PROGRESS).unlink(missing_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
        old = aside / to.name
        try:
            if to.exists():
                to.replace(old)
            self.partial.replace(to)
        except OSError as error:
            if old.exists() and not to.exists():
                old.replace(to)
            raise BackendError(
                f"{printable(self.partial)} cannot be moved to {printable(to)}: {error.strerror}."
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def check_place(to: Path, *, overwrite: bool) -> Path:
    """`to` made absolute, if a conversion may go there. Raises UsageError."""
    to = Path(os.path.abspath(to.expanduser()))
    if to.is_symlink() or (to.exists() and not to.is_dir()):
        raise UsageError(f"--to {printable(to)} is a file or a link: name a directory that does not exist yet.")
    if not to.is_dir() or not any(to.iterdir()):
        return to
    if not _is_conversion(to):
        raise UsageError(
            f"--to {printable(to)} holds other things: name a directory that is empty or does not exist yet."
        )
    if not overwrite:
        raise UsageError(
            f"--to {printable(to)} holds an earlier conversion: name another directory, or add --overwrite."
        )
    return to


def _is_conversion(directory: Path) -> bool:
    try:
        manifest = json.loads((directory / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") == KIND


def check_space(to: Path, shards: Sequence[Shard], done: int = 0) -> int:
    """The bytes that will be written. Raises BackendError if the disk is too small."""
    needed = sum(shard.bytes for shard in shards) + _RESERVE - done
    place = next(folder for folder in (to, *to.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise BackendError(
            f"--to {printable(to)}: {needed / 1e9:.1f} GB are needed there, {free / 1e9:.1f} GB are free; make room "
            "or name a "
            "directory on another disk."
        )
    return needed


def finished_bytes(to: Path, fingerprint: str) -> int:
    """Bytes that an interrupted run of the same conversion has written."""
    partial = _partial(to)
    if _progress(partial).get("fingerprint") != fingerprint:
        return 0
    return sum(file.stat().st_size for file in partial.glob("*.safetensors"))


@contextmanager
def workplace(to: Path, fingerprint: str) -> Iterator[Workplace]:
    """The place to write in, for one process at a time: resumed if the same conversion stopped there, else emptied.

    Raises UsageError if another process writes there, or another directory has its name.
    """
    partial = _partial(to)
    with only_process(
        partial.with_name(partial.name + ".lock"),
        UsageError(f"another process is converting to {printable(to)}: wait for it, or name another directory."),
        lambda reason: UsageError(f"--to {printable(to)} cannot be written: {reason}."),
        delete=True,
    ):
        yield _take_up(partial, fingerprint)


def _take_up(partial: Path, fingerprint: str) -> Workplace:
    progress = _progress(partial)
    if partial.is_dir() and any(partial.iterdir()) and not progress:
        raise UsageError(f"{printable(partial)} is in the way and no conversion that was stopped: move it.")
    if progress.get("fingerprint") != fingerprint:
        shutil.rmtree(partial, ignore_errors=True)
        progress = {}
    partial.mkdir(exist_ok=True)
    place = Workplace(partial, fingerprint, dict(progress.get("shards", {})), dict(progress.get("sources", {})))
    place.remember()
    return place


def _partial(to: Path) -> Path:
    return to.with_name(f"{to.name}.partial")


def _progress(partial: Path) -> dict[str, Any]:
    try:
        progress = json.loads((partial / _PROGRESS).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return progress if isinstance(progress, dict) else {}


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file atomically."""
    with replacing(path, BackendError, part=f"{path.name}.part") as file:
        file.write((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())
