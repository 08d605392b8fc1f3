"""The two stages as model and loss, without a trainer: what is frozen, what is learned, how a sample is worded.

    task = open_task(recipe, "cuda:0")
    values = task(rows, task.encode(pixels))      # cross-entropy of every target token, (N,)

Stage 1: BOS, the picture's tokens, the caption and a line break. Stage 2: the chat format around picture and
instruction, then the description and the format's end mark. Only target tokens are learned. Source: `forward`,
`preparing_embedding` and `prompt_wrap` in `minigpt4/models/minigpt_base.py`, `blip_caption` in
`minigpt4/processors/blip_processors.py` of Vision-CAIR/MiniGPT-4.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from core.errors import UsageError, printable
from plugins.hf import checkpoint
from plugins.hf.tensors import Tensors
from plugins.minigpt4.runtime.conversation import FORMATS, IMAGE_END, IMAGE_START, Format, clean
from plugins.minigpt4.runtime.load_options import LoadOptions
from plugins.minigpt4.runtime.loading import Checked, load
from plugins.minigpt4.runtime.modeling import PATCHES
from plugins.minigpt4.runtime.training_run import PROJECTION, open_run, projection_module, projection_of
from plugins.pocket.training import is_pocket, trainer_tokenizer
from training.packing import PackedRows, Words
from training.preflight import check_fit, check_model
from training.recipes import AS_THE_MODEL, FRESH, Recipe, StageRecipe
from training.tasks import TrainingTask, decoder_work

MAX_WORDS: Final = 50
_REMOVED: Final = re.compile(r'[.!"()*#:;~]')
_PLACE: Final = "\0"


# --- the wording of a sample -----------------------------------------------------------------------------------------


def plain_caption(text: str) -> str:
    """Return the text in lower case, without the marks . ! " ( ) * # : ; ~ and at most MAX_WORDS words."""
    text = re.sub(r"\s{2,}", " ", _REMOVED.sub(" ", text.lower())).rstrip("\n").strip(" ")
    return " ".join(text.split(" ")[:MAX_WORDS])


class Wording:
    """Texts as token ids, for one stage and one chat format."""

    def __init__(self, recipe: StageRecipe, tokenizer: Any, format: Format) -> None:
        self.recipe = recipe
        self.tokenizer = tokenizer
        self.format = FORMATS[recipe.template] if recipe.template != "auto" else format
        self.end = recipe.tokens_end(self.format.end)
        self.bos = () if tokenizer.bos_token_id is None else (int(tokenizer.bos_token_id),)
        self._forbidden = tuple(sorted({str(token) for token in tokenizer.all_special_tokens}))
        self._fixed = lru_cache(maxsize=10_000)(self._ids)  # prompts repeat

    def words(self, text: str, instruction: str | None = None, draw: str = "") -> Words:
        """Return one sample. `draw` decides which instruction it gets in stage 2 if it has none."""
        text = clean(text, self._forbidden)
        if self.recipe.plain_captions:
            text = plain_caption(text)
        target = self._ids(text + self.end)[: self.recipe.max_target_tokens]
        if self.recipe.stage == 1:
            return Words(self.bos, (), target)
        if instruction is None:
            instruction = random.Random(f"{self.recipe.seed} {draw}").choice(self.recipe.instructions)
        question = clean(instruction, self._forbidden)
        prompt = self.format.training.format(f"{IMAGE_START}{_PLACE}{IMAGE_END} {question}")
        before, _, after = prompt.partition(_PLACE)
        return Words((*self.bos, *self._fixed(before)), self._fixed(after), target)

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False).input_ids)


# --- model and loss --------------------------------------------------------------------------------------------------


class StageTask(TrainingTask):
    """Frozen vision and language model, with the trained part between them. `vision` is None with cached features."""

    def __init__(
        self,
        language_model: Any,
        projection: nn.Module,
        vision: Any | None,
        *,
        pictures: int,
        projected: int | None = None,
        train_qformer: bool = False,
    ) -> None:
        super().__init__(language_model, projection, vision, pictures=pictures)
        self.projected = projected or pictures  # how many of them go through the projection; the others bypass it
        self.train_qformer = train_qformer

    def encode(self, pixel_values: Tensor) -> Tensor:
        """Encode (B, 3, size, size), normalised, to the projection's input, (B, tokens, width)."""
        assert self.vision is not None, "this task works on cached features"
        weight = next(self.vision.vision_model.parameters())
        with torch.no_grad():
            pixel_values = pixel_values.to(weight.device, weight.dtype)
            hidden = self.vision.vision_model(pixel_values=pixel_values).last_hidden_state
            if not hasattr(self.vision, "qformer"):
                patches = hidden[:, 1:]
                return patches.reshape(len(patches), -1, patches.shape[-1] * PATCHES)
        with torch.set_grad_enabled(self.train_qformer and torch.is_grad_enabled()):
            queries = self.vision.query_tokens.expand(len(hidden), -1, -1)
            hidden = hidden.to(queries.dtype)
            encoded: Tensor = self.vision.qformer(query_embeds=queries, encoder_hidden_states=hidden).last_hidden_state
        return encoded

    def project(self, features: Tensor) -> Tensor:
        """Project (S, tokens, width) to the embeddings of the pictures, (S, pictures, hidden)."""
        weight = next(self.language_projection.parameters())
        sizes = (self.projected, self.pictures - self.projected)
        projected, others = features.to(weight.device, weight.dtype).split(sizes, 1)
        pictures: Tensor = self.language_projection(projected)
        if others.shape[1]:  # tokens that bypass the projection
            pictures = torch.cat([pictures, others], 1)
        return pictures

    def learning(self) -> None:
        """Set training mode for what is trained (dropout of LoRA and of the Q-Former), and for recomputation."""
        self.language_model.train()
        self.language_projection.train()
        if self.train_qformer and self.vision is not None:
            self.vision.qformer.train()

    def work(self, rows: PackedRows) -> float:
        """Return the floating-point operations of one training step on `rows`, without padding."""
        seen = len(rows.order) * vision_work(self.vision) if self.vision is not None else 0.0
        return decoder_work(self.language_model, rows) + seen


def vision_work(vision: Any) -> float:
    """Return the floating-point operations to encode one picture with ViT and Q-Former."""
    config = vision.config.vision_config
    tokens = (config.image_size // config.patch_size) ** 2 + 1
    linear = sum(value.numel() for value in vision.vision_model.parameters() if value.ndim == 2)
    work = 2.0 * linear * tokens + 4.0 * tokens**2 * config.hidden_size * config.num_hidden_layers
    if hasattr(vision, "qformer"):  # cross-attention over the picture's tokens, a hundredth of the whole, is left out
        work += 2.0 * sum(value.numel() for value in vision.qformer.parameters()) * vision.config.num_query_tokens
    return work


# --- opening ---------------------------------------------------------------------------------------------------------


def open_task(recipe: StageRecipe, device: str, dtype: str) -> tuple[StageTask, Wording, Checked]:
    """Return model, wording and the checked directory. Raises UsageError, BackendError before reading large files."""
    checked = check_model(recipe)
    tensors = _start(recipe)  # before the large files, because its path may be mistyped
    vision = None
    if recipe.features is not None:
        language_model, tokenizer = _language_model(checked, device, dtype)
    else:
        opened = load(checked, LoadOptions(dtype=dtype, device=device))  # type: ignore[arg-type]
        vision, tokenizer = opened.model, opened.tokenizer
        vision.requires_grad_(False)
        language_model = vision.language_model
        vision.language_model = None  # it belongs to the task, and is counted once
        vision.language_projection = None
    language_model.requires_grad_(False)
    projection = _projection(recipe, checked, tensors)
    _restore_qformer(recipe, vision, tensors)
    if recipe.train_qformer and vision is not None:
        vision.qformer.float().requires_grad_(True)
        vision.query_tokens.data = vision.query_tokens.data.float()
        vision.query_tokens.requires_grad_(True)
    if recipe.lora_rank:
        _add_lora(recipe, language_model, tensors)
    if recipe.recompute:
        language_model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        language_model.enable_input_require_grads()
    task = StageTask(
        language_model,
        projection.float().to(device).requires_grad_(True),
        vision,
        pictures=int(checked.manifest.get("tokens_per_picture") or checked.config["num_query_tokens"]),
        projected=checked.manifest.get("projected_tokens"),
        train_qformer=recipe.train_qformer,
    )
    return task, Wording(recipe, tokenizer, checked.format), checked


def _language_model(checked: Checked, device: str, dtype: str) -> tuple[Any, Any]:
    """Load the language model alone: nothing of the vision model is read."""
    from transformers import AutoConfig, LlamaForCausalLM

    config = AutoConfig.from_pretrained(checked.directory, local_files_only=True, trust_remote_code=False)
    model, _ = checkpoint.load(
        checked.directory,
        LlamaForCausalLM.from_pretrained,
        strict=False,
        again="convert it again",
        config=config.text_config,
        key_mapping={r"^language_model\.": ""},
        dtype=getattr(torch, dtype),
        attn_implementation="sdpa",
        local_files_only=True,
        **({} if device == "cpu" else {"device_map": {"": device}}),
    )
    if is_pocket(checked.config):
        return model, trainer_tokenizer(checked.directory)
    return model, checkpoint.load_tokenizer(checked.directory)


def _start(recipe: StageRecipe) -> Mapping[str, Tensor]:
    """Return the tensors that `projection` names; none for `fresh` and `model`."""
    if recipe.projection in (FRESH, AS_THE_MODEL):
        return {}
    path = Path(recipe.projection)
    if path.is_dir() or not path.suffix:
        from safetensors.torch import load_file

        return load_file(open_run(path).tensors)
    from plugins.minigpt4.convert.projection import read_projection

    found = read_projection(path)
    return {f"{PROJECTION}.weight": found.weight.float(), f"{PROJECTION}.bias": found.bias.float()}


def _projection(recipe: StageRecipe, checked: Checked, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return the projection as the recipe begins it. Raises UsageError."""
    outputs, inputs = checked.shapes[f"{PROJECTION}.weight"]
    if recipe.projection == FRESH:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            return projection_module(inputs, outputs, recipe.projection_layers)
    if recipe.projection == AS_THE_MODEL:
        weights = Tensors(sorted(checked.files))
        tensors = {name: weights.read(name).float() for name in weights.stored if name.startswith(f"{PROJECTION}.")}
    module = projection_of(tensors)
    check_fit(recipe, checked, [(one.shape[0], one.shape[1]) for one in module.parameters() if one.ndim == 2])
    return module


def _restore_qformer(recipe: StageRecipe, vision: Any | None, tensors: Mapping[str, Tensor]) -> None:
    own = {name: value for name, value in tensors.items() if name.startswith(("qformer.", "query_tokens"))}
    if own and vision is None:
        raise UsageError(
            f"projection={printable(recipe.projection)} has a trained Q-Former, so features of the directory's do not "
            "fit it: leave features out."
        )
    with torch.no_grad():
        for name, value in own.items():
            vision.get_parameter(name).copy_(value)  # type: ignore[union-attr]


def _add_lora(recipe: StageRecipe, language_model: Any, tensors: Mapping[str, Tensor]) -> None:
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
    """Return AdamW's parameter groups: no decay on biases, norms and other vectors."""
    matrices = [value for value in learned.values() if value.ndim >= 2]
    vectors = [value for value in learned.values() if value.ndim < 2]
    made = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in made if group["params"]]


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the rate after `step` steps. The cosine spans the whole run with its warm-up, as in the original."""
    if step < recipe.warmup:
        return min(recipe.lr, recipe.lr_warmup_start + (recipe.lr - recipe.lr_warmup_start) * step / recipe.warmup)
    return recipe.lr_min + (recipe.lr - recipe.lr_min) * 0.5 * (1 + math.cos(math.pi * step / steps))
