"""Eleven basic colour words for pixels, as one look-up table, for composed scenes and for the vision model.

The words are English's basic colour terms (Berlin & Kay 1969). The borders between them are our choice, in HSV.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

COLOURS = ("black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
BITS = 5  # the table has 32 steps per channel


def name_indices(rgb: np.ndarray) -> np.ndarray:
    """Indices into COLOURS for `rgb` (..., 3), floats in 0..1."""
    rgb = np.asarray(rgb, dtype=np.float32)
    high, low = rgb.max(-1), rgb.min(-1)
    chroma = high - low
    saturation = np.where(high > 0, chroma / np.maximum(high, 1e-6), 0)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    safe = np.maximum(chroma, 1e-6)
    hue = np.select(
        [high == red, high == green],
        [((green - blue) / safe) % 6, (blue - red) / safe + 2],
        (red - green) / safe + 4,
    )
    hue = hue * 60  # degrees, 0..360
    index = {name: i for i, name in enumerate(COLOURS)}
    grey_limit = np.where(high > 0.75, 0.10, 0.16)
    conditions = [
        (high < 0.16) | ((high < 0.24) & (saturation < 0.45)),
        (saturation < grey_limit) & (high > 0.82),
        saturation < grey_limit,
        # orange hues, dark or dull, are brown; so are dull dark reds
        (hue >= 12) & (hue < 48) & ((high < 0.66) | ((saturation < 0.50) & (high < 0.84))),
        ((hue < 12) | (hue >= 345)) & (high < 0.45) & (saturation < 0.60),
        # light or dull reds are pink
        ((hue < 18) | (hue >= 345)) & (high > 0.66) & (saturation < 0.52),
        (hue >= 300) & (hue < 345) & ((high > 0.62) | (hue >= 335)),
        (hue < 14) | (hue >= 345),
        (hue >= 48) & (hue < 66) & (high < 0.42),
        (hue < 42) & (saturation < 0.28),
        hue < 42,
        hue < 66,
        hue < 168,
        hue < 255,
    ]
    words = (
        "black", "white", "grey", "brown", "brown", "pink", "pink", "red",
        "green", "white", "orange", "yellow", "green", "blue",
    )  # fmt: skip
    return np.select(conditions, [index[word] for word in words], index["purple"]).astype(np.int64)


@lru_cache(maxsize=1)
def table() -> np.ndarray:
    """(32, 32, 32) indices into COLOURS for quantised RGB."""
    steps = (np.arange(1 << BITS) + 0.5) / (1 << BITS)
    return name_indices(np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1))


def shares(pixels: np.ndarray) -> np.ndarray:
    """Share of each colour word, (11,), among `pixels` (N, 3) of uint8."""
    quantised = pixels.reshape(-1, 3) >> (8 - BITS)
    named = table()[quantised[:, 0], quantised[:, 1], quantised[:, 2]]
    return np.bincount(named, minlength=len(COLOURS)) / max(len(named), 1)
