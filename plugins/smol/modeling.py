"""smol as a class of transformers: BLIP-2 with `CellVision` and without a Q-Former.

Importing this module makes `plugins.minigpt4` open such directories.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.blip_2.modeling_blip_2 import Blip2PreTrainedModel

from plugins.minigpt4.runtime.modeling import MODEL_CLASSES, MiniGPT4WithoutQFormer
from plugins.smol.vision import CellVision


class SmolForConditionalGeneration(MiniGPT4WithoutQFormer):
    """`CellVision`, one linear layer, and a Llama."""

    _keep_in_fp32_modules_strict = frozenset({"vision_model"})

    def __init__(self, config: Any) -> None:
        Blip2PreTrainedModel.__init__(self, config)
        self.vision_model = CellVision(config.vision_config.cells)
        self.language_projection = nn.Linear(self.vision_model.width, config.text_config.hidden_size)
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)
        self.post_init()

    def get_image_features(self, pixel_values: torch.Tensor, *_: Any, **__: Any) -> BaseModelOutputWithPooling:
        """`pooler_output` (pictures, 5, width of the language model); pixel_values (pictures, 3, 260, 260)."""
        encoded = self.vision_model(pixel_values.float())
        weight = next(self.language_projection.parameters(), encoded)
        return BaseModelOutputWithPooling(
            last_hidden_state=encoded, pooler_output=self.language_projection(encoded.to(weight.dtype))
        )


MODEL_CLASSES[SmolForConditionalGeneration.__name__] = SmolForConditionalGeneration
