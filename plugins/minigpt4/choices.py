"""How a directory is opened: the user's options, and device, type and size of numbers chosen with the reason said.

A choice that cannot fit into the memory is refused here, with those that would: later the system would end the process.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args
from urllib.parse import parse_qsl

from core.errors import BackendError, UsageError, printable
from plugins.minigpt4.conversation import FORMATS
from plugins.minigpt4.memory import GB, Memory, fitting, free_memory, memory_plan

DType = Literal["auto", "float32", "float16", "bfloat16"]
Quantize = Literal["none", "8bit", "4bit"]


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a directory is opened. On the command line: `minigpt4:DIRECTORY?dtype=float16&quantize=8bit`."""

    dtype: DType = "auto"
    device: str = "auto"  # "cpu", "cuda:1", ...
    device_map: str | None = None  # "auto", "balanced", ...: spread over several devices by accelerate
    quantize: Quantize = "none"  # of the language model, by bitsandbytes
    compile: bool = False  # torch.compile of the language model: slow start, faster tokens
    format: str | None = None  # a name in FORMATS; None: what the directory says

    @classmethod
    def parse(cls, argument: str) -> tuple[Path, Self]:
        """ "DIRECTORY?name=value&..." as directory and options. Raises UsageError."""
        text, mark, query = argument.rpartition("?")
        if not mark or Path(argument).expanduser().exists():
            return Path(argument).expanduser(), cls()
        known = [one.name for one in fields(cls)]
        given: dict[str, Any] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name not in known:
                raise UsageError(
                    f"minigpt4 has no option {printable(name)!r}; it has {', '.join(known)}, as in "
                    "minigpt4:DIRECTORY?dtype=float16."
                )
            given[name] = value in {"1", "true", "yes", "on"} if name == "compile" else value
        return Path(text).expanduser(), cls(**given)

    def __post_init__(self) -> None:
        allowed = {"dtype": get_args(DType), "quantize": get_args(Quantize), "format": (None, *FORMATS)}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                words = ", ".join(str(value) for value in values if value is not None)
                raise UsageError(f"{name}={printable(getattr(self, name))!r} is not known; choose one of {words}.")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Where and in which type of numbers, why, and what it takes."""

    device: str
    dtype: str
    why: str
    memory: Memory


def choose(
    options: LoadOptions, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], where: str
) -> Chosen:
    """Everything that is decided before weights are read. Raises BackendError, UsageError."""
    device, why_device = _device(options)
    if options.quantize != "none":
        _check_quantization(options.quantize, device)
    free = _free(device, options.device_map)

    def plan(dtype: str, quantize: str) -> Memory:
        return memory_plan(config, shapes, dtype, quantize)

    dtype, why_dtype = _dtype(options, device)
    memory = plan(dtype, options.quantize)
    if free is not None and options.dtype == "auto" and device == "cpu" and _least(memory) > free:
        why_dtype = f"bfloat16 because float32 would take {_least(memory) / GB:.1f} GB and {free / GB:.1f} GB are free"
        dtype, memory = "bfloat16", plan("bfloat16", options.quantize)
    if free is not None and _least(memory) > free:
        raise _too_large(where, options, device, dtype, memory, free, plan)
    if free is not None and memory.needed > free:
        logging.getLogger("inquisight").warning(
            "%s: %.1f GB are free after the weights, and a conversation of %d tokens would take %.1f: keep it short.",
            where,
            (free - memory.total_weights) / GB,
            memory.context,
            memory.conversation / GB,
        )
    return Chosen(device, dtype, f"{why_device}; {why_dtype}", memory)


def _least(memory: Memory) -> int:
    """Without this nothing can be answered; keys and values come on top, token by token."""
    return memory.total_weights + memory.working


def _free(device: str, device_map: str | None) -> int | None:
    if device_map is None:
        return free_memory(device)
    import torch

    places = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    found = [free_memory(place) for place in places]
    return None if None in found else sum(value for value in found if value is not None)


def _too_large(
    where: str, options: LoadOptions, device: str, dtype: str, memory: Memory, free: int, plan: Any
) -> BackendError:
    ways: list[tuple[str, Memory]] = []
    if dtype == "float32":
        ways.append(("?dtype=bfloat16", plan("bfloat16", "none")))
    if device.startswith("cuda") and options.quantize != "4bit":
        kinds = ("4bit",) if options.quantize == "8bit" else ("8bit", "4bit")
        ways += [(f"?quantize={kind}", plan("bfloat16", kind)) for kind in kinds]
    fit = fitting(ways, free)
    if options.device_map is None and device.startswith("cuda") and (_free(device, "auto") or 0) >= memory.needed:
        fit.append("?device_map=auto (part of it in main memory: slow)")
    way = f"say {' or '.join(fit)} behind the directory" if fit else "take a smaller model or a larger machine"
    size = dtype if options.quantize == "none" else f"{dtype} and {options.quantize}"
    place = "all devices together" if options.device_map else device
    return BackendError(
        f"{where} takes {_least(memory) / GB:.1f} GB as {size}, and {free / GB:.1f} GB are free on {place}: "
        f"close other programs, or {way}."
    )


def _device(options: LoadOptions) -> tuple[str, str]:
    import torch

    if options.device != "auto":
        try:
            device = torch.device(options.device)
        except RuntimeError:
            raise UsageError(
                f"device={printable(options.device)!r} is not known; say cpu, cuda, cuda:1 or mps."
            ) from None
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise BackendError(
                f"there is no {device}: {torch.cuda.device_count()} CUDA GPUs were found; say device=cpu."
            )
        return str(device), f"{device} was asked for"
    if torch.cuda.is_available():
        return "cuda:0", "a CUDA GPU is there"
    return "cpu", "no CUDA GPU is there"


def _dtype(options: LoadOptions, device: str) -> tuple[str, str]:
    import torch

    if options.dtype != "auto":
        return options.dtype, f"{options.dtype} was asked for"
    if device.startswith("cuda"):
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", "bfloat16 because this GPU computes it and it has the range of float32"
        return "float16", "float16 because this GPU does not compute bfloat16"
    if device == "cpu":
        return "float32", "float32 because CPUs are slow and less exact in 16 bit"
    return "float16", f"float16 because {device} is neither a CUDA GPU nor the CPU"


def _check_quantization(kind: Quantize, device: str) -> None:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BackendError(
            f"quantize={kind} needs the package bitsandbytes: `pip install bitsandbytes`, or leave it out."
        )
    if not device.startswith("cuda"):
        raise BackendError(f"quantize={kind} needs a CUDA GPU, and the device is {device}; leave it out.")


def quantization(kind: Quantize, dtype: Any) -> Any:
    """The configuration that transformers wants for `kind`."""
    from transformers import BitsAndBytesConfig

    # Only the language model is large; what feeds it stays exact.
    skip = ["vision_model", "qformer", "language_projection", "query_tokens", "lm_head"]
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skip)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype, llm_int8_skip_modules=skip
    )
