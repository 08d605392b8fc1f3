"""The names of ImageNet's 1,000 classes, and the weights of the classifier that ship inside pocket's."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugins.imagenet.tower import EfficientNetLite2


@cache
def classes() -> tuple[tuple[str, str], ...]:
    """(name, group) of each class, without articles; the group may be empty: ("golden retriever", "dog")."""
    lines = files("plugins.imagenet").joinpath("classes.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return tuple((row[2].partition(" ")[2], row[3]) for row in rows)


@cache
def phrases() -> dict[int, str]:
    """The name of each class by its number."""
    return {number: name for number, (name, _) in enumerate(classes())}


def load_classifier() -> EfficientNetLite2:
    """The classifier, in float32, ready to answer."""
    import torch
    from safetensors import safe_open

    from plugins.imagenet.tower import EfficientNetLite2

    prefix = "vision_model.tower."
    with safe_open(str(files("plugins.pocket").joinpath("model", "model.safetensors")), "pt") as file:
        weights = {
            name.removeprefix(prefix): file.get_tensor(name).float()
            for name in file.keys()  # noqa: SIM118 - not a mapping
            if name.startswith(prefix)
        }
    with torch.device("meta"):
        tower = EfficientNetLite2()
    tower.load_state_dict(weights, assign=True)
    return tower.eval().requires_grad_(False)
