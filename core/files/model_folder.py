"""Find the weight files in a model's folder, or describe what the folder holds instead. Imports no model library.

    files = weight_files(Path("blip2"), "blip2:", hub=True)   # raises BackendError, one line with the way out
    inspect(Path("blip2"))                                    # FolderFinding("is a LoRA adapter ...", "merge it ...")

The layout is Hugging Face's: `config.json` and `model.safetensors` or `pytorch_model.bin`, in one file or in shards
listed by `NAME.index.json` (huggingface_hub, "Serialization"). Each common mistake has its own message.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core.errors import BackendError, printable

SAFETENSORS: Final = "model.safetensors"
PICKLE: Final = "pytorch_model.bin"
CONFIG: Final = "config.json"
_FORMATS: Final = {  # other formats of models, by suffix
    ".gguf": "GGUF files, llama.cpp's format",
    ".ggml": "GGML files, llama.cpp's old format",
    ".onnx": "ONNX files",
    ".h5": "TensorFlow weights",
    ".msgpack": "Flax weights",
    ".tflite": "TensorFlow Lite files",
    ".mlpackage": "Core ML files",
    ".engine": "TensorRT engines",
    ".nemo": "NeMo archives",
    ".npz": "NumPy archives",
    ".pth": "PyTorch checkpoints",
    ".pt": "PyTorch checkpoints",
    ".ckpt": "PyTorch checkpoints",
    ".bin": "PyTorch files",
}
_ARCHIVES: Final = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_UNFINISHED: Final = (".incomplete", ".part", ".partial", ".crdownload", ".aria2", ".download", ".tmp")
_TOKENIZER: Final = ("tokenizer.json", "tokenizer.model", "spiece.model", "tokenizer_config.json", "vocab.json")
_POINTER: Final = b"version https://git-lfs"
_RUN: Final = ("recipe.toml", "finished.json")  # of `inquisight train`
# Entries of a model's JSON files that make transformers load and run foreign Python code.
REMOTE_CODE: Final = ("auto_map", "custom_pipelines", "custom_generate", "trust_remote_code", "code_revision")
AGAIN: Final = "fetch the model again"

TensorFilter = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class FolderFinding:
    """The files with a model's weights, or a description (`words`) that follows the folder's name, and the way out."""

    words: str = ""
    way_out: str = ""
    files: tuple[Path, ...] = ()


def weight_files(
    folder: Path,
    prefix: str = "",
    *,
    hub: bool = False,
    otherwise: str = "give the folder of a model in Hugging Face's layout",
    select: TensorFilter | None = None,
) -> tuple[Path, ...]:
    """The files with a model's weights, safetensors before pickles. Raises BackendError if it is no complete model.

    `prefix` precedes the folder in messages ("blip2:", "--llm "); `hub`: hub names are allowed there too; `otherwise`
    is the default way out; `select` selects shards by the names of their tensors.
    """
    found = inspect(folder, prefix, hub=hub, select=select)
    if not found.files:
        raise BackendError(f"{prefix}{printable(folder)} {found.words}; {found.way_out or otherwise}.")
    return found.files


def inspect(folder: Path, prefix: str = "", *, hub: bool = False, select: TensorFilter | None = None) -> FolderFinding:
    """What `folder` holds; see `weight_files` for the parameters."""
    if not folder.is_dir():
        return _no_folder(folder)
    folder = Path(os.path.abspath(folder))  # not resolved: the name of a link may be meaningful
    names = sorted(entry.name for entry in folder.iterdir())
    if not any(name != ".cache" for name in names):
        return _incomplete(folder) or FolderFinding(f"is an empty folder and has no {CONFIG}")
    return (
        _cache(folder, names, prefix, hub=hub)
        or _other_kind(folder, names)
        or _pointer(folder, names)
        or (_weights(folder, names, select) if CONFIG in names else _without_config(folder, names))
    )


def without_remote_code(value: Any) -> Any:
    """A JSON value without the `REMOTE_CODE` entries, at any depth."""
    if isinstance(value, dict):
        return {name: without_remote_code(one) for name, one in value.items() if name not in REMOTE_CODE}
    return [without_remote_code(one) for one in value] if isinstance(value, list) else value


def is_pointer(file: Path) -> bool:
    """Whether `file` is a Git LFS pointer instead of the file itself."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(_POINTER)) == _POINTER
    except OSError:
        return False


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in `file`. Raises BackendError."""
    try:
        value = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise BackendError(f"{printable(file.parent)} has no {file.name}; fetch or convert the model again.") from None
    except (OSError, ValueError):
        raise BackendError(f"{printable(file)} cannot be read as JSON; fetch or convert the model again.") from None
    if not isinstance(value, dict):
        raise BackendError(f"{printable(file)} holds no JSON object; fetch or convert the model again.")
    return value


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors in a safetensors file, from its header. Raises BackendError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as opened:
            return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError):
        raise BackendError(
            f"{printable(file)} ({file.stat().st_size} bytes) is cut short or no safetensors file; "
            "fetch or convert it again."
        ) from None


# ---- paths that are no model folder --------------------------------------------------------------------------------


def _no_folder(path: Path) -> FolderFinding:
    if not path.exists():
        if path.is_symlink():
            return FolderFinding("is a broken link", "name the folder itself")
        return FolderFinding("does not exist")
    if path.name.lower().endswith(_ARCHIVES):
        return FolderFinding("is an archive", "unpack it and name the folder")
    if (path.parent / CONFIG).is_file():
        return FolderFinding("is one file of a model", f"name its folder, {printable(path.parent)}")
    if form := _FORMATS.get(path.suffix.lower()):
        return FolderFinding(f"is a file, one of the {form}", "name the folder of a model in Hugging Face's layout")
    return FolderFinding("is a file")


def _cache(folder: Path, names: list[str], prefix: str, *, hub: bool) -> FolderFinding | None:
    """A folder of the hub's cache (huggingface_hub, "Manage your cache"): only a snapshot in it is a model."""
    if CONFIG in names:
        return None
    if folder.name in ("snapshots", "blobs", "refs") and folder.parent.name.startswith("models--"):
        folder = folder.parent
    in_cache = folder.name.startswith("models--")
    if not (in_cache or ("snapshots" in names and {"refs", "blobs"} & set(names))):
        models = [name for name in names if name.startswith("models--")]
        if not models:
            return None
        first = folder / models[0]
        named = f"{prefix}{_hub_name(first)}" if hub else printable(_snapshot(first) or first)
        return FolderFinding(f"is the hub's cache with {len(models)} models", f"name one of them, such as {named}")
    title = _hub_name(folder) if in_cache else ""
    snapshot = _snapshot(folder)
    ways = [f"use {prefix}{title}"] if hub and title else []
    ways += [f"name the snapshot in it, {printable(snapshot)}"] if snapshot else []
    return FolderFinding(
        f"is the hub's cache folder{f' of {title}' if title else ''} and no model by itself",
        " or ".join(ways) or f"no snapshot is in it: {AGAIN}",
    )


def _hub_name(folder: Path) -> str:
    return printable("/".join(folder.name.removeprefix("models--").split("--", 1)))


def _snapshot(folder: Path) -> Path | None:
    """The snapshot that `main` refers to, or the newest one."""
    snapshots = [entry for entry in (folder / "snapshots").glob("*") if entry.is_dir()]
    try:
        main = (folder / "refs" / "main").read_text("utf-8").strip()
    except (OSError, ValueError):
        main = ""
    return max(snapshots, key=lambda entry: (entry.name == main, entry.stat().st_mtime), default=None)


def _other_kind(folder: Path, names: list[str]) -> FolderFinding | None:
    if any(name in names for name in _RUN) and CONFIG not in names:
        return FolderFinding(
            "is a training run and no model by itself",
            f"use trained:{printable(folder)}, or export it with `inquisight train export`",
        )
    if {"state.json", "projection.safetensors"} <= set(names):
        return FolderFinding("is one checkpoint of a training run", "name the run's folder, once it is finished")
    if folder.name.endswith(".partial") and "progress.json" in names:
        return FolderFinding("is a conversion that was stopped", "run the same `inquisight convert` command again")
    if "model_index.json" in names:
        return FolderFinding("is a diffusers pipeline, which draws pictures and does not read them")
    if "adapter_config.json" not in names:
        return None
    base = _json(folder / "adapter_config.json").get("base_model_name_or_path")
    of = f" for {printable(base, 80)}" if isinstance(base, str) and base else ""
    if any(name.startswith((SAFETENSORS, PICKLE)) for name in names):
        # with peft installed, transformers would load that base model instead of these weights
        return FolderFinding(
            f"holds a whole model and an adapter_config.json{of}: it is unclear which one to load",
            "move the adapter's files to a folder of their own",
        )
    return FolderFinding(
        f"is a LoRA adapter{of} without its base model",
        "merge it into that model (peft's merge_and_unload, then save_pretrained) and name the merged folder",
    )


def _pointer(folder: Path, names: list[str]) -> FolderFinding | None:
    for name in names:
        file = folder / name
        if file.is_file() and file.stat().st_size < 1024 and is_pointer(file):
            return FolderFinding(
                f"holds Git LFS pointers instead of files ({printable(name)})", "run `git lfs pull` in it"
            )
    return None


def _without_config(folder: Path, names: list[str]) -> FolderFinding:
    words = f"has no {CONFIG}"
    if found := _incomplete(folder, words) or _broken_link(folder, names):
        return found
    nested = [name for name in names if not name.startswith(".") and (folder / name / CONFIG).is_file()]
    if nested:
        last = max(nested, key=lambda name: (len(name), name))  # the last of numbered checkpoints
        return FolderFinding(f"{words}, but its folder {printable(last)} has one", f"name {printable(folder / last)}")
    if found := _foreign(names, words, "; it holds"):
        return found
    if any(name in names for name in _TOKENIZER):
        return FolderFinding(f"holds a tokenizer only: it has no {CONFIG} and no weights", AGAIN)
    return FolderFinding(words)


# ---- the weights of a model ----------------------------------------------------------------------------------------


def _weights(folder: Path, names: list[str], select: TensorFilter | None) -> FolderFinding:
    for single in (SAFETENSORS, PICKLE):
        if f"{single}.index.json" in names:
            return _shards(folder, single, names, select)
        if (folder / single).is_file():
            return FolderFinding(files=(folder / single,))
    words = f"has no weights: expected {SAFETENSORS} or {PICKLE} (or their .index.json with the shards)"
    if found := _broken_link(folder, names) or _incomplete(folder, words):
        return found
    if shards := [name for name in names if name.startswith(("model-0", "pytorch_model-0"))]:
        of = SAFETENSORS if shards[0].endswith(".safetensors") else PICKLE
        return FolderFinding(f"has {len(shards)} shards, but no {of}.index.json that lists their tensors", AGAIN)
    if stored := [name for name in names if name.endswith(".safetensors")]:
        return FolderFinding(
            f"{words}, found {_listed(stored)}", f"name the weights {SAFETENSORS} if they are the whole model"
        )
    return _foreign(names, words, ", found") or FolderFinding(words, AGAIN)


def _shards(folder: Path, single: str, names: list[str], select: TensorFilter | None) -> FolderFinding:
    index = f"{single}.index.json"
    weight_map = _json(folder / index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        way_out = f"delete it to use {single}" if single in names else "fetch that file again"
        return FolderFinding(f"has an index ({index}) that names no file", way_out)
    every = sorted({str(file) for file in weight_map.values()})
    chosen = sorted({str(file) for name, file in weight_map.items() if select is None or select(str(name))})
    if any(Path(name).name != name or "\\" in name for name in every):
        return FolderFinding(f"has an index ({index}) that names files outside its folder", "fetch it again")
    absent = [name for name in every if not (folder / name).is_file()]
    if single in names and single not in every:
        # transformers would read the whole file, tools that follow the index would read the others
        state = f"{_listed(absent)} is missing" if absent else f"{_listed(every)} is there as well"
        return FolderFinding(
            f"holds a whole {single} and an index ({index}) that names other files ({state})",
            f"delete {index}{'' if absent else ' and those files'} to use {single}",
        )
    if not chosen:
        return FolderFinding(f"has an index ({index}) without any of the weights that are read here")
    missing = [name for name in chosen if name in absent]
    if not missing:
        return FolderFinding(files=tuple(folder / name for name in chosen))
    there = f"{len(chosen) - len(missing)} of {len(chosen)} files are there"
    return _incomplete(folder, f"lacks weights: {printable(missing[0])} is missing") or FolderFinding(
        f"lacks weights: {_listed(missing)} is missing ({there})",
        f"delete {index} to use {PICKLE}" if PICKLE in names and single != PICKLE else AGAIN,
    )


# ---- helpers -------------------------------------------------------------------------------------------------------


def _incomplete(folder: Path, words: str = f"has no {CONFIG}") -> FolderFinding | None:
    """An interrupted download."""
    places = [folder, folder / ".cache" / "huggingface" / "download"]
    if folder.parent.name == "snapshots":
        places.append(folder.parents[1] / "blobs")
    for place in places:
        for name in sorted(entry.name for entry in place.iterdir()) if place.is_dir() else []:
            if name.lower().endswith(_UNFINISHED):
                return FolderFinding(
                    f"{words}, and its download was interrupted ({printable(name, 60)} is there)",
                    "run the same download again to resume it",
                )
    return None


def _broken_link(folder: Path, names: Iterable[str]) -> FolderFinding | None:
    for name in names:
        if (folder / name).is_symlink() and not (folder / name).exists():
            return FolderFinding(f"lacks {printable(name)}, a broken link", AGAIN)
    return None


def _foreign(names: Iterable[str], words: str, verb: str) -> FolderFinding | None:
    """Weights in another format."""
    if any(name.startswith("consolidated") for name in names):
        return FolderFinding(
            f"{words}: it is in Meta's own format (consolidated.*)",
            "bring it into Hugging Face's first, with transformers' convert_llama_weights_to_hf",
        )
    for suffix, form in _FORMATS.items():
        found = [name for name in names if name.lower().endswith(suffix) and not name.startswith("training_args")]
        if found and form.startswith("PyTorch"):
            way_out = "if these are MiniGPT-4's or BLIP-2's, `inquisight convert minigpt4` takes the files themselves"
        else:
            way_out = "fetch the model in Hugging Face's layout (safetensors)"
        if found:
            return FolderFinding(f"{words}{verb} {form} ({_listed(found)})", way_out)
    return None


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(printable(name, 60) for name in names[:3])}{more}"


def _json(file: Path) -> dict[str, Any]:
    """The JSON object in `file`; empty if there is none."""
    try:
        return read_json(file)
    except BackendError:
        return {}
