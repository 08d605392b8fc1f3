"""Fit the linear heads for scene words on the frozen tower, and find the limits from which each word may be said.

    python -m training.pocket.scene_words PHOTOGRAPHS RUN      (a folder filled by training.photographs.fetch)

Labels: scenes.tsv of training/photographs; the 150 photographs of split.tsv are never trained on. A word is said from
the limit at which its precision in cross-validation is at least `PRECISION`; without such a limit it is never said,
and counts only where a question names it.
"""

from __future__ import annotations

WORDS = (
    "indoors", "outdoors", "sky", "sea", "beach", "snow", "forest", "mountain", "street", "building", "night", "sunset",
    "grass", "tree", "water", "flower", "plant", "rock",
)  # fmt: skip
PRECISION = 0.92
