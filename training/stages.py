"""The two stages as model and loss, without a trainer: what is frozen, what is learned, what a sample says.

    task = open_task(recipe, "cuda:0")
    values = task(rows, task.look(pixels))      # cross-entropy of every target token, (N,)

Stage 1: BOS, the picture's tokens, the caption and a line break. Stage 2: the chat format around picture and
instruction, then the description and the format's end mark. Only target tokens are learned. Source: `forward`,
`preparing_embedding` and `prompt_wrap` in `minigpt4/models/minigpt_base.py`, `blip_caption` in
`minigpt4/processors/blip_processors.py` of Vision-CAIR/MiniGPT-4.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import BackendError, UsageError, printable
from plugins.minigpt4.runtime.conversation import FORMATS, IMAGE_END, IMAGE_START, Format, clean
from plugins.minigpt4.runtime.load_options import LoadOptions
from plugins.minigpt4.runtime.loading import Checked, load
from plugins.minigpt4.runtime.modeling import PATCHES
from plugins.minigpt4.runtime.training_run import (
    PROJECTION,
    open_run,
    projection_module,
    projection_of,
    projection_width,
)
from plugins.pocket.training import is_pocket, trainer_tokenizer
from training.packing import PackedRows, PackingCost, Words, work_of
from training.preflight import check_model
from training.recipes import AS_THE_MODEL, FRESH, Recipe

MAX_WORDS: Final = 50
_UNSAID: Final = re.compile(r'[.!"()*#:;~]')
_PLACE: Final = "\0"


# --- what a sample says ----------------------------------------------------------------------------------------------


def plain_caption(text: str, max_words: int = MAX_WORDS) -> str:
    """Lower case, without the marks . ! " ( ) * # : ; ~ and at most `max_words` words."""
    text = re.sub(r"\s{2,}", " ", _UNSAID.sub(" ", text.lower())).rstrip("\n").strip(" ")
    return " ".join(text.split(" ")[:max_words])


class Wording:
    """Texts as token ids, in the manner of one stage and one chat format."""

    def __init__(self, recipe: Recipe, tokenizer: Any, format: Format) -> None:
        self.recipe = recipe
        self.tokenizer = tokenizer
        self.format = FORMATS[recipe.template] if recipe.template != "auto" else format
        self.end = recipe.tokens_end(self.format.end)
        self.bos = () if tokenizer.bos_token_id is None else (int(tokenizer.bos_token_id),)
        self._forbidden = tuple(sorted({str(token) for token in tokenizer.all_special_tokens}))
        self._known: dict[str, tuple[int, ...]] = {}

    def words(self, text: str, instruction: str | None = None, draw: str = "") -> Words:
        """One sample. `draw` decides which instruction it gets in stage 2 where it brings none."""
        text = clean(text, self._forbidden)
        if self.recipe.plain_captions:
            text = plain_caption(text)
        target = self._ids(text + self.end)[: self.recipe.max_target_tokens]
        if self.recipe.stage == 1:
            return Words(self.bos, (), target)
        if instruction is None:
            instruction = random.Random(f"{self.recipe.seed} {draw}").choice(self.recipe.instructions)
        asked = clean(instruction, self._forbidden)
        prompt = self.format.training.format(f"{IMAGE_START}{_PLACE}{IMAGE_END} {asked}")
        before, _, after = prompt.partition(_PLACE)
        return Words((*self.bos, *self._fixed(before)), self._fixed(after), target)

    def _fixed(self, text: str) -> tuple[int, ...]:
        """Prompts come again and again."""
        if text not in self._known:
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[text] = self._ids(text)
        return self._known[text]

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False).input_ids)


# --- model and loss --------------------------------------------------------------------------------------------------


class StageTask(nn.Module):
    """Frozen eye and language model with what is trained between them. `eye` is None where features were kept."""

    def __init__(
        self,
        language_model: Any,
        projection: nn.Module,
        eye: Any | None,
        *,
        pictures: int,
        projected: int | None = None,
        train_qformer: bool = False,
    ) -> None:
        super().__init__()
        self.language_model = language_model
        self.language_projection = projection
        self.eye = eye
        self.pictures = pictures  # tokens per picture
        self.projected = projected or pictures  # so many of them go through the projection; the others are as they are
        self.train_qformer = train_qformer

    def look(self, pixel_values: Tensor) -> Tensor:
        """(B, 3, size, size), normalised -> what the projection takes, (B, tokens, width)."""
        assert self.eye is not None, "this task works on cached features"
        weight = next(self.eye.vision_model.parameters())
        with torch.no_grad():
            seen = self.eye.vision_model(pixel_values=pixel_values.to(weight.device, weight.dtype)).last_hidden_state
            if not hasattr(self.eye, "qformer"):
                patches = seen[:, 1:]
                return patches.reshape(len(patches), -1, patches.shape[-1] * PATCHES)
        with torch.set_grad_enabled(self.train_qformer and torch.is_grad_enabled()):
            queries = self.eye.query_tokens.expand(len(seen), -1, -1)
            seen = seen.to(queries.dtype)
            asked: Tensor = self.eye.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
        return asked

    def forward(self, rows: PackedRows, features: Tensor) -> Tensor:
        """Cross-entropy of each target token, (N,), float32. `features` (S, tokens, width) as `rows.order` has them.

        The output layer is computed where a target stands and nowhere else: with 32,000 words that is most of what
        a short caption costs in memory.
        """
        model = self.language_model
        embedded = model.get_input_embeddings()(rows.ids)
        pictures = self.project(features).to(embedded.dtype)
        embedded = embedded.index_put((rows.picture_rows, rows.picture_columns), pictures)
        hidden = model.model(
            inputs_embeds=embedded, attention_mask=rows.mask(), position_ids=rows.positions, use_cache=False
        ).last_hidden_state
        logits = model.lm_head(hidden.flatten(0, 1)[rows.predicting])
        return F.cross_entropy(logits.float(), rows.targets, reduction="none")

    def project(self, features: Tensor) -> Tensor:
        """(S, tokens, width) -> what the language model reads in place of the pictures, (S, pictures, hidden)."""
        weight = next(self.language_projection.parameters())
        sizes = (self.projected, self.pictures - self.projected)
        projected, others = features.to(weight.device, weight.dtype).split(sizes, 1)
        pictures: Tensor = self.language_projection(projected)
        if others.shape[1]:  # tokens that pass the projection by
            pictures = torch.cat([pictures, others], 1)
        return pictures

    def learned(self) -> dict[str, nn.Parameter]:
        """What is trained, by its name in the whole model; the same order every time."""
        named = {f"{PROJECTION}.{name}": value for name, value in self.language_projection.named_parameters()}
        named |= {f"language_model.{name}": value for name, value in self.language_model.named_parameters()}
        if self.eye is not None:
            named |= dict(self.eye.named_parameters())
        return {name: value for name, value in sorted(named.items()) if value.requires_grad}

    def learning(self) -> None:
        """Training mode for what is trained (LoRA's and the Q-Former's dropout), and for recomputation."""
        self.language_model.train()
        self.language_projection.train()
        if self.train_qformer and self.eye is not None:
            self.eye.qformer.train()

    def work_of(self, lengths: Sequence[int], recipe: Recipe, world: int) -> PackingCost:
        """What these samples take in rows of their own and packed; see `training.packing.work_of`."""
        config, layers = self.language_model.config, self.language_model.model.layers
        linear = sum(p.numel() for name, p in layers.named_parameters() if p.ndim == 2 and "lora_" not in name)
        return work_of(
            lengths,
            batch=max(1, recipe.batch // world),
            size=recipe.pack_tokens,
            budget=recipe.forward_tokens,
            linear=linear / config.num_hidden_layers,
            hidden=config.hidden_size,
        )

    def work(self, rows: PackedRows) -> float:
        """Floating-point operations of one training step on `rows`, padding not counted.

        Frozen weights need no gradient of their own: a linear layer costs forward plus activation gradient, twice the
        forward pass; attention three times, for both its factors have a gradient.
        """
        lengths = torch.bincount(rows.segments[rows.segments >= 0]).double()
        config = self.language_model.config
        layers = self.language_model.model.layers
        linear = sum(p.numel() for name, p in layers.named_parameters() if p.ndim == 2 and "lora_" not in name)
        head = self.language_model.lm_head.weight.numel()
        attention = 2 * float((lengths**2).sum()) * config.hidden_size * config.num_hidden_layers
        work = 2 * 2.0 * (linear * rows.tokens + head * len(rows.targets)) + 3 * attention
        return work + (len(rows.order) * looking(self.eye) if self.eye is not None else 0.0)


def looking(eye: Any) -> float:
    """Floating-point operations for one picture's way through ViT and Q-Former."""
    vision = eye.config.vision_config
    tokens = (vision.image_size // vision.patch_size) ** 2 + 1
    linear = sum(p.numel() for p in eye.vision_model.parameters() if p.ndim == 2)
    work = 2.0 * linear * tokens + 4.0 * tokens**2 * vision.hidden_size * vision.num_hidden_layers
    if hasattr(eye, "qformer"):
        queries = eye.config.num_query_tokens
        for name, parameter in eye.qformer.named_parameters():
            if (
                parameter.ndim == 2
                and ".layer." in name
                and ".intermediate." not in name
                and ".output.dense" not in name
            ):
                crossing = ".crossattention." in name and (".key." in name or ".value." in name)
                work += 2.0 * parameter.numel() * (tokens if crossing else queries)
    return work


# --- opening ---------------------------------------------------------------------------------------------------------


def open_task(recipe: Recipe, device: str, dtype: str) -> tuple[StageTask, Wording, Checked]:
    """Model, wording and what the directory says. Raises UsageError, BackendError before anything large is read."""
    checked = check_model(recipe)
    projected = checked.manifest.get("projected_tokens")
    start = _start(recipe)  # read before the large files, because it is what a user may have mistyped
    if recipe.features is not None:
        language_model, tokenizer = _language_model(checked, device, dtype)
        eye = None
    else:
        opened = load(checked, LoadOptions(dtype=dtype, device=device))  # type: ignore[arg-type]
        eye, tokenizer = opened.model, opened.tokenizer
        language_model = eye.language_model
    language_model.requires_grad_(False)
    if eye is not None:
        eye.requires_grad_(False)
        eye.language_model = None  # it is the task's own; counted once
    config = checked.config
    projection, tensors = _projection(recipe, checked, start)
    if eye is not None:
        eye.language_projection = None
    _restore_qformer(recipe, eye, tensors)
    if recipe.train_qformer and eye is not None:
        eye.qformer.float().requires_grad_(True)
        eye.query_tokens.data = eye.query_tokens.data.float()
        eye.query_tokens.requires_grad_(True)
    if recipe.lora_rank:
        _add_lora(recipe, language_model, tensors)
    if recipe.recompute:
        language_model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        language_model.enable_input_require_grads()
    projection = projection.float().to(device).requires_grad_(True)
    pictures = int(checked.manifest.get("tokens_per_picture") or config["num_query_tokens"])
    task = StageTask(
        language_model, projection, eye, pictures=pictures, projected=projected, train_qformer=recipe.train_qformer
    )
    return task, Wording(recipe, tokenizer, checked.format), checked


def _language_model(checked: Checked, device: str, dtype: str) -> tuple[Any, Any]:
    """The language model alone: nothing of the eye is read."""
    from transformers import AutoConfig, AutoTokenizer, LlamaForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()  # it would list the eye's tensors as not used
    logging.disable_progress_bar()
    config = AutoConfig.from_pretrained(checked.directory, local_files_only=True, trust_remote_code=False).text_config
    try:
        model, report = LlamaForCausalLM.from_pretrained(
            checked.directory,
            config=config,
            key_mapping={r"^language_model\.": ""},
            dtype=getattr(torch, dtype),
            attn_implementation="sdpa",
            output_loading_info=True,
            local_files_only=True,
            **({} if device == "cpu" else {"device_map": {"": device}}),
        )
    except torch.OutOfMemoryError as error:
        raise BackendError(
            f"the language model does not fit into the memory of {device}; take a larger one."
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise BackendError(
            f"the model in {printable(checked.directory)} cannot be loaded: {printable(error)}"
        ) from error
    missing = sorted(report["missing_keys"])
    if missing or report["mismatched_keys"]:
        raise BackendError(
            f"{printable(checked.directory)} lacks {len(missing)} tensors of its language model; convert it again."
        )
    if is_pocket(checked.config):
        return model.eval(), trainer_tokenizer(checked.directory)
    return model.eval(), AutoTokenizer.from_pretrained(
        checked.directory, local_files_only=True, trust_remote_code=False
    )


Tensors = Mapping[str, Tensor]


def _start(recipe: Recipe) -> tuple[Tensors, float]:
    """The tensors that `projection` names and LoRA's scale; nothing for `fresh` and `model`."""
    if recipe.projection in (FRESH, AS_THE_MODEL):
        return {}, 0.0
    path = Path(recipe.projection)
    if path.is_dir() or not path.suffix:
        run = open_run(path)
        from safetensors.torch import load_file

        return load_file(run.tensors), run.lora_scale
    from plugins.minigpt4.convert.projection import read_projection

    found = read_projection(path)
    return {f"{PROJECTION}.weight": found.weight.float(), f"{PROJECTION}.bias": found.bias.float()}, 0.0


def _projection(recipe: Recipe, checked: Checked, start: tuple[Tensors, float]) -> tuple[nn.Module, Tensors]:
    """The projection as the recipe begins it, and whatever else its run had trained. Raises UsageError."""
    from transformers import Blip2Config

    sizes = Blip2Config.from_pretrained(checked.directory, local_files_only=True)
    inputs = sizes.qformer_config.hidden_size if recipe.qformer else sizes.vision_config.hidden_size * PATCHES
    outputs = sizes.text_config.hidden_size
    tensors = start[0]
    if recipe.projection == FRESH:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            return projection_module(inputs, outputs, recipe.projection_layers), {}
    if recipe.projection == AS_THE_MODEL:
        tensors = _stored(checked, f"{PROJECTION}.")
    module = projection_of(tensors)
    found = (projection_width(module, 0), projection_width(module, -1))
    if found != (inputs, outputs):
        raise UsageError(
            f"projection={printable(recipe.projection)} leads from {found[0]} to {found[1]} numbers, but "
            f"{printable(recipe.model)} needs {inputs} to {outputs}: it was trained with another model."
        )
    layers = sum(isinstance(part, nn.Linear) for part in module.modules())
    if layers != recipe.projection_layers:
        raise UsageError(
            f"projection={printable(recipe.projection)} has {layers} layers, the recipe projection_layers="
            f"{recipe.projection_layers}: --set projection_layers={layers}, or begin with projection=fresh."
        )
    return module, tensors


def _stored(checked: Checked, prefix: str) -> dict[str, Tensor]:
    from plugins.hf.tensors import Tensors

    weights = Tensors(sorted(checked.directory.glob("*.safetensors")))
    return {name: weights.read(name).float() for name in weights.stored if name.startswith(prefix)}


def _restore_qformer(recipe: Recipe, eye: Any | None, tensors: Tensors) -> None:
    own = {name: value for name, value in tensors.items() if name.startswith(("qformer.", "query_tokens"))}
    if not own:
        return
    if eye is None:
        raise UsageError(
            f"projection={printable(recipe.projection)} has a Q-Former of its own, so features of the directory's do "
            "not fit it: leave features out."
        )
    parameters = dict(eye.named_parameters())
    with torch.no_grad():
        for name, value in own.items():
            parameters[name].copy_(value)


def _add_lora(recipe: Recipe, language_model: Any, tensors: Tensors) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,  # type: ignore[arg-type]
        lora_dropout=recipe.lora_dropout,
        target_modules=list(recipe.lora_targets),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        try:
            inject_adapter_in_model(config, language_model)
        except ValueError as error:
            names = ", ".join(recipe.lora_targets)
            raise UsageError(
                f"lora_targets={printable(names)}: {printable(error)}; q_proj, v_proj is usual."
            ) from error
    for name, parameter in language_model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
            if (stored := tensors.get(f"language_model.{name}")) is not None:
                if stored.shape != parameter.shape:
                    raise UsageError(f"lora_rank={recipe.lora_rank}, but the projection's run has {min(stored.shape)}.")
                parameter.data.copy_(stored)


def groups(learned: Mapping[str, nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's: no decay on biases, norms and other vectors."""
    matrices = [value for value in learned.values() if value.ndim >= 2]
    vectors = [value for value in learned.values() if value.ndim < 2]
    made = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in made if group["params"]]


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """For the step that comes after `step` others. The cosine is that of the whole run, warm-up included, as there."""
    if step < recipe.warmup:
        return min(recipe.lr, recipe.lr_warmup_start + (recipe.lr - recipe.lr_warmup_start) * step / recipe.warmup)
    return recipe.lr_min + (recipe.lr - recipe.lr_min) * 0.5 * (1 + math.cos(math.pi * step / steps))
