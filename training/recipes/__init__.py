"""The settings of a training run: one closed, typed recipe; every field is documented.

    recipe = load_recipe("stage2-7b", {"model": "minigpt4-7b", "data": "cc_sbu_align"})

A recipe is a TOML file or the name of a shipped one (`inquisight train recipes`). Its `stage` decides which fields it
has: those of MiniGPT-4's two stages (`minigpt4.py`) or of BLIP-2 (`blip2.py`), and the common ones (`base.py`).
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from core.datasets.samples.spec import DataSpec
from core.errors import UsageError, printable
from plugins.hf.hub import is_name
from training.recipes.base import Recipe, toml_value
from training.recipes.blip2 import Blip2Recipe
from training.recipes.minigpt4 import AS_THE_MODEL, FRESH, StageRecipe

__all__ = [
    "AS_THE_MODEL",
    "FRESH",
    "Blip2Recipe",
    "Recipe",
    "StageRecipe",
    "load_recipe",
    "make_recipe",
    "ready_recipe",
]

SHIPPED: Final = Path(__file__).parent
SMALL: Final = "pocket"
SMOL: Final = "smol"
# Names in the originals' configuration files and in other trainers.
_ALSO_CALLED: Final = {
    "learning_rate": "lr",
    "init_lr": "lr",
    "min_lr": "lr_min",
    "warmup_lr": "lr_warmup_start",
    "warmup_steps": "warmup",
    "batch_size": "batch",
    "max_steps": "steps",
    "max_epoch": "epochs",
    "iters": "steps",
    "max_txt_len": "max_target_tokens",
    "end_sym": "end",
    "prompt_template": "template",
    "prompts": "instructions",
    "ckpt": "projection",
    "llama_model": "model",
    "lora_r": "lora_rank",
    "max_grad_norm": "clip",
    "amp": "dtype",
    "precision": "dtype",
    "gradient_checkpointing": "recompute",
    "use_grad_checkpoint": "recompute",
    "has_qformer": "qformer",
    "freeze_qformer": "train_qformer",
    "num_workers": "workers",
    "output_dir": "the option --out",
    "resume_ckpt_path": "nothing: the same command resumes by itself",
}


def shipped() -> dict[str, Path]:
    """Return name and file of every shipped recipe."""
    return {file.stem: file for file in sorted(SHIPPED.glob("*.toml"))}


def load_recipe(source: str, changes: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
    """Return the recipe in a file, or shipped under that name, with `key=value` changes. Raises UsageError."""
    file = find_recipe(source)
    try:
        values: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the recipe {printable(file)} cannot be read: {printable(error)}.") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the recipe {printable(file)} is not TOML: {printable(error)}.") from error
    pairs = changes.items() if isinstance(changes, Mapping) else [_pair(text) for text in changes]
    for key, value in pairs:
        _put(values, key, value)
    return make_recipe(values, f"recipe {printable(source)}")


def ready_recipe(source: str, changes: Sequence[str] | Mapping[str, Any] = (), *, stage: str | None = None) -> Recipe:
    """Return a recipe with all that a training needs, of the trainer `stage` if given. Raises UsageError.

    A shipped recipe NAME-STAGE may be named NAME. The model directory of `smol` is written if it is missing; raises
    BackendError if a package for that is.
    """
    if stage is not None and source not in shipped() and f"{source}-{stage}" in shipped():
        source = f"{source}-{stage}"  # one name for both stages
    recipe = load_recipe(source, changes)
    if stage is not None and recipe.name != stage:
        raise UsageError(f"--recipe {printable(source, 80)} is for {recipe.label}: `inquisight train {recipe.name}`.")
    named = "--model NAME" if isinstance(recipe, Blip2Recipe) else "--set model=DIRECTORY"
    for name, way in (("model", named), ("data", "--set data=PATH")):
        if not getattr(recipe, name):
            raise UsageError(f"the recipe names no {name}: {way}.")
    from plugins.smol import directory

    if recipe.model == directory():
        from plugins.smol.prepare import prepare

        prepare(recipe.model)
    return recipe


def make_recipe(values: Mapping[str, Any], where: str) -> Recipe:
    """Return a checked recipe with absolute paths. Raises UsageError, one line with the nearest right word."""
    kind = recipe_class(values)
    try:
        recipe = kind.model_validate(dict(values))
    except ValidationError as error:
        raise UsageError(_one_line(error, where, kind)) from None
    changed: dict[str, Any] = {"data": tuple(_absolute_data(spec, recipe) for spec in recipe.data)}
    if recipe.features is not None:
        changed["features"] = Path(_absolute(recipe.features))
    if isinstance(recipe, Blip2Recipe):
        return recipe.model_copy(update={**changed, **_of_blip2(recipe)})
    assert isinstance(recipe, StageRecipe)
    if recipe.projection not in (FRESH, AS_THE_MODEL):
        changed["projection"] = _absolute(recipe.projection)
    if recipe.model == Path(SMALL) and not recipe.model.is_dir():
        from plugins.pocket.backend import MODEL

        changed["model"] = MODEL
    elif recipe.model == Path(SMOL) and not recipe.model.is_dir():
        from plugins.smol import directory

        changed["model"] = directory()
    elif recipe.model is not None:
        changed["model"] = folder = Path(_absolute(recipe.model))
        if (base := _base_of(folder)) is not None:
            changed["model"] = base
            changed |= {"projection": str(folder)} if recipe.projection == AS_THE_MODEL else {}
    return recipe.model_copy(update=changed)


def recipe_class(values: Mapping[str, Any]) -> type[Recipe]:
    """Return the class of the recipe with these values."""
    return Blip2Recipe if values.get("stage") == "blip2" else StageRecipe


def _of_blip2(recipe: Blip2Recipe) -> dict[str, Any]:
    """Return the places of model and beginning. A hub name stays; a finished run is its model and its tensors."""
    changed: dict[str, Any] = {}
    if recipe.begin is not None:
        changed["begin"] = Path(_absolute(recipe.begin))
    if recipe.model is not None and (recipe.model.is_dir() or not is_name(str(recipe.model))):
        changed["model"] = folder = Path(_absolute(recipe.model))
        if (base := _base_of(folder)) is not None:
            changed |= {"model": base, "begin": changed.get("begin", folder)}
    return changed


def _base_of(folder: Path) -> Path | None:
    """Return the model of a finished run in `folder`; None for anything else, about which opening it will report."""
    try:
        return Path(json.loads((folder / "finished.json").read_text("utf-8"))["base"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _absolute_data(spec: DataSpec, recipe: Recipe) -> DataSpec:
    paths = {name: getattr(spec, name) for name in ("path", "annotations", "pictures")}
    changed: dict[str, Any] = {name: _absolute(path) for name, path in paths.items() if path is not None}
    if isinstance(recipe, Blip2Recipe) and recipe.task == "vqa":
        changed["questions"] = True
    return spec.model_copy(update=changed)


def fields(kind: type[Recipe] = StageRecipe) -> list[tuple[str, str, str]]:
    """Return (name, default, meaning) of every field of a recipe; those that only its kind has come after the data."""
    own = [name for name in kind.model_fields if name not in Recipe.model_fields]
    common = list(Recipe.model_fields)
    after = common.index("keep_features") + 1
    found = []
    for name in (*common[:after], *own, *common[after:]):
        found.append(_field(kind, name, ""))
    return found + [_field(DataSpec, name, "data.N.") for name in DataSpec.model_fields]


def _field(model: type[BaseModel], name: str, prefix: str) -> tuple[str, str, str]:
    field = model.model_fields[name]
    default = "required" if field.is_required() else toml_value(field.default)
    return f"{prefix}{name}", default, " ".join((field.description or "").split())


# Fields that may differ in a resumed run: they change neither its samples nor its numbers.
HARMLESS: Final = frozenset({"title", "checkpoint_every", "keep", "log_every", "samples", "workers"})


def differences(old: Recipe, new: Recipe) -> list[str]:
    """Return what makes `new` another run than `old`, as "name: old there, new here"."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    return [
        f"{name}: {printable(json.dumps(value), 60)} there, {printable(json.dumps(after.get(name)), 60)} here"
        for name, value in before.items()
        if name not in HARMLESS and value != after.get(name)
    ]


def find_recipe(source: str) -> Path:
    """Return the file of a recipe: a path, or the name of a shipped one. Raises UsageError."""
    known = shipped()
    if source in known:
        return known[source]
    path = Path(source).expanduser()
    if path.is_file():
        return path
    close = difflib.get_close_matches(source, known, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]}?" if close else f"shipped are {', '.join(known)}."
    raise UsageError(f"--recipe '{printable(source, 80)}' is no file and no shipped recipe: {hint}")


def _pair(text: str) -> tuple[str, Any]:
    key, mark, value = text.partition("=")
    if not mark or not key.strip():
        raise UsageError(f"--set '{printable(text, 80)}' must be key=value, as in --set steps=400.")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value  # a path or a word without quotation marks


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set "a" or "data.0.weight"."""
    first, *rest = key.split(".")
    if first in ("steps", "epochs") and not rest:  # either replaces the other
        values.pop("epochs" if first == "steps" else "steps", None)
    fitted = "steps" if first == "epochs" else first
    if isinstance(values.get("fit"), list) and not rest:  # an explicit value is not fitted
        values["fit"] = [name for name in values["fit"] if name != fitted]
    if not rest:
        values[first] = value
        return
    place: Any = values.get(first)
    if isinstance(place, dict | str):
        place = [place]
        values[first] = place
    number = int(rest[0]) if rest[0].isdecimal() else -1
    if first != "data" or not isinstance(place, list) or len(rest) != 2 or not 0 <= number < len(place):
        count = len(place) if isinstance(place, list) else 0
        raise UsageError(
            f"--set {printable(key, 80)}: only data has parts, data.0.path to data.{max(count - 1, 0)}.path; "
            f"this recipe has {count} data set{'s' * (count != 1)}."
        )
    entry = place[number]
    place[number] = {**({"path": entry} if isinstance(entry, str) else entry), rest[1]: value}


def _one_line(error: ValidationError, where: str, kind: type[Recipe]) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place)
    if first["type"] == "extra_forbidden":
        inside = place[0] == "data" and len(place) > 1
        known = list(DataSpec.model_fields if inside else kind.model_fields)
        also = None if inside else _ALSO_CALLED.get(place[-1])
        also = also if also in known or " " in (also or "") else None
        close = [also] if also else difflib.get_close_matches(place[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else "all of them: `inquisight train recipes --explain`."
        return f"{where}: there is no '{printable(name, 80)}'; {hint}"
    reason = first["msg"].removeprefix("Value error, ")
    if not name:
        return f"{where} {reason}."
    if first["type"] == "missing":
        return f"{where}: {name} is missing; see `inquisight train recipes --explain`."
    value = printable(first["input"], 60)
    return f"{where}: {name}={value}: {reason[:1].lower()}{reason[1:]}; see `inquisight train recipes --explain`."


def _absolute(path: str | Path) -> str:
    """Return an absolute path; shards may be written with braces and wildcards, and addresses stay as they are."""
    return str(path) if "://" in str(path) else os.path.abspath(os.path.expanduser(path))
