"""Keeps standard error for our own lines, where model libraries write warnings and progress bars."""

from __future__ import annotations

import os
import warnings


def debugging() -> bool:
    """Whether tracebacks and everything that libraries say are wanted: INQUISIGHT_DEBUG=1."""
    return os.environ.get("INQUISIGHT_DEBUG", "").strip().lower() in {"1", "true", "yes", "on"}


def hush_libraries() -> None:
    """To be called by a command before it imports a model library; does nothing while `debugging()`.

    A variable that the user has set stays as it is.
    """
    if debugging():
        return
    warnings.simplefilter("ignore")
    for name, value in {
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }.items():
        os.environ.setdefault(name, value)
