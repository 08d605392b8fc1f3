"""Open a converted MiniGPT-4 directory: checked before the weights are read, each choice with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from core.entries import one_line
from core.errors import BackendError, printable
from core.files.model_folder import read_json, weight_files
from plugins.hf import checkpoint
from plugins.hf.checkpoint import MANIFEST, Directory, part
from plugins.hf.load_options import placing
from plugins.minigpt4.runtime.conversation import CHATML, FORMATS, LLAMA2, VICUNA, Format
from plugins.minigpt4.runtime.load_options import EXACT, HOW, choose
from plugins.minigpt4.runtime.load_options import LoadOptions as LoadOptions

# CLIP's, which BLIP-2 and MiniGPT-4 use (openai/CLIP `clip/clip.py`)
MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
STD: Final = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class Checked(Directory):
    """A directory that looks like a converted MiniGPT-4; all weights are safetensors."""

    format: Format
    manifest: Mapping[str, Any]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def directory(self) -> Path:
        return self.path


@dataclass(slots=True)
class Loaded:
    """The model with its tokenizer, and what was chosen and why."""

    model: Any
    tokenizer: Any
    choices: dict[str, str] = field(default_factory=dict)


def check(directory: Path, wanted_format: str | None = None, *, prefix: str = "minigpt4:") -> Checked:
    """What can be known without reading the weights; `prefix` is written before the directory in errors.

    Raises BackendError, one line.
    """
    where = printable(directory)
    files = weight_files(directory, prefix, otherwise=f"minigpt4 needs a directory made by `{HOW}`")
    config = read_json(directory / "config.json")
    if (kind := config.get("model_type")) != "blip-2":
        raise BackendError(
            f"{where} holds a model of type {printable(kind)!r}, not a MiniGPT-4 (type 'blip-2' with a Llama inside); "
            f"make one with `{HOW}`."
        )
    if (inside := part(config, "text_config").get("model_type")) != "llama":
        raise BackendError(
            f"{where} is a BLIP-2 whose language model is {printable(inside)!r}, where MiniGPT-4 has a 'llama'; open "
            "it with the backend for BLIP-2."
        )
    if files[0].suffix != ".safetensors":
        raise BackendError(
            f"{where} has its weights in {printable(files[0].name)}, and minigpt4 reads safetensors: make the "
            f"directory again with `{HOW}`."
        )
    found = checkpoint.describe(directory, files)
    checkpoint.check_projection(found)
    if not any((directory / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise BackendError(f"{where} has no tokenizer.json; make the directory again with `{HOW}`.")
    manifest = _manifest(directory)
    pictures = _picture_settings(directory)
    size = part(config, "vision_config").get("image_size", 224)
    return Checked(
        directory,
        config,
        files,
        found.shapes,
        found.digest,
        FORMATS[wanted_format] if wanted_format else _format(directory, manifest),
        manifest,
        size if isinstance(size, int) else size[0],
        tuple(pictures.get("image_mean") or MEAN),
        tuple(pictures.get("image_std") or STD),
    )


def load(checked: Checked, options: LoadOptions) -> Loaded:
    """The model in memory. Raises BackendError, one line, if it cannot be loaded or the weights do not fit it."""
    from plugins.minigpt4.runtime.modeling import as_the_original, model_class

    chosen = choose(options, checked.config, checked.shapes, printable(checked.path))
    if options.compile:
        _check_compiler(chosen.device)
    model, _ = checkpoint.load(
        checked.path,
        model_class(checked.path).from_pretrained,
        strict=True,
        again="convert it again",
        attn_implementation="sdpa",
        **placing(options, chosen.device, chosen.dtype, EXACT),
    )
    tokenizer = checkpoint.load_tokenizer(checked.path)
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
    """torch.compile needs a compiler on the machine; without one it fails at the first answer."""
    import torch

    try:
        with torch.inference_mode():
            torch.compile(lambda numbers: numbers + 1)(torch.zeros(2, device=device))
    except Exception as error:  # Dynamo's, Inductor's, Triton's own, and what a broken compiler makes of them
        needed = "Triton and a C compiler" if device.startswith("cuda") else "a C++ compiler such as g++"
        raise BackendError(
            f"compile=true needs {needed}, and here torch.compile fails: {one_line(error)}; install one, or leave it "
            "out."
        ) from error


def _manifest(directory: Path) -> dict[str, Any]:
    """What the converter wrote last; a directory put together by other means has none. Raises BackendError."""
    file = directory / MANIFEST
    manifest = read_json(file) if file.is_file() else {}
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
        text = str(read_json(settings).get("chat_template", "")) if settings.is_file() else ""
    if "<|im_start|>" in text:
        return CHATML
    return LLAMA2 if "[INST]" in text else VICUNA


def _picture_settings(directory: Path) -> dict[str, Any]:
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (directory / name).is_file():
            settings = read_json(directory / name)
            inner = settings.get("image_processor", settings)
            if isinstance(inner, dict) and "image_mean" in inner:
                return inner
    return {}
