"""Open a converted MiniGPT-4 directory: checked before anything large is read, each choice with its reason."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from core.entries import one_line
from core.errors import BackendError, printable
from core.files.model_folder import SAFETENSORS, weight_files
from plugins.hf import checkpoint as opening
from plugins.hf.load_options import placing
from plugins.minigpt4.runtime.conversation import FORMATS, LLAMA2, VICUNA, Format
from plugins.minigpt4.runtime.load_options import EXACT, choose
from plugins.minigpt4.runtime.load_options import LoadOptions as LoadOptions

HOW: Final = (
    "inquisight convert minigpt4 --projection pretrained_minigpt4_7b.pth --llm VICUNA --vision BLIP2 --to DIRECTORY"
)
MANIFEST: Final = "manifest.json"
# CLIP's, which BLIP-2 and MiniGPT-4 use (openai/CLIP `clip/clip.py`)
MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
STD: Final = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class Checked:
    """A directory that looks like a converted MiniGPT-4."""

    directory: Path
    config: Mapping[str, Any]
    format: Format
    manifest: Mapping[str, Any]
    digest: str
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    files: tuple[Path, ...]  # with the weights, safetensors all of them
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)  # of all tensors


@dataclass(slots=True)
class Loaded:
    """The model with its tokenizer, and what was chosen and why."""

    model: Any
    tokenizer: Any
    choices: dict[str, str] = field(default_factory=dict)


def check(directory: Path, wanted_format: str | None = None, *, prefix: str = "minigpt4:") -> Checked:
    """What can be known without reading the weights; `prefix` stands before the directory where it is named.

    Raises BackendError, one line.
    """
    files = weight_files(directory, prefix, otherwise=f"minigpt4 needs a directory made by `{HOW}`")
    config = _json(directory / "config.json")
    _check_class(directory, config)
    if files[0].suffix != ".safetensors":
        raise BackendError(
            f"{printable(directory)} has its weights in {printable(files[0].name)}, and minigpt4 reads safetensors: "
            f"make the directory again with `{HOW}`."
        )
    shapes = _shapes(files)
    _check_shapes(directory, config, shapes)
    if not any((directory / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise BackendError(f"{printable(directory)} has no tokenizer.json; make the directory again with `{HOW}`.")
    manifest = _manifest(directory)
    pictures = _picture_settings(directory)
    size = config.get("vision_config", {}).get("image_size", 224)
    return Checked(
        directory,
        config,
        FORMATS[wanted_format] if wanted_format else _format(directory, manifest),
        manifest,
        _digest(directory, manifest, files),
        size if isinstance(size, int) else size[0],
        tuple(pictures.get("image_mean") or MEAN),
        tuple(pictures.get("image_std") or STD),
        files,
        shapes,
    )


def load(checked: Checked, options: LoadOptions) -> Loaded:
    """The model in memory. Raises BackendError, one line, where it cannot be loaded or the weights do not fit it."""
    from transformers import AutoTokenizer

    from plugins.minigpt4.runtime.modeling import as_the_original, model_class

    chosen = choose(options, checked.config, checked.shapes, printable(checked.directory))
    if options.compile:
        _check_compiler(chosen.device)
    model, _ = opening.load(
        checked.directory,
        model_class(checked.directory).from_pretrained,
        strict=True,
        again="convert it again",
        attn_implementation="sdpa",
        **placing(options, chosen.device, chosen.dtype, EXACT),
    )
    try:
        with opening.quiet():
            tokenizer = AutoTokenizer.from_pretrained(checked.directory, local_files_only=True, trust_remote_code=False)
    except opening.LOADING_ERRORS as error:
        raise BackendError(
            f"the tokenizer in {printable(checked.directory)} cannot be used: {one_line(error)}."
        ) from error
    as_the_original(model)
    if options.compile:
        import torch

        # `dynamic`, because every token makes the conversation one longer
        model.language_model.forward = torch.compile(model.language_model.forward, dynamic=True)
    choices = {
        "device": str(options.device_map or chosen.device),
        "dtype": chosen.dtype,
        "why": chosen.why,
        "memory": chosen.memory.in_words(),
        "attention": str(model.language_model.config._attn_implementation),
        "quantize": options.quantize,
        "format": checked.format.name,
    }
    if options.compile:
        choices["compile"] = "the language model, by torch.compile"
    choices |= {
        key: printable(checked.manifest[key]) for key in ("release", "language_model") if checked.manifest.get(key)
    }
    return Loaded(model, tokenizer, choices)


def _check_compiler(device: str) -> None:
    """torch.compile translates with what the machine has, and fails at the first answer where it has nothing."""
    import torch

    try:
        with torch.inference_mode():
            torch.compile(_one_more)(torch.zeros(2, device=device))
    except Exception as error:  # Dynamo's, Inductor's, Triton's own, and what a broken compiler makes of them
        needed = "Triton and a C compiler" if device.startswith("cuda") else "a C++ compiler such as g++"
        raise BackendError(
            f"compile=true needs {needed}, and here torch.compile fails: {one_line(error)}; install one, or leave it "
            "out."
        ) from error


def _one_more(numbers: Any) -> Any:
    return numbers + 1


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise BackendError(
            f"{printable(file.parent)} has no {file.name}; minigpt4 needs a directory made by `{HOW}`."
        ) from None
    except (OSError, ValueError):
        raise BackendError(f"{printable(file)} cannot be read as JSON; convert the model again.") from None
    if not isinstance(value, dict):
        raise BackendError(f"{printable(file)} holds no JSON object; convert the model again.")
    return value


def _check_class(directory: Path, config: Mapping[str, Any]) -> None:
    kind = config.get("model_type")
    if kind != "blip-2":
        raise BackendError(
            f"{printable(directory)} holds a model of type {printable(kind)!r}, not a MiniGPT-4 (type 'blip-2' with a "
            f"Llama inside); make one with `{HOW}`."
        )
    inside = config.get("text_config", {}).get("model_type")
    if inside != "llama":
        raise BackendError(
            f"{printable(directory)} is a BLIP-2 whose language model is {printable(inside)!r}, where MiniGPT-4 has a "
            "'llama'; open it with the backend for BLIP-2."
        )


def _shapes(files: Sequence[Path]) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors, from the headers of the safetensors files."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        for tensor, entry in json.loads(_header(file)).items():
            if tensor != "__metadata__":
                shapes[tensor] = tuple(entry["shape"])
    return shapes


def _header(file: Path) -> bytes:
    """The JSON header of a safetensors file: 8 bytes little-endian length, then so many bytes."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size + 1
        header = stream.read(length) if length <= min(size - 8, 100 << 20) else b""
    try:
        ends = [entry["data_offsets"][1] for name, entry in json.loads(header).items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise BackendError(f"{printable(file)} is not a safetensors file; copy it again or convert again.") from None
    if size != 8 + length + max(ends, default=0):
        raise BackendError(f"{printable(file)} is cut short or too long ({size} bytes); copy or convert it again.")
    return header


def _check_shapes(directory: Path, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The projection must lead into this very language model: a wrong pair speaks fluent nonsense."""
    projection = next((shape for name, shape in shapes.items() if name.endswith("language_projection.weight")), None)
    if projection is None:
        raise BackendError(f"{printable(directory)} has no language_projection.weight; convert it again with `{HOW}`.")
    embeddings = next((shape for name, shape in shapes.items() if name.endswith("embed_tokens.weight")), None)
    if embeddings is not None and embeddings[-1] != projection[0]:
        raise BackendError(
            f"the projection in {printable(directory)} leads to size {projection[0]}, but its language model has size "
            f"{embeddings[-1]}: they belong to different models; convert it again with the projection for this one."
        )
    vocabulary = config.get("text_config", {}).get("vocab_size")
    if embeddings is not None and vocabulary is not None and embeddings[0] != vocabulary:
        raise BackendError(
            f"the language model in {printable(directory)} has {embeddings[0]} tokens, but config.json says "
            f"{vocabulary}; convert the model again."
        )


def _manifest(directory: Path) -> dict[str, Any]:
    """What the converter wrote last; a directory put together by other means has none. Raises BackendError."""
    file = directory / MANIFEST
    manifest = _json(file) if file.is_file() else {}
    for entry in manifest.get("files", ()):
        part = directory / str(entry["file"])
        if part.is_file() and part.stat().st_size != entry["bytes"]:
            raise BackendError(
                f"{printable(part)} has {part.stat().st_size} bytes, but {MANIFEST} says {entry['bytes']}; "
                "copy it again or convert again."
            )
    return manifest


def _format(directory: Path, manifest: Mapping[str, Any]) -> Format:
    named = manifest.get("format")
    if isinstance(named, str) and named in FORMATS:
        return FORMATS[named]
    template = directory / "chat_template.jinja"
    if template.is_file():
        text = template.read_text("utf-8")
    else:
        settings = directory / "tokenizer_config.json"
        text = str(_json(settings).get("chat_template", "")) if settings.is_file() else ""
    return LLAMA2 if "[INST]" in text else VICUNA


def _picture_settings(directory: Path) -> dict[str, Any]:
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (directory / name).is_file():
            settings = _json(directory / name)
            inner = settings.get("image_processor", settings)
            if isinstance(inner, dict) and "image_mean" in inner:
                return inner
    return {}


def _digest(directory: Path, manifest: Mapping[str, Any], files: Sequence[Path]) -> str:
    """12 hex digits of everything that decides an answer.

    Files up to 64 MB count as a whole; of larger ones the size, the header and 256 samples of 4 KB, because reading
    26 GB would take longer than loading them. The manifest adds the whole files' sha256, as they were written.
    """
    hasher = hashlib.sha256(json.dumps(manifest.get("files"), sort_keys=True).encode())
    names = {file.name for file in files}
    names |= {f"{SAFETENSORS}.index.json", "config.json", "generation_config.json", "tokenizer.json", "tokenizer.model"}
    names |= {"tokenizer_config.json", "preprocessor_config.json", "processor_config.json"}
    for name in sorted(names):
        file = directory / name
        if not file.is_file():
            continue
        size = file.stat().st_size
        hasher.update(f"{name}:{size}\n".encode())
        with file.open("rb") as stream:
            if size <= 64 << 20:
                hasher.update(stream.read())
                continue
            hasher.update(_header(file) if name.endswith(".safetensors") else b"")
            for sample in range(256):
                stream.seek((size - 4096) * sample // 255)
                hasher.update(stream.read(4096))
    return hasher.hexdigest()[:12]
