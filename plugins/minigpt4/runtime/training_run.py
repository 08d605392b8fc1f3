"""Read and check a finished training, and load its tensors into the model it was trained with."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.errors import BackendError, printable
from core.files.model_folder import inspect
from plugins.minigpt4.runtime.loading import Checked, check

if TYPE_CHECKING:
    import torch
    from torch import nn

FINISHED: Final = "finished.json"
RECIPE: Final = "recipe.toml"
TENSORS: Final = "projection.safetensors"
KIND: Final = "inquisight-training"
PROJECTION: Final = "language_projection"
_LORA = re.compile(r"(?P<layer>.+)\.lora_(?P<half>[AB])\.default\.weight")


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run, the model it was trained with, and its tensors."""

    run: Path
    base: Path  # the model's directory
    base_digest: str
    sha256: str  # of the tensors' file
    lora_scale: float
    facts: Mapping[str, Any] = field(repr=False)

    @property
    def tensors(self) -> Path:
        return self.run / TENSORS


def open_run(run: Path) -> Trained:
    """Read a run. Raises BackendError if it is not finished or damaged."""
    run = run.expanduser()
    if not (run / FINISHED).is_file():
        raise BackendError(_no_run(run))
    try:
        facts = json.loads((run / FINISHED).read_text("utf-8"))
    except (OSError, ValueError):
        facts = None
    if not isinstance(facts, dict) or facts.get("kind") != KIND:
        raise BackendError(f"{printable(run / FINISHED)} was not written by `inquisight train`; copy the run again.")
    trained = Trained(
        run.absolute(),
        Path(facts["base"]),
        str(facts["base_digest"]),
        str(facts["sha256"]),
        float(facts.get("lora_scale") or 0),
        facts,
    )
    try:
        found = hashlib.sha256(trained.tensors.read_bytes()).hexdigest()
    except OSError as error:
        raise BackendError(
            f"{printable(trained.tensors)} cannot be read: {error.strerror}; copy the run again."
        ) from None
    if found != trained.sha256:
        raise BackendError(f"{printable(trained.tensors)} is not the file that was written; copy the run again.")
    return trained


def _no_run(run: Path) -> str:
    """The error for a folder without a finished training: what it is, and what to do."""
    where, found = printable(run), inspect(run)
    way_out = "name the folder of a run that `inquisight train` wrote"
    if found.files:
        return f"{where} is a model and no training run; use minigpt4:{where}, or {way_out}."
    if (run / RECIPE).is_file():
        return f"{where} holds no finished training ({FINISHED} is missing); see `inquisight train status {where}`."
    return f"{where} {found.words}: it holds no finished training ({FINISHED} is missing); {way_out}."


def check_base(trained: Trained, base: Path | None = None) -> Checked:
    """The model that `trained` belongs to, at `base` if it has moved. Raises BackendError."""
    folder = base or trained.base
    if not folder.exists():
        raise BackendError(
            f"the model that {printable(trained.run)} was trained with is not at {printable(folder)}; say where it is: "
            f"trained:{printable(trained.run)}?base=DIRECTORY."
        )
    checked = check(folder, prefix="")
    if checked.digest != trained.base_digest:
        raise BackendError(
            f"{printable(checked.directory)} is not the model that {printable(trained.run)} was trained with (digest "
            f"{checked.digest}, then {trained.base_digest}); name the right one as trained:RUN?base=DIRECTORY."
        )
    return checked


def projection_module(inputs: int, outputs: int, layers: int = 1) -> nn.Module:
    """`inputs` numbers per token to `outputs`: one linear layer, or several of width `outputs` with GELU between."""
    from torch import nn

    if layers == 1:
        return nn.Linear(inputs, outputs)
    parts: list[nn.Module] = [nn.Linear(inputs, outputs)]
    for _ in range(layers - 1):
        parts += [nn.GELU(), nn.Linear(outputs, outputs)]
    return nn.Sequential(*parts)


def projection_of(tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    """The projection among `tensors`, whatever its depth. Raises BackendError if there is none."""
    own = {name.removeprefix(f"{PROJECTION}."): value for name, value in tensors.items() if name.startswith(PROJECTION)}
    weights = [own[name] for name in sorted(own, key=_depth) if name.endswith("weight")]
    if not weights:
        raise BackendError(f"there is no {PROJECTION}.weight among the trained tensors; the run is of no use.")
    module = projection_module(weights[0].shape[1], weights[0].shape[0], len(weights))
    try:
        module.load_state_dict(own)
    except RuntimeError:
        raise BackendError("the shapes of the trained projection do not fit together; copy the run again.") from None
    return module


def apply(model: Any, tensors: Mapping[str, torch.Tensor], lora_scale: float = 0.0) -> None:
    """Put trained tensors into a `Blip2ForConditionalGeneration`, in its own type. Raises BackendError."""
    import torch

    reference = next(model.language_projection.parameters())
    projection = projection_of(tensors)
    shape = (projection_width(projection, 0), projection_width(projection, -1))
    expected = (model.language_projection.in_features, model.language_projection.out_features)
    if shape != expected:
        raise BackendError(f"the trained projection leads from {shape[0]} to {shape[1]}, this model's from {expected}.")
    model.language_projection = projection.to(reference.device, reference.dtype).eval()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in tensors.items():
            if name.startswith(("qformer.", "query_tokens")):
                _own(parameters, name).copy_(value)
        for layer, (down, up) in lora_pairs(tensors).items():
            weight = _own(parameters, f"{layer}.weight")
            weight.add_((lora_scale * (up.float() @ down.float())).to(weight.device, weight.dtype))


def projection_width(module: nn.Module, which: int) -> int:
    """What its first layer (0) takes, or its last one (-1) gives."""
    from torch import nn

    layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return int(layers[0].in_features if which == 0 else layers[-1].out_features)


def is_lora(name: str) -> bool:
    """Whether `name` is a tensor of a LoRA adapter."""
    return _LORA.fullmatch(name) is not None


def lora_pairs(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """LoRA's two matrices (rank, inputs) and (outputs, rank) by the layer they adapt: its name in the whole model."""
    halves: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if found := _LORA.fullmatch(name):
            halves.setdefault(found["layer"], {})[found["half"]] = value
    return {layer: (pair["A"], pair["B"]) for layer, pair in sorted(halves.items())}


def _own(parameters: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    if name not in parameters:
        raise BackendError(f"this model has no tensor '{printable(name, 80)}', which was trained; it is another model.")
    return parameters[name]


def _depth(name: str) -> int:
    first = name.partition(".")[0]
    return int(first) if first.isdecimal() else 0
