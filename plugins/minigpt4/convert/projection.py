"""Read the trained part of MiniGPT-4: one linear layer between a vision model and a language model.

Source of the names and sizes: `minigpt4/models/minigpt4.py` and `minigpt4/runners/runner_base.py` of
Vision-CAIR/MiniGPT-4: a `torch.save` dictionary whose `model` holds `llama_proj.*` beside whatever was not frozen; its
optimizer, scaler and configuration are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from core.errors import BackendError, printable
from plugins.hf.tensors import Tensors, existing_file

_NAMES = ("llama_proj", "language_projection")  # the original's, and transformers' if it was trained here


@dataclass(frozen=True, slots=True)
class Release:
    """A published checkpoint and its partners."""

    title: str
    llm: str
    vocabulary: int
    positions: int | None  # max_position_embeddings, if that distinguishes the right model
    qformer: bool
    template: str


RELEASES = {
    (4096, 768): Release("MiniGPT-4 7B", "Vicuna-7B v0", 32001, None, True, "vicuna"),
    (5120, 768): Release("MiniGPT-4 13B", "Vicuna-13B v0", 32001, None, True, "vicuna"),
    (4096, 5632): Release("MiniGPT-4 Llama-2 7B", "Llama-2-7B-chat", 32000, 4096, False, "llama2"),
}


@dataclass(frozen=True, slots=True)
class Projection:
    """`weight` (outputs, inputs) and `bias` (outputs,) in the type they were stored in."""

    file: Path
    weight: torch.Tensor = field(repr=False)
    bias: torch.Tensor = field(repr=False)
    layernorm: tuple[torch.Tensor, torch.Tensor] | None = field(repr=False)  # `ln_vision`, if it was trained too

    @property
    def outputs(self) -> int:
        return int(self.weight.shape[0])

    @property
    def inputs(self) -> int:
        return int(self.weight.shape[1])

    @property
    def release(self) -> Release | None:
        """The published checkpoint of this shape; None for another training."""
        return RELEASES.get((self.outputs, self.inputs))


def read_projection(path: Path) -> Projection:
    """The projection in `path`. Raises UsageError, BackendError."""
    file = existing_file(path, "--projection")
    where = f"--projection {printable(path)}"
    weights = Tensors([file], inside=("model", "state_dict"))
    name = next((name for name in _NAMES if f"{name}.weight" in weights.stored), None)
    if name is None:
        found = ", ".join(printable(key, 60) for key in sorted(weights.stored)[:3]) or "nothing"
        raise BackendError(
            f"{where} is no MiniGPT-4 checkpoint: expected llama_proj.weight, found {found}; "
            "take pretrained_minigpt4_7b.pth, pretrained_minigpt4.pth (13B) or one you trained."
        )
    if any("lora_" in key for key in weights.stored):
        raise BackendError(
            f"{where} is a MiniGPT-v2 checkpoint (it holds LoRA weights for the language model): that model is another "
            "one; take a MiniGPT-4 checkpoint."
        )
    shape = weights.stored[f"{name}.weight"].shape
    bias_shape = weights.stored[f"{name}.bias"].shape if f"{name}.bias" in weights.stored else None
    if len(shape) != 2 or bias_shape != shape[:1]:
        raise BackendError(
            f"{where}: expected {name}.weight [outputs, inputs] and {name}.bias [outputs], found {list(shape)} and "
            f"{list(bias_shape) if bias_shape else 'none'}: the file is damaged or another model's."
        )
    weight, bias = (weights.read(f"{name}.{part}").clone() for part in ("weight", "bias"))
    if not weight.is_floating_point() or not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
        raise BackendError(f"{where} holds numbers that are infinite, undefined or no fractions: its training failed.")
    parts = [f"ln_vision.{part}" for part in ("weight", "bias")]
    layernorm = None
    if all(part in weights.stored for part in parts):
        layernorm = (weights.read(parts[0]).clone(), weights.read(parts[1]).clone())
    weights.close()
    return Projection(file, weight, bias, layernorm)
