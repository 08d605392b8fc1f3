"""What the recipes of all trainers have in common: data, features, schedule, optimiser, layout, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.datasets.samples.spec import DataSpec

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Recipe(BaseModel):
    """A training run. Unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), use_attribute_docstrings=True)

    title: str = ""
    """One line that describes the run; changes nothing."""
    stage: Literal[1, 2, "blip2"]
    """1, 2: the stages of MiniGPT-4; blip2: fine-tuning of a BLIP-2."""

    model: Path | None = None
    """The model to train."""
    data: tuple[DataSpec, ...] = ()
    """The data sets; several are mixed by their weights. On the command line also `--set data=PATH`."""
    features: Path | None = None
    """Directory written by `inquisight train features`: the vision model is then neither loaded nor run."""
    keep_features: bool = False
    """Encode every picture once, before the first step, into the run's folder; for several passes over the data."""

    max_target_tokens: Count = 160
    """Longer targets are cut with their end mark, as in the original."""

    steps: Count | None = None
    """Optimiser steps."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the data instead of `steps`, if the number of samples is known."""
    batch: Count = 12
    """Samples per step, over all processes."""
    fit: tuple[Literal["batch", "steps", "lr", "warmup"], ...] = ()
    """Fields chosen at the start from the number of samples and the model's width."""
    lr: float = Field(default=3e-5, ge=0, le=10)
    """Learning rate after the warm-up."""
    lr_min: Rate = 1e-5
    """Learning rate at the last step; the cosine between spans the whole run, as in the original."""
    lr_warmup_start: Rate = 1e-6
    """Learning rate at the first step."""
    warmup: int = Field(default=200, ge=0)
    """Steps in which the learning rate rises."""
    weight_decay: Rate = 0.05
    """AdamW's; never on biases and norms."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """AdamW's first momentum."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """AdamW's second momentum."""
    clip: Rate = 1.0
    """Largest norm of the gradient; 0: unlimited, as in the original."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Order of the data, instructions, fresh weights: same seed, same run."""

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Of the frozen part. auto: bfloat16 if the GPU computes it, else float16 with a scaler; on a CPU float32."""
    packing: bool | Literal["auto"] = "auto"
    """Whether short samples share a row. auto: if that is less work with the lengths of the data."""
    pack_tokens: int = Field(default=512, ge=0, le=65536)
    """Length of the rows into which short samples are packed side by side; 0: one sample per row, padded."""
    forward_tokens: Count = 8192
    """Tokens (rows x length) of one forward pass per process: fewer take less memory; the result is the same."""
    recompute: bool = False
    """Recompute activations instead of storing them: a third more work, a fraction of the memory."""
    workers: int = Field(default=4, ge=1, le=64)
    """Threads that read and decode pictures."""
    streams: int = Field(default=4, ge=1, le=4096)
    """Readers of the data, shared by the processes: any number of processes that divides it computes the same run."""
    shuffle_buffer: int = Field(default=1000, ge=0)
    """Samples among which the next one is drawn, over all readers; 0 keeps the order of the data."""
    max_broken: float = Field(default=0.05, ge=0, le=1)
    """Share of broken samples above which the run stops; below it they are skipped and named in broken.jsonl."""

    checkpoint_every: Count = 500
    """Steps between checkpoints."""
    keep: Count = 2
    """Checkpoints that are kept; older ones are removed."""
    log_every: Count = 10
    """Steps between printed lines if there is no terminal; the log has all steps."""
    samples: int = Field(default=3, ge=0, le=16)
    """Pictures of the data that the model describes at each checkpoint, in samples.jsonl; 0: none."""
    explosion: float = Field(default=4.0, ge=0)
    """Stop if the loss is this many times the median of the last 100 steps; 0: only if it is not a number."""

    @model_validator(mode="before")
    @classmethod
    def _short_data(cls, values: Any) -> Any:
        """Accept `data = "PATH"` and `data = ["PATH", {...}]`."""
        if isinstance(values, dict) and "data" in values:
            given = values["data"]
            if isinstance(given, str | Mapping):
                given = [given]
            if isinstance(given, list | tuple):
                given = [{"path": one} if isinstance(one, str) else one for one in given]
            return {**values, "data": given}
        return values

    @model_validator(mode="after")
    def _counts(self) -> Self:
        both, neither = self.steps and self.epochs, self.steps is None and self.epochs is None
        if both or (neither and "steps" not in self.fit):
            raise ValueError("needs either steps or epochs")
        if self.steps is not None and "warmup" not in self.fit and self.warmup > self.steps:
            raise ValueError(f"warmup={self.warmup} is longer than steps={self.steps}; shorten it")
        if self.lr_min > self.lr:
            raise ValueError(f"lr_min={self.lr_min:g} is above lr={self.lr:g}; lower it")
        if self.packing is True and not self.pack_tokens:
            raise ValueError("packing=true needs rows to pack into: --set pack_tokens=512")
        return self

    @property
    def name(self) -> str:
        """Name of the registered trainer."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """What is trained, for people."""
        raise NotImplementedError

    def to_toml(self) -> str:
        """Return the recipe as a file that `load_recipe` reads."""
        values = self.model_dump(mode="json", exclude_none=True)
        tables = values.pop("data", [])
        lines = [f"{key} = {toml_value(value)}" for key, value in values.items()]
        for table in tables:
            lines += ["", "[[data]]", *(f"{key} = {toml_value(value)}" for key, value in table.items())]
        return "\n".join(lines) + "\n"


def toml_value(value: Any) -> str:
    """Write a value: TOML's strings, numbers, booleans and lists are JSON's, except None, which TOML omits."""
    return "none" if value is None else json.dumps(value, ensure_ascii=False, default=str).replace("\x7f", "\\u007f")
