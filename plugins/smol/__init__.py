"""smol: MiniGPT-4's recipe with parts that anybody has: pocket's frozen vision model and SmolLM2-135M-Instruct.

Between both frozen halves stands one linear layer. `inquisight train stage1 --recipe smol` trains it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.settings import Settings


def is_smol(config: Mapping[str, Any]) -> bool:
    """Whether a config.json belongs to a directory of smol."""
    return "SmolForConditionalGeneration" in (config.get("architectures") or ())


def directory() -> Path:
    """The model directory that recipes call `smol`."""
    return Settings().home / "models" / "smol"
