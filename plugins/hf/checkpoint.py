"""Open a directory in Hugging Face's layout: checked before anything large is read, each choice with its reason.

Shared by `transformers:`, `blip2:` and `minigpt4:`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from core.entries import one_line
from core.errors import BackendError, printable
from core.files.model_folder import read_json, tensor_shapes, weight_files
from plugins.hf.load_options import BaseLoadOptions, choose_device, choose_dtype
from plugins.hf.memory import BYTES, GB, free_memory

MANIFEST: Final = "manifest.json"  # of `inquisight convert`, written last
SAMPLES: Final = 256  # of 4 KB, read from a file that is too large to be read as a whole
# What from_pretrained raises for files that are missing, broken or of another model.
LOADING_ERRORS: Final = (
    OSError, ValueError, RuntimeError, ImportError, KeyError, TypeError, AttributeError, AssertionError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Directory:
    """A model's directory with readable configuration and complete weights."""

    path: Path
    config: Mapping[str, Any]
    files: tuple[Path, ...]  # with the weights
    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)  # of the stored tensors; empty for a pickle
    digest: str

    def bytes(self, dtype: str) -> int:
        """Size of the weights as this type; 0 if unknown."""
        return int(sum(math.prod(shape) for shape in self.shapes.values()) * BYTES[dtype])

    def shape(self, ending: str) -> tuple[int, ...] | None:
        """Shape of the tensor whose name has this ending."""
        return next((shape for name, shape in self.shapes.items() if name.endswith(ending)), None)


def find(text: str, plugin: str) -> Path:
    """The directory `text`, or the directory of the hub's model with this name. Raises UsageError, BackendError."""
    path = Path(text).expanduser()
    if path.is_dir():
        return path.resolve()
    from plugins.hf.hub import model_directory

    return model_directory(text, f"{plugin}:")


def check(path: Path, plugin: str) -> Directory:
    """Read everything but the weights. Raises BackendError, one line."""
    return describe(path, weight_files(path, f"{plugin}:", hub=True))


def describe(path: Path, files: tuple[Path, ...]) -> Directory:
    """The directory whose weights are in `files`. Raises BackendError, one line."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        shapes |= tensor_shapes(file) if file.suffix == ".safetensors" else {}
    return Directory(path, read_json(path / "config.json"), files, shapes, _digest(path, files))


def part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of a configuration, such as "text_config"; empty if there is none."""
    found = config.get(name) or {}
    return found if isinstance(found, dict) else {}


def check_projection(directory: Directory) -> None:
    """Raise BackendError if a BLIP-2's projection does not fit its language model, which would write nonsense."""
    if not directory.shapes:
        return
    where = printable(directory.path)
    projection = directory.shape("language_projection.weight")
    if projection is None:
        raise BackendError(f"{where} has no language_projection.weight; fetch or convert the model again.")
    table = directory.shape("embed_tokens.weight") or directory.shape("language_model.shared.weight")
    if table is None:
        return
    if table[-1] != projection[0]:
        raise BackendError(
            f"the projection in {where} leads to size {projection[0]}, but its language model has size {table[-1]}: "
            "they belong to different models; fetch or convert the model again."
        )
    vocabulary = part(directory.config, "text_config").get("vocab_size")
    if vocabulary is not None and table[0] != vocabulary:
        raise BackendError(
            f"the language model in {where} has {table[0]} tokens, but config.json says {vocabulary}; "
            "fetch or convert the model again."
        )


def _digest(path: Path, files: Sequence[Path]) -> str:
    """12 hex digits of everything that decides an answer.

    Files up to 64 MB count as a whole, larger ones by size and samples: reading 15 GB would take longer than loading
    them. The converter's manifest adds the whole files' sha256, as they were written.
    """
    manifest = path / MANIFEST
    written = read_json(manifest).get("files") if manifest.is_file() else None
    hasher = hashlib.sha256(json.dumps(written, sort_keys=True).encode())
    small = {*path.glob("*.json"), *path.glob("*.jinja"), *path.glob("*.model"), *path.glob("*.txt")} - {manifest}
    for file in sorted({*small, *files}):
        size = file.stat().st_size
        hasher.update(f"{file.name}:{size}\n".encode())
        with file.open("rb") as stream:
            if size <= 64 << 20:
                hasher.update(stream.read())
                continue
            hasher.update(stream.read(1 << 20))
            for sample in range(SAMPLES):
                stream.seek((size - 4096) * sample // (SAMPLES - 1))
                hasher.update(stream.read(4096))
    return hasher.hexdigest()[:12]


def choose(directory: Directory, options: BaseLoadOptions, *, half: bool = True) -> tuple[str, str, str]:
    """Device, type of the numbers, and why. `half=False`: the model does not survive float16.

    Raises UsageError; BackendError where the weights alone are larger than the free memory: later the system would end
    the process.
    """
    device, why_device = choose_device(options)
    dtype, why = choose_dtype(options, device, half=half)
    if options.device_map or options.quantize != "none" or (free := free_memory(device)) is None:
        return device, dtype, f"{why_device}; {why}"
    if directory.bytes(dtype) > free and options.dtype == "auto" and device == "cpu":
        why = f"bfloat16 because float32 would take {directory.bytes(dtype) / GB:.1f} GB, and {free / GB:.1f} are free"
        dtype = "bfloat16"
    if (size := directory.bytes(dtype)) > free:
        smaller = "?dtype=bfloat16" if device == "cpu" else "?quantize=8bit, ?quantize=4bit or ?device_map=auto"
        way_out = "take a smaller model" if device == "cpu" and dtype != "float32" else f"say {smaller} behind the name"
        raise BackendError(
            f"{printable(directory.path)} takes {size / GB:.1f} GB as {dtype}, and {free / GB:.1f} GB are free on "
            f"{device}: close other programs, or {way_out}."
        )
    return device, dtype, f"{why_device}; {why}"


def load(
    path: Path, opener: Callable[..., Any], *, strict: bool, again: str = "fetch or convert it again", **arguments: Any
) -> tuple[Any, list[str]]:
    """`opener(path, ...)`, which is a `from_pretrained`, and the stored tensors that the model has no use for.

    Such tensors are an error where `strict` is set. Missing ones and those of another shape always are; `again` is the
    way out. Raises BackendError, one line.
    """
    import torch
    from safetensors import SafetensorError

    where = printable(path)
    try:
        with quiet():
            # sizes that do not match are reported here, by name, instead of raised without one
            model, report = opener(
                path, output_loading_info=True, trust_remote_code=False, ignore_mismatched_sizes=True, **arguments
            )
    except torch.OutOfMemoryError as error:
        raise BackendError(
            f"{where} does not fit into the memory of the device; add ?quantize=8bit or ?device_map=auto behind it."
        ) from error
    except (*LOADING_ERRORS, SafetensorError) as error:
        raise BackendError(f"the model in {where} cannot be loaded: {one_line(error)}.") from error
    unused = sorted(map(str, report.get("unexpected_keys") or ()))
    wrong = {
        "missing": sorted(map(str, report.get("missing_keys") or ())),
        "of another size": sorted(
            f"{name}: {list(stored)} instead of {list(wanted)}"
            for name, stored, wanted in report.get("mismatched_keys") or ()
        ),
        "unexpected": unused if strict else [],
    }
    if any(wrong.values()):
        counted = ", ".join(f"{len(keys)} {kind} (first {printable(keys[0])})" for kind, keys in wrong.items() if keys)
        raise BackendError(
            f"the weights in {where} do not fit the model that its config.json describes: {counted}; nothing it says "
            f"could be trusted, so {again}."
        )
    model.eval()
    return model, unused


def load_tokenizer(path: Path) -> Any:
    """Raises BackendError, one line."""
    from transformers import AutoTokenizer

    try:
        with quiet():
            return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except LOADING_ERRORS as error:
        raise BackendError(f"the tokenizer in {printable(path)} cannot be used: {one_line(error)}.") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars and warnings: what matters of them becomes one line of our own."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
