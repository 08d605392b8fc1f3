"""MiniGPT-4 for Llama-2 has no Q-Former: four neighbouring patches become one token. With one it is a plain BLIP-2.

    model = open_model("minigpt4-7b", dtype=torch.bfloat16)
    model.get_image_features(pixel_values).pooler_output   # (pictures, num_query_tokens, width of the language model)

Source: `encode_img` in `minigpt4/models/minigpt4.py` of Vision-CAIR/MiniGPT-4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, Blip2ForConditionalGeneration
from transformers.models.blip_2.modeling_blip_2 import (
    BaseModelOutputWithVisionQformerOutputs,
    Blip2PreTrainedModel,
    Blip2VisionModel,
)

from core.files.model_folder import read_json

PATCHES = 4  # neighbouring patches that are joined into one token
# `ln_vision` has PyTorch's default in the original (`LayerNorm` in `base_model.py`), the ViT's own norms have 1e-6.
# A configuration of transformers knows one number for both, and its BLIP-2 takes the ViT's.
LAYERNORM_EPS = 1e-5


class MiniGPT4WithoutQFormer(Blip2ForConditionalGeneration):  # type: ignore[misc]
    """A `Blip2ForConditionalGeneration` in which patches go to the projection as they are, four by four."""

    _keep_in_fp32_modules = None

    def __init__(self, config: Any) -> None:
        Blip2PreTrainedModel.__init__(self, config)
        self.vision_model = Blip2VisionModel._from_config(config.vision_config)
        as_the_original(self)
        self.language_projection = nn.Linear(config.vision_config.hidden_size * PATCHES, config.text_config.hidden_size)
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if module is not self:  # the parent's would fill query tokens, which are not here
            super()._init_weights(module)

    def get_image_features(
        self, pixel_values: torch.Tensor, interpolate_pos_encoding: bool = False, **_: Any
    ) -> BaseModelOutputWithVisionQformerOutputs:
        """`pooler_output` is (pictures, tokens, width of the language model); pixel_values (pictures, 3, 224, 224)."""
        outputs = self.vision_model(
            pixel_values=pixel_values, interpolate_pos_encoding=interpolate_pos_encoding, return_dict=True
        )
        patches = outputs.last_hidden_state[:, 1:]  # (B, patches, D) without the class token
        pictures, count, width = patches.shape
        joined = patches.reshape(pictures, count // PATCHES, width * PATCHES)
        return BaseModelOutputWithVisionQformerOutputs(
            last_hidden_state=outputs.last_hidden_state,
            pooler_output=self.language_projection(joined),
            vision_outputs=outputs,
            qformer_outputs=None,
        )

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def generate(
        self,
        pixel_values: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **options: Any,
    ) -> torch.Tensor:
        """As the parent's, without the Q-Former."""
        features = self.get_image_features(pixel_values).pooler_output
        embeddings = self.get_input_embeddings()(input_ids)
        places = self.get_placeholder_mask(input_ids, inputs_embeds=embeddings)
        embeddings = embeddings.masked_scatter(places, features.to(embeddings))
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        generated: torch.Tensor = self.language_model.generate(
            inputs_embeds=embeddings, attention_mask=attention_mask, input_ids=input_ids, **options
        )
        return generated


def as_the_original(model: Any) -> Any:
    """Set what no configuration of transformers expresses; without it, numbers differ in their fourth place."""
    if hasattr(model.vision_model, "post_layernorm"):
        model.vision_model.post_layernorm.eps = LAYERNORM_EPS
    return model


MODEL_CLASSES: dict[str, type[Any]] = {MiniGPT4WithoutQFormer.__name__: MiniGPT4WithoutQFormer}
"""Classes by their name in `architectures` of config.json; others are `Blip2ForConditionalGeneration`."""


def model_class(directory: Path) -> type[Any]:
    """The class that opens a converted directory. Raises BackendError if there is no config.json."""
    named = read_json(directory / "config.json").get("architectures") or []
    chosen: type[Any] = Blip2ForConditionalGeneration
    return next((MODEL_CLASSES[name] for name in named if name in MODEL_CLASSES), chosen)


def open_model(directory: str | Path, **options: Any) -> Any:
    """The model in a converted directory; `options` go to `from_pretrained`."""
    return as_the_original(model_class(Path(directory)).from_pretrained(directory, local_files_only=True, **options))
