"""The settings of a training run: one closed, typed recipe; every field is documented.

    recipe = load_recipe("stage2-7b", {"model": "minigpt4-7b", "data": "cc_sbu_align"})

A recipe is a TOML file or the name of a shipped one (`inquisight train recipes`). Figures of the originals:
Vision-CAIR/MiniGPT-4, `train_configs/*.yaml`, `minigpt4/common/optims.py`, and the paper (arXiv 2304.10592).
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.datasets.samples.spec import DataSpec
from core.errors import UsageError, printable

SHIPPED: Final = Path(__file__).with_name("recipes")
FRESH: Final = "fresh"
AS_THE_MODEL: Final = "model"
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

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Recipe(BaseModel):
    """A training run. Unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), use_attribute_docstrings=True)

    title: str = ""
    """One line that describes the run; changes nothing."""
    stage: Literal[1, 2]
    """1: short captions without a prompt; 2: descriptions in the chat format."""

    model: Path | None = None
    """Directory of the model, made by `inquisight convert minigpt4` or `inquisight train prepare`; a finished run, to
    continue with its model (and its projection if `projection` is `model`); `pocket`, the small one included; or
    `smol`, pocket's vision model with SmolLM2, which is written at the first use."""
    projection: str = FRESH
    """The initial projection: `fresh` (random), `model` (as in the directory), or a finished run or file."""
    data: tuple[DataSpec, ...] = ()
    """The data sets; several are mixed by their weights. On the command line also `--set data=PATH`."""
    features: Path | None = None
    """Directory written by `inquisight train features`: the vision model is then neither loaded nor run."""
    keep_features: bool = False
    """Encode every picture once, before the first step, into the run's folder; for several passes over the data."""

    qformer: bool = True
    """False: without a Q-Former, four neighbouring patches become one token; the directory must be of that kind."""
    projection_layers: int = Field(default=1, ge=1, le=8)
    """Linear layers of the projection, GELU between them; the released models have 1."""
    train_qformer: bool = False
    """Train the Q-Former and its queries too (the paper found this to be worse)."""
    lora_rank: int = Field(default=0, ge=0, le=1024)
    """Rank of LoRA matrices beside the language model's weights; 0: none. Needs the package peft."""
    lora_alpha: float = Field(default=16.0, gt=0)
    """LoRA's scale is this divided by the rank."""
    lora_dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout of LoRA's inputs in training."""
    lora_targets: tuple[str, ...] = Field(default=("q_proj", "v_proj"), min_length=1)
    """Layers of the language model that get LoRA matrices."""

    template: Literal["auto", "vicuna", "vicuna-2023-04", "llama2", "chatml"] = "auto"
    """Chat format of stage 2; auto: the directory's own."""
    instructions: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Stage 2: the instructions; one is drawn for each sample without an instruction."""
    end: str | None = None
    """The end of a target. Unset: a line break in stage 1, the chat format's end mark in stage 2."""
    max_target_tokens: Count = 160
    """Longer targets are cut with their end mark, as in the original."""
    plain_captions: bool = False
    """Lower case, no . ! " ( ) * # : ; ~ and 50 words at most, as the original does to stage-1 captions."""

    steps: Count | None = None
    """Optimiser steps."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the data instead of `steps`, if the number of samples is known."""
    batch: Count = 12
    """Samples per step, over all processes."""
    fit: tuple[Literal["batch", "steps", "lr", "warmup"], ...] = ()
    """Fields chosen at the start from the number of samples and the model's width."""
    lr: float = Field(default=3e-5, ge=0, le=10)
    """Learning rate after the warm-up."""
    lr_min: Rate = 1e-5
    """Learning rate at the last step; the cosine between spans the whole run, as in the original."""
    lr_warmup_start: Rate = 1e-6
    """Learning rate at the first step."""
    warmup: int = Field(default=200, ge=0)
    """Steps in which the learning rate rises."""
    weight_decay: Rate = 0.05
    """AdamW's; never on biases and norms."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """AdamW's first momentum."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """AdamW's second momentum."""
    clip: Rate = 1.0
    """Largest norm of the gradient; 0: unlimited, as in the original."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Order of the data, instructions, fresh weights: same seed, same run."""

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Of the frozen part. auto: bfloat16 if the GPU computes it, else float16 with a scaler; on a CPU float32."""
    packing: bool | Literal["auto"] = "auto"
    """Whether short samples share a row. auto: if that is less work with the lengths of the data."""
    pack_tokens: int = Field(default=512, ge=0, le=65536)
    """Length of the rows into which short samples are packed side by side; 0: one sample per row, padded."""
    forward_tokens: Count = 8192
    """Tokens (rows x length) of one forward pass per process: fewer take less memory; the result is the same."""
    recompute: bool = False
    """Recompute activations instead of storing them: a third more work, a fraction of the memory."""
    workers: int = Field(default=4, ge=1, le=64)
    """Threads that read and decode pictures."""
    streams: int = Field(default=4, ge=1, le=4096)
    """Readers of the data, shared by the processes: any number of processes that divides it computes the same run."""
    shuffle_buffer: int = Field(default=1000, ge=0)
    """Samples among which the next one is drawn, over all readers; 0 keeps the order of the data."""
    max_broken: float = Field(default=0.05, ge=0, le=1)
    """Share of broken samples above which the run stops; below it they are skipped and named in broken.jsonl."""

    checkpoint_every: Count = 500
    """Steps between checkpoints."""
    keep: Count = 2
    """Checkpoints that are kept; older ones are removed."""
    log_every: Count = 10
    """Steps between printed lines if there is no terminal; the log has all steps."""
    samples: int = Field(default=3, ge=0, le=16)
    """Pictures of the data that the model describes at each checkpoint, in samples.jsonl; 0: none."""
    explosion: float = Field(default=4.0, ge=0)
    """Stop if the loss is this many times the median of the last 100 steps; 0: only if it is not a number."""

    @model_validator(mode="before")
    @classmethod
    def _short_data(cls, values: Any) -> Any:
        """Accept `data = "PATH"` and `data = ["PATH", {...}]`."""
        if isinstance(values, dict) and "data" in values:
            given = values["data"]
            if isinstance(given, str | Mapping):
                given = [given]
            if isinstance(given, list | tuple):
                given = [{"path": one} if isinstance(one, str) else one for one in given]
            return {**values, "data": given}
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        both, neither = self.steps and self.epochs, self.steps is None and self.epochs is None
        if both or (neither and "steps" not in self.fit):
            raise ValueError("needs either steps or epochs")
        if self.steps is not None and "warmup" not in self.fit and self.warmup > self.steps:
            raise ValueError(f"warmup={self.warmup} is longer than steps={self.steps}; shorten it")
        if self.lr_min > self.lr:
            raise ValueError(f"lr_min={self.lr_min:g} is above lr={self.lr:g}; lower it")
        if self.packing is True and not self.pack_tokens:
            raise ValueError("packing=true needs rows to pack into: --set pack_tokens=512")
        if self.train_qformer and (self.features or self.keep_features or not self.qformer):
            kept = "features" if self.features else "keep_features=true"
            other = kept if self.qformer else "qformer=false"
            raise ValueError(f"train_qformer=true and {other} exclude each other; drop one")
        if self.stage == 2 and not self.instructions:
            raise ValueError("stage 2 needs instructions, such as ['Describe this image in detail.']")
        return self

    @property
    def name(self) -> str:
        """Name of the registered trainer."""
        return f"stage{self.stage}"

    def tokens_end(self, template_end: str) -> str:
        """Return the end of a target; `template_end` is the chat format's mark."""
        if self.end is not None:
            return self.end
        return "\n" if self.stage == 1 else template_end

    def to_toml(self) -> str:
        """Return the recipe as a file that `load_recipe` reads."""
        values = self.model_dump(mode="json", exclude_none=True)
        tables = values.pop("data", [])
        lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
        for table in tables:
            lines += ["", "[[data]]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
        return "\n".join(lines) + "\n"


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
        raise UsageError(
            f"--recipe {printable(source, 80)} is for stage {recipe.stage}: `inquisight train {recipe.name}`."
        )
    for name, option in (("model", "DIRECTORY"), ("data", "PATH")):
        if not getattr(recipe, name):
            raise UsageError(f"the recipe names no {name}: --set {name}={option}.")
    from plugins.smol import directory

    if recipe.model == directory():
        from plugins.smol.prepare import prepare

        prepare(recipe.model)
    return recipe


def make_recipe(values: Mapping[str, Any], where: str) -> Recipe:
    """Return a checked recipe with absolute paths. Raises UsageError, one line with the nearest right word."""
    try:
        recipe = Recipe.model_validate(dict(values))
    except ValidationError as error:
        raise UsageError(_one_line(error, where)) from None
    changed: dict[str, Any] = {
        name: Path(_absolute(path)) for name in ("model", "features") if (path := getattr(recipe, name)) is not None
    }
    if recipe.projection not in (FRESH, AS_THE_MODEL):
        changed["projection"] = _absolute(recipe.projection)
    changed["data"] = tuple(spec.model_copy(update={"path": _absolute(spec.path)}) for spec in recipe.data)
    if recipe.model == Path(SMALL) and not recipe.model.is_dir():
        from plugins.pocket.backend import MODEL

        changed["model"] = MODEL
    elif recipe.model == Path(SMOL) and not recipe.model.is_dir():
        from plugins.smol import directory

        changed["model"] = directory()
    elif recipe.model is not None:
        changed |= _of_run(changed["model"], recipe)
    return recipe.model_copy(update=changed)


def _of_run(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Return the model of a finished run in `folder`, and its projection if the recipe begins with the model's."""
    try:
        facts = json.loads((folder / "finished.json").read_text("utf-8"))
        base = Path(facts["base"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # a model's directory; opening it reports anything else
    return {"model": base, **({"projection": str(folder)} if recipe.projection == AS_THE_MODEL else {})}


def fields() -> list[tuple[str, str, str]]:
    """Return (name, default, meaning) of every field of a recipe."""
    found = []
    for model, prefix in ((Recipe, ""), (DataSpec, "data.N.")):
        for name, field in model.model_fields.items():
            default = "required" if field.is_required() else _toml(field.default)
            found.append((f"{prefix}{name}", default, " ".join((field.description or "").split())))
    return found


# Fields that may differ in a resumed run: they change neither its samples nor its numbers.
HARMLESS: Final = frozenset({"title", "checkpoint_every", "keep", "log_every", "samples", "workers"})


def differences(old: Recipe, new: Recipe) -> list[str]:
    """Return what makes `new` another run than `old`, as "name: old there, new here"."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    return [
        f"{name}: {printable(json.dumps(value), 60)} there, {printable(json.dumps(after[name]), 60)} here"
        for name, value in before.items()
        if name not in HARMLESS and value != after[name]
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
    if isinstance(place, dict):
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


def _one_line(error: ValidationError, where: str) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place)
    if first["type"] == "extra_forbidden":
        inside = place[0] == "data" and len(place) > 1
        known = list(DataSpec.model_fields if inside else Recipe.model_fields)
        also = None if inside else _ALSO_CALLED.get(place[-1])
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


def _toml(value: Any) -> str:
    """Write a value: TOML's strings, numbers, booleans and lists are JSON's, except None, which TOML omits."""
    return "none" if value is None else json.dumps(value, ensure_ascii=False, default=str).replace("\x7f", "\\u007f")
