"""A finished training of a BLIP-2: what it trained, put into its model, or exported for plain transformers.

RUN is what `inquisight train blip2` wrote: `projection.safetensors` holds every tensor that was trained under its name
in `Blip2ForConditionalGeneration`, and `finished.json` the prompts it was trained with.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.errors import BackendError, UsageError, printable
from plugins.hf import checkpoint
from plugins.minigpt4.runtime.training_run import FINISHED, RECIPE, Trained, is_lora, lora_pairs, open_run

if TYPE_CHECKING:
    import torch

STAGE: Final = "blip2"  # in finished.json
PROMPTS: Final = "training_prompts"  # in an exported config.json
_COPIED: Final = (".json", ".jinja", ".model", ".txt")  # no programs, no weights


def is_run(folder: Path) -> bool:
    """Whether `folder` is a training run of a BLIP-2, finished or not."""
    folder = folder.expanduser()
    try:
        if (folder / FINISHED).is_file():
            return bool(json.loads((folder / FINISHED).read_text("utf-8")).get("stage") == STAGE)
        return tomllib.loads((folder / RECIPE).read_text("utf-8")).get("stage") == STAGE
    except (OSError, ValueError, AttributeError):  # a damaged one is reported where any folder is
        return False


def open_blip2_run(run: Path) -> Trained:
    """Read a run. Raises BackendError if it is not finished, damaged, or a training of another model."""
    trained = open_run(run)
    if trained.facts.get("stage") != STAGE:
        raise BackendError(f"{printable(run)} is a training of MiniGPT-4: use trained:{printable(run)}.")
    return trained


def find_base(trained: Trained, base: str | None = None) -> Path:
    """Return the directory of the model that `trained` belongs to, at `base` if it has moved. Raises BackendError."""
    folder = Path(base).expanduser() if base else trained.base
    if not folder.is_dir():
        raise BackendError(
            f"the model that {printable(trained.run)} was trained with is not at {printable(folder)}; say where it is: "
            f"blip2:{printable(trained.run)}?base=DIRECTORY."
        )
    return folder.resolve()


def check_same(trained: Trained, digest: str, path: Path) -> None:
    """Raise BackendError if the directory at `path` is another model than `trained` was trained with."""
    if digest != trained.base_digest:
        raise BackendError(
            f"{printable(path)} is not the model that {printable(trained.run)} was trained with (digest {digest}, then "
            f"{trained.base_digest}); name the right one as blip2:RUN?base=DIRECTORY."
        )


def apply_run(model: Any, trained: Trained) -> None:
    """Put what was trained into a `Blip2ForConditionalGeneration`, LoRA merged, in its type. Raises BackendError."""
    from safetensors.torch import load_file

    apply(model, load_file(trained.tensors), trained.lora_scale)


def apply(model: Any, tensors: Mapping[str, torch.Tensor], lora_scale: float) -> None:
    """Put trained tensors into a `Blip2ForConditionalGeneration`. Raises BackendError if they do not fit it."""
    import torch

    parameters = dict(model.named_parameters())

    def own(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        found: torch.Tensor | None = parameters.get(name)
        if found is None or tuple(found.shape) != shape:
            raise BackendError(f"the trained tensor {printable(name, 80)} does not fit this model; it is another one.")
        return found

    with torch.no_grad():
        for name, value in tensors.items():
            if not is_lora(name):
                own(name, tuple(value.shape)).copy_(value)
        for layer, (down, up) in lora_pairs(tensors).items():
            weight = own(f"{layer}.weight", (up.shape[0], down.shape[1]))
            merged = weight.float() + lora_scale * (up.float() @ down.float()).to(weight.device)
            weight.copy_(merged.to(weight.dtype))


def export(run: Path, to: Path, *, base: str | None = None) -> Path:
    """Write the trained model as a directory for plain transformers and `blip2:`; LoRA is merged.

    The numbers keep the type of the model's files. Raises UsageError, BackendError.
    """
    from transformers import Blip2ForConditionalGeneration

    from plugins.minigpt4.convert import writing
    from plugins.minigpt4.convert.trained import copy_settings

    trained = open_blip2_run(run)
    source = find_base(trained, base)
    check_same(trained, checkpoint.check(source, "blip2").digest, source)
    to = writing.check_place(to, overwrite=False)
    with writing.workplace(to, f"{trained.sha256}:{trained.base_digest}") as place:
        opener = Blip2ForConditionalGeneration.from_pretrained
        model, _ = checkpoint.load(source, opener, strict=True, dtype="auto", local_files_only=True)
        apply_run(model, trained)
        setattr(model.config, PROMPTS, trained.facts["prompts"])
        for file in source.iterdir():
            if file.suffix in _COPIED and not file.name.endswith((".index.json", writing.MANIFEST)):
                copy_settings(file, place.partial / file.name)
        with checkpoint.quiet():
            model.save_pretrained(place.partial, max_shard_size="4GB")
        _write_card(place.partial, trained, "model")
        place.finish(to)
    return to


def export_adapter(run: Path, to: Path) -> Path:
    """Write a LoRA training as an adapter of peft, for `PeftModel.from_pretrained`. Raises UsageError, BackendError."""
    from peft import LoraConfig
    from safetensors.torch import load_file, save_file

    from plugins.minigpt4.convert import writing

    trained = open_blip2_run(run)
    tensors = load_file(trained.tensors)
    pairs = lora_pairs(tensors)
    if not pairs:
        raise UsageError(
            f"{printable(run)} trained no LoRA, so there is no adapter; leave --adapter out to export the whole model."
        )
    to = writing.check_place(to, overwrite=False)
    with writing.workplace(to, trained.sha256) as place:
        settings = trained.facts["lora"]
        LoraConfig(
            r=settings["rank"],
            lora_alpha=settings["alpha"],
            lora_dropout=settings["dropout"],
            target_modules=list(pairs),
            base_model_name_or_path=str(trained.base),
            inference_mode=True,
        ).save_pretrained(str(place.partial))
        named = {f"base_model.model.{name.replace('.default.', '.')}": value for name, value in tensors.items()}
        save_file(named, place.partial / "adapter_model.safetensors", metadata={"format": "pt"})
        _write_card(place.partial, trained, "adapter")
        place.finish(to)
    return to


def _write_card(folder: Path, trained: Trained, what: str) -> None:
    """Write README.md: what it is, and the prompts that have to be used with it."""
    facts, prompts = trained.facts, trained.facts["prompts"]
    model = Path(facts["model"])
    lines = [
        f"# BLIP-2, fine-tuned: {what}",
        "",
        f"- base model: `{model.name if model.is_absolute() else model}`",
        f"- trained: {facts['train']}, {facts['steps']} steps, {facts['samples']} samples, loss {facts['loss']:.4f}",
        f"- prompt of a caption: `{json.dumps(prompts['caption'])}`",
        f"- prompt of a question: `{json.dumps(prompts['question'])}`, with the question instead of `{{}}`",
        "",
        "The model learned to answer after these prompts; other prompts give worse answers.",
    ]
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
