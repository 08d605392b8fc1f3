"""Features of a run's pictures: encoded once, kept in a folder, opened when the run trains on them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import torch

from core.datasets.samples.sample import BrokenLog
from core.errors import UsageError
from plugins.minigpt4.runtime.training_run import open_run
from training import checkpoints
from training.blip2.opening import check_model
from training.features.blip2 import Blip2Vision, blip2_fingerprint
from training.recipes import Blip2Recipe, Recipe, StageRecipe, load_recipe

FEATURES: Final = "features"


def keep_features(recipe: Recipe | str, out: Path | str) -> Path:
    """Encode every picture of the recipe's data and store the features in `out`; the same call resumes.

    Raises InquisightError. Under `accelerate launch` every process encodes its share.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if recipe.model is None or not recipe.data:
        raise UsageError("the recipe needs a model and data: --set model=DIRECTORY --set data=PATH.")
    from accelerate import Accelerator

    from training.features.encode import write_features

    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    out = Path(out).expanduser().absolute()
    device = "cpu" if accelerator.device.type == "cpu" else str(accelerator.device)
    write_features(
        Blip2Vision.open(recipe, device=device) if isinstance(recipe, Blip2Recipe) else recipe.model,
        recipe.data,
        out,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        device=device,
        threads=recipe.workers,
        broken=BrokenLog(out / checkpoints.BROKEN, max_share=recipe.max_broken),
    )
    accelerator.wait_for_everyone()
    return out


def kept_features(recipe: Recipe, out: Path) -> Path:
    """Encode the missing features and return their folder: that of the run which this one continues, if it has one."""
    folder = out / FEATURES
    if isinstance(recipe, StageRecipe):
        before = Path(recipe.projection) / FEATURES
        of_this_model = (before / "features.json").is_file() and open_run(before.parent).base == recipe.model
        folder = before if of_this_model and os.access(before, os.W_OK) else folder
    return folder if checkpoints.steps_saved(out) else keep_features(recipe, folder)


def open_features(recipe: Recipe, main: bool) -> Any | None:
    """Open the cached features that the recipe names. Raises DataError if they are of another model."""
    if recipe.features is None:
        return None
    from training.features.store import FeatureStore

    if not main:  # one process compares the whole vision part
        return FeatureStore(recipe.features)
    if isinstance(recipe, Blip2Recipe):
        return FeatureStore(recipe.features, blip2_fingerprint(check_model(recipe), recipe))
    return FeatureStore(recipe.features, recipe.model)
