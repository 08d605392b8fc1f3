"""The frozen part of a BLIP-2, for a feature store: the vision tower, with the Q-Former if that is not trained.

257 x 1408 numbers per picture of the vision tower, 724 KB in 16 bit; 32 x 768 of the Q-Former, 49 KB.
"""

from __future__ import annotations

from typing import Any, Self

import torch

from plugins.blip2.loading import CheckedBlip2
from training.blip2.opening import check_model, picture_settings
from training.features.vision import EDITION, VisionEncoder, fingerprint, load_half
from training.recipes.blip2 import Blip2Recipe


class Blip2Vision(VisionEncoder):
    """The part of a BLIP-2 that `recipe` does not train, up to the first one that it does."""

    def __init__(self, recipe: Blip2Recipe, model: Any, *others: Any) -> None:
        self.whole_tower = recipe.trains_qformer
        super().__init__(model, *others)

    @classmethod
    def open(cls, recipe: Blip2Recipe, *, device: str = "auto") -> Self:
        """Load the part, and nothing of the language model. Raises BackendError, UsageError."""
        from transformers import Blip2ForConditionalGeneration

        checked = check_model(recipe)
        model, device, choice = load_half(
            checked.directory.path, Blip2ForConditionalGeneration, device, again="fetch it again"
        )
        settings, found = picture_settings(checked), blip2_fingerprint(checked, recipe)
        return cls(recipe, model.to(device), settings, found, device, choice)

    @torch.inference_mode()
    def __call__(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, size, size) to (B, tokens, width): the patches, or what the Q-Former makes of them."""
        weight = next(self.model.vision_model.parameters())
        pixel_values = pixel_values.to(weight.device, weight.dtype).contiguous()
        if self.whole_tower:
            hidden: torch.Tensor = self.model.vision_model(pixel_values=pixel_values).last_hidden_state
            return hidden
        features: torch.Tensor = self.model.get_image_features(pixel_values).pooler_output
        return features


def blip2_fingerprint(checked: CheckedBlip2, recipe: Blip2Recipe) -> str:
    """Return 16 hex digits of all that decides the features: weights, their shapes, the picture settings."""
    parts = ["vision_model."] if recipe.trains_qformer else ["vision_model.", "qformer.", "query_tokens"]
    names = ["vision_config"] if recipe.trains_qformer else ["vision_config", "qformer_config", "num_query_tokens"]
    pictures = picture_settings(checked)
    settings = {name: checked.directory.config.get(name) for name in names}
    settings |= {"edition": EDITION, "size": pictures.image_size, "mean": pictures.mean, "std": pictures.std}
    chosen = tuple(parts)
    return fingerprint(settings, checked.directory.files, lambda name: name.removeprefix("model.").startswith(chosen))
