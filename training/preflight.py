"""Everything about a training that can be checked before a model is loaded; each mistake is one line.

    check_start(recipe)     # raises UsageError, BackendError or DataError

No model library is imported.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from core.errors import UsageError, printable
from plugins.minigpt4.loading import Checked, check
from training.recipes import AS_THE_MODEL, FRESH, Recipe


def check_start(recipe: Recipe) -> None:
    """Check model, what the projection begins as, kept features, optional packages and data."""
    from training.fitting import check_data

    check_model(recipe)
    check_data(recipe)


def check_model(recipe: Recipe) -> Checked:
    """What the model's directory says of itself, where the recipe fits it. Raises UsageError or BackendError."""
    if recipe.model is None:
        raise UsageError("the recipe names no model: --set model=DIRECTORY, made by `inquisight convert minigpt4`.")
    checked = check(recipe.model, prefix="model=")
    has_qformer = not without_qformer(checked)
    if has_qformer != recipe.qformer:
        what, way = ("a", "qformer=true") if has_qformer else ("no", "qformer=false")
        other = "--no-qformer" if has_qformer else "a Q-Former"
        raise UsageError(
            f"{printable(recipe.model)} has {what} Q-Former, but the recipe says "
            f"qformer={str(recipe.qformer).lower()}: --set {way}, or make another directory with "
            f"`inquisight train prepare` and {other}."
        )
    if recipe.lora_rank and importlib.util.find_spec("peft") is None:
        raise UsageError("lora_rank needs the package peft: `pip install peft`, or --set lora_rank=0.")
    if recipe.stage == 2 and recipe.projection == AS_THE_MODEL and checked.manifest.get("untrained"):
        raise UsageError(
            f"the projection in {printable(recipe.model)} is not trained yet: train stage 1 first, then "
            "--set model=RUN, the folder of that training."
        )
    if checked.manifest.get("projected_tokens") is not None and recipe.features is None and not recipe.keep_features:
        raise UsageError(
            f"{printable(recipe.model)} shows its language model tokens beside those of the projection, and only kept "
            "features hold them: --set keep_features=true, or features=DIRECTORY."
        )
    _check_projection(recipe)
    return checked


def without_qformer(checked: Checked) -> bool:
    """Whether the model is the variant without a Q-Former."""
    return "MiniGPT4WithoutQFormer" in (checked.config.get("architectures") or ())


def _check_projection(recipe: Recipe) -> None:
    if recipe.projection in (FRESH, AS_THE_MODEL):
        return
    path = Path(recipe.projection)
    if path.is_dir() or not path.suffix:
        from plugins.minigpt4.trained import open_run

        open_run(path)
    elif not path.is_file():
        raise UsageError(f"projection={printable(path)} does not exist; name a finished run or a file.")
