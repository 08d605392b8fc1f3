"""Open a BLIP-2 for fine-tuning: checked before large files are read, with only the trained part unfrozen.

    opened = open_blip2(recipe, "cuda:0", "bfloat16")
    opened.task.learned()      # {"language_projection.weight": ..., "qformer.encoder.layer.0...": ...}

The trained part is float32, the rest `dtype`. The language model's dropout is off, as it does not learn.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import torch
from PIL import Image
from torch import Tensor, nn

from core.errors import BackendError, UsageError, printable
from core.images.picture import Picture
from plugins.blip2.loading import SHORT, Blip2LoadOptions, CheckedBlip2, check, image_processor_of
from plugins.blip2.trained import PROMPTS
from plugins.hf import checkpoint
from plugins.hf.memory import GB, free_memory
from plugins.minigpt4.runtime.pixels import pixels
from plugins.minigpt4.runtime.training_run import FINISHED, TENSORS, open_run
from training.blip2.task import Blip2T5Task, Blip2Task
from training.blip2.wording import Blip2Wording
from training.recipes.blip2 import Blip2Recipe
from training.tasks import OpenedTask

TARGETS: Final = {  # queries and values, by the part of the model and the kind of language model
    ("language_model", "opt"): ("q_proj", "v_proj"),
    ("language_model", "t5"): ("q", "v"),
    ("qformer", "opt"): ("query", "value"),
    ("qformer", "t5"): ("query", "value"),
}
_NO_DROPOUT: Final = ("dropout", "attention_dropout", "activation_dropout", "layerdrop", "dropout_rate")


def check_model(recipe: Blip2Recipe) -> CheckedBlip2:
    """Return the checked directory of the model, if the recipe fits it; a name on the hub is downloaded.

    Raises UsageError, BackendError, one line.
    """
    if recipe.model is None:
        raise UsageError("the recipe names no model: --model NAME, such as Salesforce/blip2-opt-2.7b.")
    options = Blip2LoadOptions(dtype=recipe.dtype, caption=recipe.prompt, question=recipe.question_prompt)
    checked = check(str(recipe.model), options)
    if recipe.packing is True and not checked.decoder_only:
        raise UsageError(f"packing=true: {Blip2T5Task.why_not_packed} with Flan-T5; leave it out.")
    if recipe.train == "lora" and importlib.util.find_spec("peft") is None:
        raise UsageError("train=lora needs the package peft: `pip install peft`, or --set train=qformer.")
    check_begin(recipe)
    return checked


def check_memory(checked: CheckedBlip2, device: str, dtype: str) -> None:
    """Raise UsageError if the weights alone are larger than the free memory of `device`."""
    size, free = checked.directory.bytes(dtype), free_memory(device)
    if free is not None and size > free:
        smaller = "--set dtype=bfloat16, or take a smaller model" if dtype == "float32" else "or take a smaller model"
        raise UsageError(
            f"{printable(checked.directory.path)} takes {size / GB:.1f} GB as {dtype}, and {free / GB:.1f} GB are free "
            f"on {device}: close other programs, {smaller}."
        )


def check_begin(recipe: Blip2Recipe) -> Path | None:
    """Return the file of the tensors to begin with. Raises UsageError, BackendError if there is none."""
    begin = recipe.begin
    if begin is None:
        return None
    if begin.is_dir() and (begin / FINISHED).is_file():
        trained = open_run(begin)
        if (there := trained.facts.get("train")) != recipe.train:
            raise UsageError(
                f"{printable(begin)} trained {printable(there)}, this recipe {recipe.train}: --set train={there}, or "
                "export that run and train on the directory."
            )
        return trained.tensors
    file = begin / TENSORS if begin.is_dir() else begin
    if not file.is_file():
        raise UsageError(f"begin={printable(begin)} is no finished run and no file of trained tensors; check the path.")
    return file


def question_prompt(checked: CheckedBlip2, recipe: Blip2Recipe) -> str:
    """Return the form of a question: the recipe's, the model's own if it learned one, else as LAVIS asks it."""
    learned = checkpoint.part(checked.directory.config, PROMPTS).get("question")
    if recipe.question_prompt or learned or checked.decoder_only:
        return checked.question
    return SHORT


def open_blip2(recipe: Blip2Recipe, device: str, dtype: str) -> OpenedTask:
    """Return model, wording and settings. Raises UsageError, BackendError before reading large files."""
    checked = check_model(recipe)
    check_memory(checked, device, dtype)
    begin = check_begin(recipe)
    model = _load(checked, recipe, device, dtype)
    lora = _unfreeze(model, checked, recipe)
    kind = Blip2Task if checked.decoder_only else Blip2T5Task
    if recipe.recompute:
        model.language_model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    task = kind(model, trains_qformer=recipe.trains_qformer)
    if begin is not None:
        _begin_with(task.learned(), begin)
    tokenizer = checkpoint.load_tokenizer(checked.directory.path)
    prompts = {"caption": checked.caption, "question": question_prompt(checked, recipe)}
    wording = Blip2Wording(recipe, tokenizer, **prompts, encoder=not checked.decoder_only)
    facts = {
        "model": str(recipe.model),
        "train": recipe.train,
        "task": recipe.task,
        "prompts": prompts,
        "lora_scale": recipe.lora_alpha / recipe.lora_rank if lora else 0,
        **(
            {"lora": {"rank": recipe.lora_rank, "alpha": recipe.lora_alpha, "dropout": recipe.lora_dropout}}
            if lora
            else {}
        ),
    }
    return OpenedTask(task, wording, picture_settings(checked), checked.directory.path, checked.directory.digest, facts)


def learned_sizes(checked: CheckedBlip2, recipe: Blip2Recipe) -> Iterator[int]:
    """Yield the number of weights of each part that is trained, by the stored shapes."""
    whole = (
        ("language_projection.", "qformer.", "query_tokens") if recipe.train == "qformer" else ("language_projection.",)
    )
    for name, shape in checked.directory.shapes.items():
        if recipe.train != "lora":
            yield math.prod(shape) if name.startswith(whole) else 0
            continue
        for part in recipe.lora_parts:
            targets = recipe.lora_targets or TARGETS[part, checked.kind]
            if name.startswith(f"{part}.") and name.endswith(tuple(f".{target}.weight" for target in targets)):
                yield recipe.lora_rank * sum(shape)


def picture_settings(checked: CheckedBlip2) -> SimpleNamespace:
    """Return size, mean and deviation, if the directory prepares pictures as every BLIP-2 does. Raises BackendError."""
    processor = image_processor_of(checked)
    settings = SimpleNamespace(
        image_size=checked.image_size, mean=tuple(processor.image_mean), std=tuple(processor.image_std)
    )
    probe = Image.effect_noise((50, 40), 80).convert("RGB")
    own = pixels([Picture(probe, "", "")], settings.image_size, settings.mean, settings.std)
    theirs = processor([probe], return_tensors="pt").pixel_values
    if own.shape != theirs.shape or not torch.allclose(own, theirs, atol=0.05):
        raise BackendError(
            f"the picture settings of {printable(checked.directory.path)} are not those of BLIP-2 (bicubic to a "
            "square, then mean and deviation); fetch preprocessor_config.json again."
        )
    return settings


def _load(checked: CheckedBlip2, recipe: Blip2Recipe, device: str, dtype: str) -> Any:
    """Return the model, all of it frozen; with cached features, without the layers of its vision tower."""
    from transformers import AutoConfig, Blip2ForConditionalGeneration

    path = checked.directory.path
    config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    for name in _NO_DROPOUT:
        if hasattr(config.text_config, name):
            setattr(config.text_config, name, 0.0)
    if recipe.features is not None:
        config.vision_config.num_hidden_layers = 0
    placed: dict[str, Any] = {} if device == "cpu" else {"device_map": {"": device}}
    model, _ = checkpoint.load(
        path,
        Blip2ForConditionalGeneration.from_pretrained,
        strict=recipe.features is None,
        config=config,
        dtype=getattr(torch, dtype),
        local_files_only=True,
        **placed,
    )
    model.requires_grad_(False)
    return model


def _unfreeze(model: Any, checked: CheckedBlip2, recipe: Blip2Recipe) -> bool:
    """Unfreeze what the recipe trains, in float32; returns whether that is LoRA. Raises UsageError."""
    model.language_projection.float()
    if recipe.train == "lora":
        _add_lora(model, checked, recipe)
        return True
    free: list[nn.Parameter] = list(model.language_projection.parameters())
    if recipe.train == "qformer":
        model.qformer.float()
        model.query_tokens.data = model.query_tokens.data.float()
        free += [*model.qformer.parameters(), model.query_tokens]
    for parameter in free:
        parameter.requires_grad_(True)
    return False


def _add_lora(model: Any, checked: CheckedBlip2, recipe: Blip2Recipe) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    layers: list[str] = []
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    for part in recipe.lora_parts:
        targets = recipe.lora_targets or TARGETS[part, checked.kind]
        inside = [name for name in linear if name.startswith(f"{part}.")]
        layers += sorted(name for name in inside if name.rpartition(".")[2] in targets)
    if not layers:
        known = ", ".join(sorted({name.rpartition(".")[2] for name in inside}))
        raise UsageError(f"lora_targets={printable(', '.join(recipe.lora_targets))}: there are {known}.")
    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,  # type: ignore[arg-type]
        lora_dropout=recipe.lora_dropout,
        target_modules=layers,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)


def _begin_with(learned: Mapping[str, nn.Parameter], file: Path) -> None:
    """Copy the tensors in `file` into the trained parameters. Raises UsageError if they are of another training."""
    from safetensors.torch import load_file

    tensors: Mapping[str, Tensor] = load_file(file)
    shapes = {name: tuple(value.shape) for name, value in learned.items()}
    if {name: tuple(value.shape) for name, value in tensors.items()} != shapes:
        raise UsageError(
            f"{printable(file)} holds other tensors than this recipe trains: use its train, lora_rank and "
            "lora_targets, or leave begin out."
        )
    with torch.no_grad():
        for name, parameter in learned.items():
            parameter.copy_(tensors[name])
