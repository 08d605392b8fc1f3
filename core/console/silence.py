"""Suppress warnings and progress bars of model libraries on standard error."""

from __future__ import annotations

import os
import warnings


def debugging() -> bool:
    """Whether tracebacks and library output are enabled: INQUISIGHT_DEBUG=1."""
    return os.environ.get("INQUISIGHT_DEBUG", "").strip().lower() in {"1", "true", "yes", "on"}


def hush_libraries() -> None:
    """Silence model libraries before their import, unless `debugging()`. Variables that the user has set are kept."""
    if debugging():
        return
    warnings.simplefilter("ignore")
    for name, value in {
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }.items():
        os.environ.setdefault(name, value)
