"""Pictures as the vision tower reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from core.images.picture import Picture


def pixels(pictures: Sequence[Picture], size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """Return (B, 3, size, size): resized by Pillow to a square and normalised, as the original's `blip2_image_eval`."""
    arrays = [
        np.asarray(picture.image.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32) / 255
        for picture in pictures
    ]
    stacked = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
    return (stacked - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
