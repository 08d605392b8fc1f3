"""Names of models as clients see them."""

from __future__ import annotations

from pathlib import Path


def public_name(spec: str) -> str:
    """A model's name without its options and without folders of this machine: "minigpt4:7b" for minigpt4:/data/7b."""
    name, colon, argument = spec.partition("?")[0].partition(":")
    if _is_path(argument):
        argument = Path(argument).name
    return f"{name}{colon}{argument}"


def _is_path(text: str) -> bool:
    """Whether a model's argument is a path rather than a name such as Salesforce/blip2-opt-2.7b."""
    return text.startswith(("/", "~", ".")) or "\\" in text or Path(text).exists()
