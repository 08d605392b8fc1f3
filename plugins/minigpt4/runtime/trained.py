"""What was trained here, at work: opened beside the model it was trained with, or joined into a new directory.

    inquisight caption photo.jpg --vision trained:RUN
    inquisight train export RUN --to minigpt4-mine

RUN is what `inquisight train stage1|stage2` wrote: `projection.safetensors` (every tensor that was trained, under its
name in the model) and `finished.json`, written last.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from core.errors import BackendError, UsageError, printable
from core.files.model_folder import inspect, without_remote_code
from plugins.minigpt4.runtime.backend import MiniGPT4Backend
from plugins.minigpt4.runtime.load_options import LoadOptions
from plugins.minigpt4.runtime.loading import Checked, check
from plugins.pocket.training import is_pocket

if TYPE_CHECKING:
    import torch
    from torch import nn

    from core.vision import VisionBackend

FINISHED: Final = "finished.json"
RECIPE: Final = "recipe.toml"
TENSORS: Final = "projection.safetensors"
KIND: Final = "inquisight-training"
PROJECTION: Final = "language_projection"
_LORA = re.compile(r"language_model\.(?P<layer>.+)\.lora_(?P<half>[AB])\.default\.weight")
_COPIED: Final = ("", ".json", ".jinja", ".model", ".txt", ".md")  # no programs, no pickles
_PARTS: Final = (f"{PROJECTION}.", "qformer.", "query_tokens", "language_model.")


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run: what it was trained with, and where its tensors lie."""

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
    """What `run` says of itself. Raises BackendError where it is not finished or damaged."""
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
    """The line for a folder without a finished training: what it is, and what to do."""
    where, found = printable(run), inspect(run)
    wanted = "name the folder of a run that `inquisight train` wrote"
    if found.kind == "model":
        return f"{where} is a model and no training run; say minigpt4:{where}, or {wanted}."
    if found.kind == "run" and (run / RECIPE).is_file():
        return f"{where} holds no finished training ({FINISHED} is missing); see `inquisight train status {where}`."
    return f"{where} {found.words}: it holds no finished training ({FINISHED} is missing); {wanted}."


def check_base(trained: Trained, base: Path | None = None) -> Checked:
    """The model that `trained` belongs to, at `base` where it has moved. Raises BackendError."""
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
    """The projection among `tensors`, whatever its depth. Raises BackendError where there is none."""
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
            weight = _own(parameters, f"language_model.{layer}.weight")
            weight.add_((lora_scale * (up.float() @ down.float())).to(weight.device, weight.dtype))


def projection_width(module: nn.Module, which: int) -> int:
    """What its first layer (0) takes, or its last one (-1) gives."""
    from torch import nn

    layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return int(layers[0].in_features if which == 0 else layers[-1].out_features)


def lora_pairs(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """LoRA's two matrices (rank, inputs) and (outputs, rank) by the layer they stand beside."""
    halves: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if found := _LORA.fullmatch(name):
            halves.setdefault(found["layer"], {})[found["half"]] = value
    return {layer: (pair["A"], pair["B"]) for layer, pair in halves.items()}


@dataclass(frozen=True, slots=True)
class RunOptions(LoadOptions):
    """How a run is opened. On the command line: `trained:RUN?base=DIRECTORY&dtype=float16`."""

    plugin: ClassVar[str] = "trained"

    base: str | None = None  # the directory it was trained with, where that has moved


class TrainedBackend(MiniGPT4Backend):
    """`trained:RUN` as a vision backend; options as for minigpt4, and `base=` where the model's directory has moved.

    Raises BackendError where the run is not finished or its model is another one by now.
    """

    def __init__(self, argument: str | None = None) -> None:
        if not argument:
            raise BackendError("trained needs the folder of a finished training: trained:RUN.")
        path, options = RunOptions.parse(argument)
        trained = open_run(Path(path))
        base = Path(options.base).expanduser() if options.base else None
        directory = check_base(trained, base).directory
        if options.quantize != "none" and trained.lora_scale:
            raise UsageError(
                "a run with LoRA cannot be opened quantised: export it first with `inquisight train export`."
            )
        super().__init__(str(directory), options=options)
        from safetensors.torch import load_file

        with self.engine.lock:
            apply(self.engine.model, load_file(trained.tensors), trained.lora_scale)
        self._name = f"trained:{argument}"
        self._trained = trained

    @property
    def revision(self) -> str:
        return f"{super().revision}-{self._trained.sha256[:12]}"

    def describe(self) -> dict[str, str]:
        facts = self._trained.facts
        return {
            **super().describe(),
            "trained": f"stage {facts['stage']}, {facts['steps']} steps",
            "weights": self.revision,
        }


def open_trained(argument: str | None = None) -> VisionBackend:
    """`trained:RUN`: as `TrainedBackend`, or as `pocket` where the run trained the embedded model's projection."""
    if not argument:
        raise BackendError("trained needs the folder of a finished training: trained:RUN.")
    path, options = RunOptions.parse(argument)
    trained = open_run(Path(path))
    checked = check_base(trained, Path(options.base).expanduser() if options.base else None)
    if not is_pocket(checked.config):
        return TrainedBackend(argument)
    if options != RunOptions(base=options.base):
        raise UsageError(
            f"trained:{printable(path)} is a training of pocket, which takes no option but base=DIRECTORY."
        )
    from plugins.pocket.backend import Options, PocketBackend

    return PocketBackend(
        str(checked.directory), options=Options(projection=str(trained.run)), name=f"trained:{argument}"
    )


def export(run: Path, to: Path, *, base: Path | None = None, step: Callable[[int], None] = lambda _: None) -> Path:
    """A directory like the one the run was trained with, the trained tensors in it. `step` is told bytes written.

    Files without a trained tensor are linked where the disk allows it. Raises UsageError, BackendError.
    """
    from safetensors.torch import load_file

    from plugins.minigpt4.convert import writing
    from plugins.minigpt4.convert.sources import Weights

    trained = open_run(run)
    checked = check_base(trained, base)
    tensors = load_file(trained.tensors)
    if f"{PROJECTION}.weight" not in tensors:
        raise UsageError(
            f"{printable(run)} has a projection of {trained.facts['projection_layers']} layers, which Hugging Face's "
            f"BLIP-2 has no place for; use it as trained:{printable(run)}."
        )
    to = writing.check_place(to, overwrite=False)
    pairs = lora_pairs(tensors)
    changed = {f"language_model.{layer}.weight" for layer in pairs} | {n for n in tensors if not _LORA.fullmatch(n)}
    with writing.workplace(to, f"{trained.sha256}:{checked.digest}") as place:
        files: list[dict[str, Any]] = []
        for source in sorted(checked.files):
            weights = Weights([source])
            if place.partial.joinpath(source.name).exists() and source.name in place.shards:
                pass
            elif changed.isdisjoint(weights.stored):
                _link(source, place.partial / source.name)
                place.shards[source.name] = ""
            else:
                pieces = [_piece(weights, name, tensors, pairs, trained.lora_scale) for name in weights.stored]
                place.shards[source.name] = writing.write_shard(place.partial / source.name, pieces, step)
            place.remember()
            files.append({"file": source.name, "bytes": (place.partial / source.name).stat().st_size})
        for source in checked.directory.iterdir():
            if source.is_file() and source.suffix in _COPIED and source.name != writing.MANIFEST:
                _copy(source, place.partial / source.name)
        known = {entry["file"]: entry for entry in checked.manifest.get("files", ())}
        for entry in files:
            sha256 = place.shards[entry["file"]] or known.get(entry["file"], {}).get("sha256")
            entry |= {"sha256": sha256} if sha256 else {}
        manifest = {
            **{name: value for name, value in checked.manifest.items() if name != "untrained"},
            "kind": writing.KIND,
            "release": None,
            "files": files,
            "trained": dict(trained.facts),
        }
        writing.write_json(place.partial / writing.MANIFEST, manifest)
        place.finish(to)
    return to


def _piece(
    weights: Any,
    name: str,
    tensors: Mapping[str, torch.Tensor],
    pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    scale: float,
) -> Any:
    from plugins.minigpt4.convert.pieces import Piece

    stored = weights.stored[name]
    layer = name.removeprefix("language_model.").removesuffix(".weight")

    def make() -> torch.Tensor:
        if name in tensors:
            return tensors[name]
        value: torch.Tensor = weights.read(name)
        if layer in pairs:
            down, up = pairs[layer]
            value = (value.float() + scale * (up.float() @ down.float())).to(value.dtype)
        return value

    return Piece(name, stored.shape, stored.dtype, make, stored.file)


def prepare(llm: str, vision: tuple[str, ...], to: Path, *, qformer: bool = True, **options: Any) -> Path:
    """A directory with a projection that knows nothing yet, for stage 1 with a language model of one's own.

    `options` are those of `convert.Request` (dtype, template, heads, overwrite). Raises UsageError, BackendError.
    """
    import tempfile

    import torch
    from safetensors.torch import save_file

    from plugins.minigpt4.convert.conversion import Request, run
    from plugins.minigpt4.convert.llm import open_llm
    from plugins.minigpt4.convert.vision import open_eye

    language_model, eye = open_llm(llm), open_eye(vision)
    if qformer and not eye.qformer:
        raise BackendError(
            f"--vision {printable(eye.title)} holds no Q-Former: give blip2_pretrained_flant5xxl.pth beside "
            "eva_vit_g.pth, or add --no-qformer."
        )
    inputs = eye.qformer["hidden_size"] if qformer and eye.qformer else 4 * eye.vision["hidden_size"]
    outputs = int(language_model.config.hidden_size)
    language_model.weights.close()
    eye.weights.close()
    torch.manual_seed(42)
    module = projection_module(int(inputs), outputs)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "untrained.safetensors"
        save_file({f"{PROJECTION}.{name}": value for name, value in module.state_dict().items()}, file)
        run(
            Request(
                projection=file,
                llm=llm,
                vision=vision,
                to=to,
                own_projection=True,
                qformer=qformer,
                untrained=True,
                **options,
            )
        )
    return to


def _own(parameters: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    if name not in parameters:
        raise BackendError(f"this model has no tensor '{printable(name, 80)}', which was trained; it is another model.")
    return parameters[name]


def _depth(name: str) -> int:
    first = name.partition(".")[0]
    return int(first) if first.isdecimal() else 0


def _copy(source: Path, target: Path) -> None:
    """A small file as it is, but for what would make transformers run code."""
    try:
        settings = json.loads(source.read_bytes()) if source.suffix == ".json" else None
    except ValueError:
        settings = None
    if (plain := without_remote_code(settings)) != settings:
        target.write_text(json.dumps(plain, indent=2, ensure_ascii=False) + "\n", "utf-8")
    else:
        shutil.copyfile(source, target)


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
