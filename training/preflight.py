"""Check what is known to be wrong with a training before anything large is read or written.

    findings = check(recipe, Path("mine"))     # [] if nothing is known to be wrong
    findings[0].field, findings[0].words       # "model", one line with the way out
    require(recipe, Path("mine"))              # raises NotReadyError

`inquisight train` checks before it loads the model, `training.runs.manage.start` before it starts a process, and the
dashboard shows each finding at its field. No model library is imported except for memory and dtype.
"""

from __future__ import annotations

import importlib.util
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from core.errors import InquisightError, UsageError, printable
from plugins.smol import is_smol
from training.checkpoints import check_claim
from training.recipes import AS_THE_MODEL, FRESH, Blip2Recipe, Recipe, StageRecipe

if TYPE_CHECKING:
    from plugins.minigpt4.runtime.loading import Checked

Field = Literal["model", "data", "out", "settings", "packages"]
PACKAGES: Final = ("torch", "transformers", "accelerate", "safetensors")
_WEIGHT: Final = "language_projection.weight"
_GB: Final = 1e9
_ADAM: Final = 3  # a checkpoint holds the weights and AdamW's two moments


@dataclass(frozen=True, slots=True)
class PreflightFinding:
    """One thing that keeps a training from working, and the field it belongs to."""

    field: Field
    error: InquisightError

    @property
    def words(self) -> str:
        """One line with the way out."""
        return str(self.error)


class NotReadyError(UsageError):
    """A training that could not work; `findings` holds all that is known."""

    def __init__(self, findings: list[PreflightFinding]) -> None:
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        super().__init__(findings[0].words + more)
        self.findings = findings


def require(recipe: Recipe, out: Path) -> None:
    """Raise NotReadyError if something is known to be wrong."""
    if findings := check(recipe, out):
        raise NotReadyError(findings)


def check(recipe: Recipe, out: Path | None = None) -> list[PreflightFinding]:
    """Return all that is known to be wrong, in the order in which a training would meet it; writes and loads nothing.

    `out` None: the folder is not checked yet.
    """
    findings: list[PreflightFinding] = []

    def attempt(field: Field, step: Callable[[], object]) -> bool:
        try:
            step()
        except InquisightError as error:
            findings.append(PreflightFinding(field, error))
            return False
        return True

    if not attempt("packages", _check_packages):
        return findings
    learned: list[int] = []  # weights of each part that is trained
    if isinstance(recipe, Blip2Recipe):
        attempt("model", lambda: learned.extend(_check_blip2(recipe)))
    else:
        assert isinstance(recipe, StageRecipe)
        checked: list[Checked] = []
        if attempt("model", lambda: checked.append(check_model(recipe))):
            attempt("model", lambda: _check_memory(recipe, checked[0]))
            attempt("settings", lambda: check_projection(recipe, checked[0]))
            learned.extend(_learned(recipe, checked[0]))
    attempt("data", lambda: check_data(recipe))
    attempt("settings", lambda: _check_features(recipe))
    if out is not None and attempt("out", lambda: check_claim(out, recipe)) and learned:
        attempt("out", lambda: _check_disk(recipe, sum(learned), out))
    return findings


def _check_packages() -> None:
    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"training needs the package {name}: pip install 'inquisight[train]'.")


def _check_blip2(recipe: Blip2Recipe) -> Iterator[int]:
    """Return the number of trained weights, by part. Raises UsageError, BackendError.

    A name on the hub that would have to be fetched is checked when the training begins.
    """
    import torch
    from huggingface_hub import constants

    from plugins.blip2.loading import Blip2LoadOptions
    from plugins.hf.hub import is_name
    from plugins.hf.load_options import choose_dtype
    from training.blip2 import opening

    if recipe.model is not None and not recipe.model.exists() and is_name(str(recipe.model)):
        opening.check_begin(recipe)
        if not constants.HF_HUB_OFFLINE:
            return iter(())
    checked = opening.check_model(recipe)
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    if recipe.dtype == "float16" and device == "cpu":
        raise UsageError("dtype=float16 cannot be trained on a CPU: --set dtype=auto.")
    options = Blip2LoadOptions(dtype=recipe.dtype)
    dtype, _ = choose_dtype(options, device, half=checked.decoder_only)
    opening.check_memory(checked, device, dtype)
    return opening.learned_sizes(checked, recipe)


def check_model(recipe: StageRecipe) -> Checked:
    """Return the checked directory of the model, if the recipe fits it. Raises UsageError or BackendError."""
    if recipe.model is None:
        raise UsageError("the recipe names no model: --set model=DIRECTORY, made by `inquisight convert minigpt4`.")
    from plugins.minigpt4.runtime.loading import check as check_directory

    checked = check_directory(recipe.model, prefix="model=")
    has_qformer = "MiniGPT4WithoutQFormer" not in (checked.config.get("architectures") or ())
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
            f"{printable(recipe.model)} shows its language model tokens beside those of the projection, and only "
            "cached features hold them: --set keep_features=true, or features=DIRECTORY."
        )
    if is_smol(checked.config) and recipe.features is None and not recipe.keep_features:
        raise UsageError(
            f"{printable(recipe.model)} trains on cached features only: --set keep_features=true, or "
            "features=DIRECTORY."
        )
    return checked


def check_projection(recipe: StageRecipe, checked: Checked) -> None:
    """Raise UsageError or BackendError if `projection` names nothing that fits the model."""
    if recipe.projection in (FRESH, AS_THE_MODEL):
        return
    path = Path(recipe.projection)
    if path.suffix and not path.is_dir():
        if not path.is_file():
            raise UsageError(f"projection={printable(path)} does not exist; name a finished run, a file, or fresh.")
        return
    from safetensors import safe_open

    from plugins.minigpt4.runtime.training_run import PROJECTION, open_run

    with safe_open(open_run(path).tensors, framework="np") as opened:
        names = [name for name in opened.keys() if name.startswith(PROJECTION) and name.endswith("weight")]  # noqa: SIM118
        shapes = [opened.get_slice(name).get_shape() for name in names]
    check_fit(recipe, checked, [(shape[0], shape[1]) for shape in shapes])


def check_fit(recipe: StageRecipe, checked: Checked, shapes: Sequence[tuple[int, int]]) -> None:
    """Raise UsageError if a projection with these weights, (outputs, inputs) each, does not fit model and recipe."""
    found, expected = (shapes[-1][0], shapes[0][1]), checked.shapes[_WEIGHT]
    if found != expected:
        raise UsageError(
            f"projection={printable(recipe.projection)} leads from {found[1]} to {found[0]} numbers, but "
            f"{printable(recipe.model)} needs {expected[1]} to {expected[0]}: it was trained with another model."
        )
    if len(shapes) != recipe.projection_layers:
        raise UsageError(
            f"projection={printable(recipe.projection)} has {len(shapes)} layers, the recipe projection_layers="
            f"{recipe.projection_layers}: --set projection_layers={len(shapes)}, or begin with projection=fresh."
        )


def _check_memory(recipe: StageRecipe, checked: Checked) -> None:
    """Raise what loading the model would raise."""
    import torch

    from plugins.minigpt4.runtime.load_options import LoadOptions, choose

    if recipe.dtype == "float16" and not torch.cuda.is_available():
        raise UsageError("dtype=float16 cannot be trained on a CPU: --set dtype=auto.")
    if recipe.features is None:
        choose(LoadOptions(dtype=recipe.dtype), checked.config, checked.shapes, printable(checked.directory))


def check_data(recipe: Recipe) -> None:
    """Raise DataError or UsageError if the data cannot be opened or counted, or hold no usable sample."""
    from core.datasets.samples.sample import BrokenLog
    from training import fitting
    from training.data.stream import open_stream

    if not recipe.data:
        raise UsageError("the recipe names no data: --set data=PATH.")
    here = tuple(spec for spec in recipe.data if "://" not in spec.path and not spec.path.startswith("pipe:"))
    fitting.check_data(recipe.model_copy(update={"data": here}))  # remote ones are opened only by the training
    if here:
        broken, decode = BrokenLog(max_share=recipe.max_broken), recipe.features is None
        with open_stream(here, seed=0, epochs=1, shuffle_buffer=0, broken=broken, decode=decode) as stream:
            next(stream, None)  # raises if too many pictures cannot be opened
    if recipe.epochs is not None and here == recipe.data:
        fitting.steps_of(recipe)


def _check_features(recipe: Recipe) -> None:
    if recipe.features is not None and not (recipe.features / "features.json").is_file():
        raise UsageError(
            f"features={printable(recipe.features)} holds no cached features; write them with `inquisight train "
            "features`."
        )


def _check_disk(recipe: Recipe, learned: int, out: Path) -> None:
    """Raise UsageError if the checkpoints alone would not fit on the disk."""
    free = shutil.disk_usage(next(place for place in (out, *out.parents) if place.exists())).free
    needed = 4 * _ADAM * (recipe.keep + 1) * learned
    if needed > free:
        raise UsageError(
            f"the disk of {printable(out)} has {free / _GB:.1f} GB free, and {recipe.keep + 1} checkpoints take "
            f"{needed / _GB:.1f} GB: free disk space, name another folder, or --set keep=1."
        )


def _learned(recipe: StageRecipe, checked: Checked) -> Iterator[int]:
    """Yield the number of weights of each part that is trained."""
    shape = checked.shapes[_WEIGHT]
    yield math.prod(shape) + (recipe.projection_layers - 1) * shape[0] ** 2
    for name, shape in checked.shapes.items():
        if recipe.train_qformer and name.startswith(("qformer.", "query_tokens")):
            yield math.prod(shape)
        if recipe.lora_rank and name.endswith(tuple(f"{target}.weight" for target in recipe.lora_targets)):
            yield recipe.lora_rank * sum(shape)
