"""Choose device, type of numbers and quantization of a model, each with its reason.

Shared by the backends that open a directory in Hugging Face's layout: `minigpt4:`, `blip2:` and `transformers:`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from core.errors import BackendError, UsageError, printable
from plugins.options import QueryOptions

DType = Literal["auto", "float32", "float16", "bfloat16"]
Quantize = Literal["none", "8bit", "4bit"]


@dataclass(frozen=True, slots=True)
class BaseLoadOptions(QueryOptions):
    """Options of all backends that open a directory in Hugging Face's layout."""

    example: ClassVar[str] = "DIRECTORY?dtype=float32"

    dtype: DType = "auto"
    device: str = "auto"  # "cpu", "cuda:1", ...
    device_map: str | None = None  # "auto", "balanced", ...: spread over several devices by accelerate
    quantize: Quantize = "none"  # of the language model, by bitsandbytes


def choose_device(options: BaseLoadOptions) -> tuple[str, str]:
    """The device and the reason. Raises UsageError, BackendError."""
    import torch

    if options.device == "auto":
        if torch.cuda.is_available():
            return "cuda:0", "a CUDA GPU is there"
        return "cpu", "no CUDA GPU is there"
    try:
        device = torch.device(options.device)
    except RuntimeError:
        raise UsageError(f"device={printable(options.device)!r} is not known; use cpu, cuda, cuda:1 or mps.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BackendError(f"there is no {device}: {torch.cuda.device_count()} CUDA GPUs were found; use device=cpu.")
    return str(device), f"{device} was requested"


def choose_dtype(options: BaseLoadOptions, device: str, *, half: bool = True) -> tuple[str, str]:
    """The number type and the reason. `half=False`: float16 overflows in this model."""
    import torch

    if options.dtype != "auto":
        return options.dtype, f"{options.dtype} was requested"
    if device == "cpu":
        return "float32", "float32 because CPUs are slow and less exact in 16 bit"
    cuda = device.startswith("cuda")
    if cuda and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16", "bfloat16 because this GPU computes it and it has the range of float32"
    reason = "this GPU does not compute bfloat16" if cuda else f"{device} may not compute bfloat16"
    if not half:
        return "float32", f"float32 because {reason} and the range of float16 is too small"
    return "float16", f"float16 because {reason}"


def check_quantization(options: BaseLoadOptions, device: str) -> None:
    """Raise BackendError if quantisation is requested but not possible."""
    if options.quantize == "none":
        return
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BackendError(
            f"quantize={options.quantize} needs the package bitsandbytes: `pip install bitsandbytes`, or leave it out."
        )
    if not device.startswith("cuda"):
        raise BackendError(f"quantize={options.quantize} needs a CUDA GPU, and the device is {device}; leave it out.")


def placing(options: BaseLoadOptions, device: str, dtype: str, exact: Sequence[str] = ()) -> dict[str, Any]:
    """Arguments of `from_pretrained` for type, device and quantisation. Modules in `exact` keep their type.

    Raises BackendError if quantisation is not possible.
    """
    import torch

    arguments: dict[str, Any] = {"dtype": getattr(torch, dtype), "local_files_only": True}
    if options.device_map:
        arguments["device_map"] = options.device_map
    elif device != "cpu":
        arguments["device_map"] = {"": device}  # straight to the device: no second copy in main memory
    if options.quantize == "none":
        return arguments
    check_quantization(options, device)
    from transformers import BitsAndBytesConfig

    how: dict[str, Any] = {"load_in_8bit": True}
    if options.quantize == "4bit":
        how = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": arguments["dtype"]}
    arguments["quantization_config"] = BitsAndBytesConfig(llm_int8_skip_modules=list(exact) or None, **how)
    return arguments


def revision(plugin: str, digest: str, choices: Mapping[str, str]) -> str:
    """A revision that changes with everything that may change an encoding: weights, number type, device."""
    kind = choices["dtype"]
    if choices["quantize"] != "none":
        kind += f"-{choices['quantize']}"
    return f"{plugin}-{digest}-{kind}-{choices['device']}"
