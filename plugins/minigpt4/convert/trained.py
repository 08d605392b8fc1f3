"""Write a trained model as one directory, and prepare an untrained one for stage 1."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.errors import BackendError, UsageError, printable
from core.files.model_folder import without_remote_code
from plugins.minigpt4.runtime.training_run import (
    PROJECTION,
    check_base,
    is_lora,
    lora_pairs,
    open_run,
    projection_module,
)

if TYPE_CHECKING:
    import torch


_COPIED: Final = ("", ".json", ".jinja", ".model", ".txt", ".md")  # no programs, no pickles


def export(run: Path, to: Path, *, base: Path | None = None, step: Callable[[int], None] = lambda _: None) -> Path:
    """A copy of the directory that the run was trained with, with the trained tensors. `step` receives bytes written.

    Files without a trained tensor are linked if the disk allows it. Raises UsageError, BackendError.
    """
    from safetensors.torch import load_file

    from plugins.hf.tensors import Tensors
    from plugins.minigpt4.convert import writing

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
    changed = {f"{layer}.weight" for layer in pairs} | {n for n in tensors if not is_lora(n)}
    with writing.workplace(to, f"{trained.sha256}:{checked.digest}") as place:
        files: list[dict[str, Any]] = []
        for source in sorted(checked.files):
            weights = Tensors([source])
            if place.partial.joinpath(source.name).exists() and source.name in place.shards:
                pass  # written before
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
                copy_settings(source, place.partial / source.name)
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
    from plugins.minigpt4.convert.pieces import TensorPiece

    stored = weights.stored[name]
    layer = name.removesuffix(".weight")

    def make() -> torch.Tensor:
        if name in tensors:
            return tensors[name]
        value: torch.Tensor = weights.read(name)
        if layer in pairs:
            down, up = pairs[layer]
            value = (value.float() + scale * (up.float() @ down.float())).to(value.dtype)
        return value

    return TensorPiece(name, stored.shape, stored.dtype, make, stored.file)


def prepare(llm: str, vision: tuple[str, ...], to: Path, *, qformer: bool = True, **options: Any) -> Path:
    """A directory with an untrained projection, for stage 1 with another language model.

    `options` are those of `ConversionRequest` (dtype, template, heads, overwrite). Raises UsageError, BackendError.
    """
    import tempfile

    import torch
    from safetensors.torch import save_file

    from plugins.minigpt4.convert.conversion import ConversionRequest, join_weights
    from plugins.minigpt4.convert.llm import open_llm
    from plugins.minigpt4.convert.vision import open_vision

    language_model, vision_half = open_llm(llm), open_vision(vision)
    if qformer and not vision_half.qformer:
        raise BackendError(
            f"--vision {printable(vision_half.title)} holds no Q-Former: give blip2_pretrained_flant5xxl.pth beside "
            "eva_vit_g.pth, or add --no-qformer."
        )
    inputs = (
        vision_half.qformer["hidden_size"] if qformer and vision_half.qformer else 4 * vision_half.vision["hidden_size"]
    )
    outputs = int(language_model.config.hidden_size)
    language_model.weights.close()
    vision_half.weights.close()
    torch.manual_seed(42)
    module = projection_module(int(inputs), outputs)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "untrained.safetensors"
        save_file({f"{PROJECTION}.{name}": value for name, value in module.state_dict().items()}, file)
        join_weights(
            ConversionRequest(
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


def copy_settings(source: Path, target: Path) -> None:
    """Copy a small file, without what would make transformers load code."""
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
