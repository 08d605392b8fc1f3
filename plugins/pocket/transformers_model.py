"""pocket as a class of transformers: for training, and for those who want `from_pretrained` and `generate`.

Answers come from `runtime.py`, which reads the same files several seconds sooner: importing transformers' modelling
code takes longer than everything else that a caption needs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Blip2Config, Blip2ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

from plugins.pocket.modeling import CertaintyLimits, ImageTokens, PocketVision


class PocketForConditionalGeneration(ImageTokens, Blip2ForConditionalGeneration):
    """BLIP-2 with pocket's vision model: one directory of `save_pretrained`, opened by `from_pretrained`."""

    def __init__(self, config: Blip2Config) -> None:
        super().__init__(config)
        limits = CertaintyLimits(**getattr(config, "pocket_limits", {}))
        self.vision_model = PocketVision(config.pocket_known, limits, len(getattr(config, "pocket_scene", {})))
        self.register_buffer("hint_words", torch.zeros(33, dtype=torch.long))
        self.post_init()

    def query(self, queries: Tensor, cells: Tensor) -> Tensor:
        read: Tensor = self.qformer(query_embeds=queries, encoder_hidden_states=cells).last_hidden_state
        return read

    def get_image_features(self, pixel_values: Tensor, *_: Any, **__: Any) -> BaseModelOutputWithPooling:
        """`pooler_output` (B, 56, hidden), as the class around expects it."""
        seen = self.vision_model(pixel_values)
        tokens = self.image_tokens(seen.cells, seen.facts)
        return BaseModelOutputWithPooling(last_hidden_state=seen.cells, pooler_output=tokens)
