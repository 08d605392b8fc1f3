"""What the network sees of a picture: the whole of it, and overlapping tiles of a large one."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from PIL import Image

from plugins.detector.network import MEAN, SIZE, STD, STRIDES

Edges = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the picture
LARGE: Final = 1000  # pixels of the longer side from which a picture has tiles
TILE: Final = 0.6  # of the picture's width and height, so that two neighbours share a third of a tile
CUT: Final = 0.02  # of a tile's longer side: boxes this close to its border are cut by it


def letterboxed(image: Image.Image) -> tuple[Any, float, int, int]:
    """Pixels (3, H, W) as the network takes them; scale, left and top of the picture in them.

    The longer side is 416 px, the other one the next multiple of 32.
    """
    scale = min(SIZE / image.width, SIZE / image.height)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    across, down = (-(-side // STRIDES[-1]) * STRIDES[-1] for side in (width, height))
    left, top = (across - width) // 2, (down - height) // 2
    filter = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    resized = np.asarray(image.resize((width, height), filter, reducing_gap=3.0), dtype=np.float32)
    pixels = np.zeros((down, across, 3), np.float32)  # zero after normalisation: the border has the mean colour
    pixels[top : top + height, left : left + width] = (resized[..., ::-1] - np.array(MEAN, np.float32)) / np.array(
        STD, np.float32
    )
    return pixels.transpose(2, 0, 1), scale, left, top


def tiles(width: int, height: int) -> list[Edges]:
    """Four overlapping tiles of a large picture, all of one size; none of a smaller one."""
    if max(width, height) < LARGE:
        return []
    across, down = max(1, round(width * TILE)), max(1, round(height * TILE))
    corners = [(left, top) for top in (0, height - down) for left in (0, width - across)]
    return [(left, top, left + across, top + down) for left, top in corners]


def whole(boxes: Any, tile: Edges, width: int, height: int) -> Any:
    """Which boxes (N, 4) in pixels of the picture no border of a tile cuts, unless it is the picture's: (N,) bool."""
    left, top, right, bottom = tile
    near = CUT * max(right - left, bottom - top)
    return (
        ((boxes[:, 0] >= left + near) | (left == 0))
        & ((boxes[:, 1] >= top + near) | (top == 0))
        & ((boxes[:, 2] <= right - near) | (right == width))
        & ((boxes[:, 3] <= bottom - near) | (bottom == height))
    )
