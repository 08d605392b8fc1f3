"""The recipe of a BLIP-2's fine-tuning on captions, or on questions with answers.

The forms of the prompts are BLIP-2's own (`plugins.blip2.prompts`); figures of LAVIS are from
`lavis/projects/blip2/train/caption_coco_ft.yaml`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.recipes.base import Recipe


class Blip2Recipe(Recipe):
    """A fine-tuning of a BLIP-2 with OPT or Flan-T5. The vision tower always stays as it is."""

    stage: Literal["blip2"] = "blip2"
    """blip2: fine-tuning of a BLIP-2."""

    model: Path | None = None
    """The BLIP-2: a name on the hub (Salesforce/blip2-opt-2.7b), a directory, or a finished run of the same kind, to
    continue from what it learned."""
    begin: Path | None = None
    """Trained tensors to begin with: a finished run, or a checkpoint's projection.safetensors; unset: the model's."""
    task: Literal["caption", "vqa"] = "caption"
    """caption: learn the texts of the images; vqa: learn answers to questions (columns question and answers)."""
    train: Literal["qformer", "projection", "lora"] = "qformer"
    """What is trained: qformer (the Q-Former, its queries and the projection), projection (it alone), or lora (small
    matrices beside weights that stay as they are)."""
    lora_parts: tuple[Literal["language_model", "qformer"], ...] = Field(default=("language_model",), min_length=1)
    """With train=lora: which parts get LoRA matrices. Needs the package peft."""
    lora_targets: tuple[str, ...] = ()
    """With train=lora: names of the layers that get them; unset: queries and values of every attention."""
    lora_rank: int = Field(default=16, ge=1, le=1024)
    """With train=lora: the rank of the matrices."""
    lora_alpha: float = Field(default=32.0, gt=0)
    """With train=lora: its scale is this divided by the rank."""
    lora_dropout: float = Field(default=0.05, ge=0, lt=1)
    """With train=lora: dropout of its inputs in training."""

    prompt: str | None = None
    """What comes before a caption; unset: as the model learned it, nothing or "a photo of"."""
    question_prompt: Annotated[str, Field(pattern=r"\{\}")] | None = None
    """Form of a question, with {} for it; unset: `Question: {} Answer:`, for Flan-T5 `Question: {} Short answer:`."""

    max_target_tokens: int = Field(default=60, ge=1)
    """Longer texts are cut; what is cut has no end mark, so the model does not learn to stop there."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if len(set(self.lora_parts)) < len(self.lora_parts):
            raise ValueError("lora_parts names a part twice; name each once")
        return self

    @property
    def name(self) -> str:
        """Name of the registered trainer."""
        return "blip2"

    @property
    def label(self) -> str:
        """What is trained, for people."""
        return "BLIP-2"

    @property
    def trains_qformer(self) -> bool:
        """Whether anything in the Q-Former changes, so that only the vision tower's features can be kept."""
        return self.train == "qformer" or (self.train == "lora" and "qformer" in self.lora_parts)
