"""Estimate a model's memory from names and shapes of its tensors, and read the free memory of a device.

The system kills a process that runs out of memory without a message, so this is checked before loading.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

GB: Final = 1e9
BYTES: Final = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
# bitsandbytes: a byte per weight and a float32 per row; half a byte per weight and a float32 per block of 64
_QUANTIZED: Final = {"8bit": 1.0, "4bit": 0.5 + 4 / 64}
_PARTS: Final = (
    ("vision_model.", "vision tower"),
    ("qformer.", "Q-Former"),
    ("query_tokens", "Q-Former"),
    ("language_projection.", "projection"),
    ("language_model.", "language model"),
)
_EXACT: Final = ("qformer.", "query_tokens")  # transformers keeps them in float32 beside float16, not beside bfloat16


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: `weights` by part, `per_token` for keys and values of one token, `working` for a batch."""

    weights: Mapping[str, int]
    per_token: int
    context: int  # tokens of the longest conversation
    working: int
    parameters: Mapping[str, int] = field(default_factory=dict)

    @property
    def total_weights(self) -> int:
        return sum(self.weights.values())

    @property
    def conversation(self) -> int:
        """Keys and values of one conversation of full length."""
        return self.per_token * self.context

    @property
    def needed(self) -> int:
        """For one conversation of full length."""
        return self.total_weights + self.conversation + self.working

    def in_words(self) -> str:
        """One line."""
        return (
            f"{self.total_weights / GB:.1f} GB of weights, {self.per_token / 1e6:.2f} MB per token read, "
            f"{self.needed / GB:.1f} GB with one conversation of {self.context} tokens"
        )


def memory_plan(
    config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], dtype: str, quantize: str = "none"
) -> Memory:
    """`config` as in config.json (defaults filled in or not), `shapes` of all tensors by transformers' names."""
    weights: dict[str, int] = {}
    parameters: dict[str, int] = {}
    for name, shape in shapes.items():
        part = next((title for start, title in _PARTS if name.startswith(start)), "other")
        count = math.prod(shape)
        each = BYTES["float32"] if dtype == "float16" and name.startswith(_EXACT) else BYTES[dtype]
        extra = 0
        if quantize in _QUANTIZED and _is_quantized(name, shape):
            each = _QUANTIZED[quantize]
            extra = 4 * shape[0] if quantize == "8bit" else 0
        weights[part] = weights.get(part, 0) + int(count * each) + extra
        parameters[part] = parameters.get(part, 0) + count
    text, vision = config.get("text_config", {}), config.get("vision_config", {})
    hidden = int(text.get("hidden_size", 4096))
    heads = int(text.get("num_attention_heads", 32))
    key_heads = int(text.get("num_key_value_heads") or heads)
    head = int(text.get("head_dim") or hidden // heads)
    context = int(text.get("max_position_embeddings", 2048))
    size = BYTES[dtype]
    per_token = int(2 * int(text.get("num_hidden_layers", 32)) * key_heads * head * size)
    # Peak usage: a prompt of full length in one layer of the language model, or one picture in the vision tower.
    reading = context * (4 * hidden + 3 * int(text.get("intermediate_size", 11008))) * size
    reading += 4 * int(text.get("vocab_size", 32001)) * 3  # logits in float32, sorted for sampling
    side = int(vision.get("image_size", 224)) // int(vision.get("patch_size", 14))
    width = int(vision.get("hidden_size", 1408))
    encoding = (side * side + 1) * (8 * width + 2 * int(vision.get("intermediate_size", 6144))) * size
    return Memory(weights, per_token, context, int(max(reading, encoding)), parameters)


def _is_quantized(name: str, shape: tuple[int, ...]) -> bool:
    """Whether bitsandbytes quantises this tensor: linear layers of the language model, not the output layer."""
    return name.startswith("language_model.model.layers.") and len(shape) == 2


def free_memory(device: str) -> int | None:
    """Free bytes on `device` ("cpu", "cuda:0"); None if unknown."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    if device != "cpu":
        return None
    import psutil

    return int(psutil.virtual_memory().available)


def fitting(plans: Iterable[tuple[str, Memory]], free: int) -> list[str]:
    """The ways to load a model whose plan fits into `free` bytes."""
    return [f"{how} ({plan.needed / GB:.1f} GB)" for how, plan in plans if plan.needed <= free]
