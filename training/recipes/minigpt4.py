"""The recipe of MiniGPT-4's two stages.

Figures of the originals: Vision-CAIR/MiniGPT-4, `train_configs/*.yaml`, `minigpt4/common/optims.py`, and the paper
(arXiv 2304.10592).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from training.recipes.base import Recipe

FRESH: Final = "fresh"
AS_THE_MODEL: Final = "model"


class StageRecipe(Recipe):
    """A training of MiniGPT-4's projection."""

    stage: Literal[1, 2]
    """1: short captions without a prompt; 2: descriptions in the chat format."""

    model: Path | None = None
    """Directory of the model, made by `inquisight convert minigpt4` or `inquisight train prepare`; a finished run, to
    continue with its model (and its projection if `projection` is `model`); `pocket`, the small one included; or
    `smol`, pocket's vision model with SmolLM2, which is written at the first use."""
    projection: str = FRESH
    """The initial projection: `fresh` (random), `model` (as in the directory), or a finished run or file."""

    qformer: bool = True
    """False: without a Q-Former, four neighbouring patches become one token; the directory must be of that kind."""
    projection_layers: int = Field(default=1, ge=1, le=8)
    """Linear layers of the projection, GELU between them; the released models have 1."""
    train_qformer: bool = False
    """Train the Q-Former and its queries too (the paper found this to be worse)."""
    lora_rank: int = Field(default=0, ge=0, le=1024)
    """Rank of LoRA matrices beside the language model's weights; 0: none. Needs the package peft."""
    lora_alpha: float = Field(default=16.0, gt=0)
    """LoRA's scale is this divided by the rank."""
    lora_dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout of LoRA's inputs in training."""
    lora_targets: tuple[str, ...] = Field(default=("q_proj", "v_proj"), min_length=1)
    """Layers of the language model that get LoRA matrices."""

    template: Literal["auto", "vicuna", "vicuna-2023-04", "llama2", "chatml"] = "auto"
    """Chat format of stage 2; auto: the directory's own."""
    instructions: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Stage 2: the instructions; one is drawn for each sample without an instruction."""
    end: str | None = None
    """The end of a target. Unset: a line break in stage 1, the chat format's end mark in stage 2."""
    plain_captions: bool = False
    """Lower case, no . ! " ( ) * # : ; ~ and 50 words at most, as the original does to stage-1 captions."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.train_qformer and (self.features or self.keep_features or not self.qformer):
            kept = "features" if self.features else "keep_features=true"
            other = kept if self.qformer else "qformer=false"
            raise ValueError(f"train_qformer=true and {other} exclude each other; drop one")
        if self.stage == 2 and not self.instructions:
            raise ValueError("stage 2 needs instructions, such as ['Describe this image in detail.']")
        return self

    @property
    def name(self) -> str:
        """Name of the registered trainer."""
        return f"stage{self.stage}"

    @property
    def label(self) -> str:
        """What is trained, for people."""
        return f"stage {self.stage}"

    def tokens_end(self, template_end: str) -> str:
        """Return the end of a target; `template_end` is the chat format's mark."""
        if self.end is not None:
            return self.end
        return "\n" if self.stage == 1 else template_end
