"""What a folder that is named as a model holds, found without a model library and before one is imported.

    files = weight_files(Path("blip2"), "blip2:", hub=True)   # raises BackendError, one line with the way out
    inspect(Path("blip2"))                                    # FolderFinding("adapter", "is a LoRA ...", "merge ...")

The layout is Hugging Face's: `config.json` and `model.safetensors` or `pytorch_model.bin`, in one file or in shards
that `NAME.index.json` lists (huggingface_hub, "Serialization"). Everything else that people name by mistake has its
line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from core.errors import BackendError, printable

SAFETENSORS: Final = "model.safetensors"
PICKLE: Final = "pytorch_model.bin"
CONFIG: Final = "config.json"
_FORMATS: Final = {  # by suffix: what others store models as
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
# What makes transformers load and run Python that is not its own, in any of a model's JSON files.
REMOTE_CODE: Final = ("auto_map", "custom_pipelines", "custom_generate", "trust_remote_code", "code_revision")
AGAIN: Final = "fetch the model again"

Kind = Literal[
    "model", "missing", "file", "empty", "cache", "run", "adapter", "pointer", "incomplete", "twice", "other"
]
Wanted = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class FolderFinding:
    """What was found: `words` and `way_out` make a sentence behind the folder's name. `files` are a model's weights."""

    kind: Kind
    words: str = ""
    way_out: str = ""
    files: tuple[Path, ...] = ()


def weight_files(
    folder: Path,
    prefix: str = "",
    *,
    hub: bool = False,
    otherwise: str = "give the folder of a model in Hugging Face's layout",
    wanted: Wanted | None = None,
) -> tuple[Path, ...]:
    """The files with a model's weights, safetensors before pickles. Raises BackendError where it is no whole model.

    `prefix` is what stands before the folder ("blip2:", "--llm "); `hub`: names on the hub may stand there too;
    `otherwise` is the way out where nothing better is known; `wanted` chooses shards by the tensors in them.
    """
    found = inspect(folder, prefix, hub=hub, wanted=wanted)
    if found.kind != "model":
        raise BackendError(f"{prefix}{printable(folder)} {found.words}; {found.way_out or otherwise}.")
    return found.files


def inspect(folder: Path, prefix: str = "", *, hub: bool = False, wanted: Wanted | None = None) -> FolderFinding:
    """What is at `folder`, in words; see `weight_files`."""
    if not folder.is_dir():
        return _no_folder(folder)
    folder = Path(os.path.abspath(folder))  # its name tells something; a link keeps the name by which it was found
    names = sorted(entry.name for entry in folder.iterdir())
    if not any(name != ".cache" for name in names):
        return _incomplete(folder) or FolderFinding("empty", f"is an empty folder and has no {CONFIG}")
    return (
        _cache(folder, names, prefix, hub=hub)
        or _other_kind(folder, names)
        or _pointer(folder, names)
        or (_without_config(folder, names) if CONFIG not in names else _weights(folder, names, wanted))
    )


def without_remote_code(value: Any) -> Any:
    """A JSON value without the entries, at any depth, that make transformers run code which is not its own."""
    if isinstance(value, dict):
        return {name: without_remote_code(one) for name, one in value.items() if name not in REMOTE_CODE}
    return [without_remote_code(one) for one in value] if isinstance(value, list) else value


def is_pointer(file: Path) -> bool:
    """Whether Git LFS left the note where a file is to be fetched instead of the file."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(_POINTER)) == _POINTER
    except OSError:
        return False


# ---- what is no model's folder -------------------------------------------------------------------------------------


def _no_folder(path: Path) -> FolderFinding:
    if path.is_symlink() and not path.exists():
        return FolderFinding("missing", "is a link that leads nowhere", "name the folder itself")
    if not path.exists():
        return FolderFinding("missing", "does not exist")
    if path.name.lower().endswith(_ARCHIVES):
        return FolderFinding("file", "is an archive", "unpack it and name the folder")
    if (path.parent / CONFIG).is_file():
        return FolderFinding("file", "is one file of a model", f"name its folder, {printable(path.parent)}")
    if form := _FORMATS.get(path.suffix.lower()):
        return FolderFinding(
            "file", f"is a file, one of the {form}", "name the folder of a model in Hugging Face's layout"
        )
    return FolderFinding("file", "is a file")


def _cache(folder: Path, names: list[str], prefix: str, *, hub: bool) -> FolderFinding | None:
    """A folder of the hub's cache (huggingface_hub, "Manage your cache"): only a snapshot in it is a model."""
    if CONFIG in names:
        return None
    if folder.name in ("snapshots", "blobs", "refs") and folder.parent.name.startswith("models--"):
        folder = folder.parent
    if not (
        folder.name.startswith("models--")
        or {"snapshots", "refs"} <= set(names)
        or {"snapshots", "blobs"} <= set(names)
    ):
        models = [name for name in names if name.startswith("models--")]
        if not models:
            return None
        named = (
            f"{prefix}{_hub_name(models[0])}" if hub else printable(_snapshot(folder / models[0]) or folder / models[0])
        )
        return FolderFinding(
            "cache", f"is the hub's cache with {len(models)} models", f"name one of them, such as {named}"
        )
    title = _hub_name(folder.name) if folder.name.startswith("models--") else ""
    words = f"is the hub's cache folder{f' of {title}' if title else ''} and no model by itself"
    snapshot = _snapshot(folder)
    ways = [f"say {prefix}{title}"] if hub and title else []
    ways += [f"name the snapshot in it, {printable(snapshot)}"] if snapshot else []
    return FolderFinding("cache", words, " or ".join(ways) or f"no snapshot is in it: {AGAIN}")


def _hub_name(folder: str) -> str:
    return printable("/".join(folder.removeprefix("models--").split("--", 1)))


def _snapshot(folder: Path) -> Path | None:
    """The snapshot that `main` stands for, or else the newest one."""
    try:
        main = folder / "snapshots" / (folder / "refs" / "main").read_text("utf-8").strip()
        if main.is_dir() and main.name != "snapshots":
            return main
    except (OSError, ValueError):
        pass
    found = [entry for entry in (folder / "snapshots").glob("*") if entry.is_dir()]
    return max(found, key=lambda entry: entry.stat().st_mtime, default=None)


def _other_kind(folder: Path, names: list[str]) -> FolderFinding | None:
    if any(name in names for name in _RUN) and CONFIG not in names:
        way_out = f"say trained:{printable(folder)}, or export it with `inquisight train export`"
        return FolderFinding("run", "is a training run and no model by itself", way_out)
    if {"state.json", "projection.safetensors"} <= set(names):
        return FolderFinding("run", "is one checkpoint of a training run", "name the run's folder, once it is finished")
    if folder.name.endswith(".partial") and "progress.json" in names:
        return FolderFinding(
            "incomplete", "is a conversion that was stopped", "run the same `inquisight convert` command again"
        )
    if "model_index.json" in names:
        return FolderFinding("other", "is a diffusers pipeline, which draws pictures and does not read them")
    if "adapter_config.json" in names:
        base = _json(folder / "adapter_config.json").get("base_model_name_or_path")
        of = f" for {printable(base, 80)}" if isinstance(base, str) and base else ""
        if any(name.startswith((SAFETENSORS, PICKLE)) for name in names):
            # with peft installed, transformers would load that base model instead of these weights
            return FolderFinding(
                "twice",
                f"holds a whole model and an adapter_config.json{of}: which of them is meant is not clear",
                "move the adapter's files to a folder of their own",
            )
        return FolderFinding(
            "adapter",
            f"is a LoRA adapter{of} without its base model",
            "merge it into that model (peft's merge_and_unload, then save_pretrained) and name the merged folder",
        )
    return None


def _pointer(folder: Path, names: list[str]) -> FolderFinding | None:
    for name in names:
        file = folder / name
        if file.is_file() and file.stat().st_size < 1024 and is_pointer(file):
            return FolderFinding(
                "pointer", f"holds Git LFS pointers instead of files ({printable(name)})", "run `git lfs pull` in it"
            )
    return None


def _without_config(folder: Path, names: list[str]) -> FolderFinding:
    words = f"has no {CONFIG}"
    if found := _incomplete(folder, words):
        return found
    if broken := _broken_link(folder, names):
        return broken
    nested = [name for name in names if not name.startswith(".") and (folder / name / CONFIG).is_file()]
    if nested:
        # of several, the trainings that write numbered checkpoints mean the last one
        last = max(nested, key=lambda name: (len(name), name))
        return FolderFinding(
            "other", f"{words}, but its folder {printable(last)} has one", f"name {printable(folder / last)}"
        )
    if any(name.startswith("consolidated") for name in names):
        return _meta(words)
    if form := _foreign(names):
        return FolderFinding("other", f"{words}; it holds {form}", _way_out_of(form))
    if any(name in names for name in _TOKENIZER):
        return FolderFinding("other", f"holds a tokenizer only: it has no {CONFIG} and no weights", AGAIN)
    return FolderFinding("other", words)


# ---- the weights of a model ----------------------------------------------------------------------------------------


def _weights(folder: Path, names: list[str], wanted: Wanted | None) -> FolderFinding:
    for single in (SAFETENSORS, PICKLE):
        index = f"{single}.index.json"
        if index in names:
            return _shards(folder, index, single, names, wanted)
        if (folder / single).is_file():
            return FolderFinding("model", files=(folder / single,))
    if broken := _broken_link(folder, names):
        return broken
    words = f"has no weights: expected {SAFETENSORS} or {PICKLE} (or their .index.json with the shards)"
    if found := _incomplete(folder, words):
        return found
    if shards := [name for name in names if name.startswith(("model-0", "pytorch_model-0"))]:
        of = SAFETENSORS if shards[0].endswith(".safetensors") else PICKLE
        return FolderFinding(
            "incomplete", f"has {len(shards)} shards, but no {of}.index.json that says what is in them", AGAIN
        )
    if any(name.startswith("consolidated") for name in names):
        return _meta(words)
    stored = [name for name in names if name.endswith(".safetensors")]
    if stored:
        return FolderFinding(
            "other", f"{words}, found {_listed(stored)}", f"name the weights {SAFETENSORS} if they are the whole model"
        )
    if form := _foreign(names):
        return FolderFinding("other", f"{words}, found {form}", _way_out_of(form))
    return FolderFinding("other", words, AGAIN)


def _shards(folder: Path, index: str, single: str, names: list[str], wanted: Wanted | None) -> FolderFinding:
    weight_map = _json(folder / index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        way_out = f"delete it to use {single}" if single in names else "fetch that file again"
        return FolderFinding("incomplete", f"has an index ({index}) that names no file", way_out)
    every = sorted({str(file) for file in weight_map.values()})
    chosen = sorted({str(file) for name, file in weight_map.items() if wanted is None or wanted(str(name))})
    if any(Path(name).name != name or "\\" in name for name in every):
        return FolderFinding("other", f"has an index ({index}) that names files outside its folder", "fetch it again")
    absent = [name for name in every if not (folder / name).is_file()]
    if single in names and single not in every:
        # transformers would read the whole file, tools that go by the index the others
        state = f"{_listed(absent)} is missing" if absent else f"{_listed(every)} is there as well"
        return FolderFinding(
            "twice",
            f"holds a whole {single} and an index ({index}) that names other files ({state})",
            f"delete {index}{'' if absent else ' and those files'} to use {single}",
        )
    if not chosen:
        return FolderFinding("other", f"has an index ({index}) without any of the weights that are read here")
    missing = [name for name in chosen if name in absent]
    if missing:
        if found := _incomplete(folder, f"lacks weights: {printable(missing[0])} is missing"):
            return found
        return FolderFinding(
            "incomplete",
            f"lacks weights: {_listed(missing)} is missing ({len(chosen) - len(missing)} of {len(chosen)} files are "
            "there)",
            f"delete {index} to use {PICKLE}" if PICKLE in names and single != PICKLE else AGAIN,
        )
    return FolderFinding("model", files=tuple(folder / name for name in chosen))


# ---- means ---------------------------------------------------------------------------------------------------------


def _incomplete(folder: Path, words: str = f"has no {CONFIG}") -> FolderFinding | None:
    """A download that was broken off, where something is missing."""
    places = [folder, folder / ".cache" / "huggingface" / "download"]
    if folder.parent.name == "snapshots":
        places.append(folder.parents[1] / "blobs")
    for place in places:
        rest = sorted(entry.name for entry in place.iterdir()) if place.is_dir() else []
        for name in rest:
            if name.lower().endswith(_UNFINISHED):
                return FolderFinding(
                    "incomplete",
                    f"{words}, and its download was broken off ({printable(name, 60)} is there)",
                    "run the same download again, which goes on",
                )
    return None


def _broken_link(folder: Path, names: Iterable[str]) -> FolderFinding | None:
    for name in names:
        if (folder / name).is_symlink() and not (folder / name).exists():
            return FolderFinding("incomplete", f"lacks {printable(name)}, a link that leads nowhere", AGAIN)
    return None


def _foreign(names: Iterable[str]) -> str:
    """Files of another format in words; "" where there are none."""
    for suffix, form in _FORMATS.items():
        found = [name for name in names if name.lower().endswith(suffix) and not name.startswith("training_args")]
        if found:
            return f"{form} ({_listed(found)})"
    return ""


def _way_out_of(form: str) -> str:
    if form.startswith("PyTorch"):
        return "where these are MiniGPT-4's or BLIP-2's, `inquisight convert minigpt4` takes the files themselves"
    return "fetch the model in Hugging Face's layout (safetensors)"


def _meta(words: str) -> FolderFinding:
    return FolderFinding(
        "other",
        f"{words}: it is in Meta's own format (consolidated.*)",
        "bring it into Hugging Face's first, with transformers' convert_llama_weights_to_hf",
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(printable(name, 60) for name in names[:3])}{more}"


def _json(file: Path) -> dict[str, Any]:
    """A JSON object; empty where the file holds none."""
    try:
        value = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
