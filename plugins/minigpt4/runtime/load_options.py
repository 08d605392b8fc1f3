"""Options of a converted directory, and the choice of device and number type by what fits into memory.

A choice that cannot fit is refused with those that would: later the system would end the process.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from core.errors import BackendError
from plugins.hf.load_options import BaseLoadOptions, check_quantization, choose_device, choose_dtype
from plugins.hf.memory import GB, Memory, fitting, free_memory, memory_plan

HOW: Final = (
    "inquisight convert minigpt4 --projection pretrained_minigpt4_7b.pth --llm VICUNA --vision BLIP2 --to DIRECTORY"
)
# Only the language model is large; what feeds it, and its output layer, stays exact.
EXACT: Final = ("vision_model", "qformer", "language_projection", "query_tokens", "lm_head")


@dataclass(frozen=True, slots=True)
class LoadOptions(BaseLoadOptions):
    """Options of a directory: `minigpt4:DIRECTORY?dtype=float16&quantize=8bit`."""

    plugin: ClassVar[str] = "minigpt4"
    needs: ClassVar[str] = f"minigpt4 needs a directory: minigpt4:DIRECTORY; make one with `{HOW}`."

    compile: bool = False  # torch.compile of the language model: slow start, faster tokens
    format: Literal["vicuna", "vicuna-2023-04", "llama2", "chatml"] | None = None  # None: as the directory says
    # Of `DecodingOptions`, which no question carries; None: the original's, or none for greedy decoding.
    top_k: int | None = None
    num_beams: int | None = None
    min_length: int | None = None
    repetition_penalty: float | None = None
    length_penalty: float | None = None

    @property
    def decoding(self) -> dict[str, int | float]:
        """The decoding options that were given."""
        names = ("top_k", "num_beams", "min_length", "repetition_penalty", "length_penalty")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Device and number type, the reason, and the memory they need."""

    device: str
    dtype: str
    why: str
    memory: Memory


def choose(
    options: LoadOptions, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], where: str
) -> Chosen:
    """Decide device and number type before weights are read. Raises BackendError, UsageError."""
    device, why_device = choose_device(options)
    check_quantization(options, device)
    free = _free(device, options.device_map)

    def plan(dtype: str, quantize: str) -> Memory:
        return memory_plan(config, shapes, dtype, quantize)

    dtype, why_dtype = choose_dtype(options, device)
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
    """The minimum for an answer; keys and values come on top, token by token."""
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
