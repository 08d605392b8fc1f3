"""BLIP-2's eye (ViT, its LayerNorm, Q-Former, query tokens) in the two layouts it is published in.

* Hugging Face (`Salesforce/blip2-*`): our target's own names.
* LAVIS: `visual_encoder.*`, `ln_vision.*`, `Qformer.bert.*`, `query_tokens`. Its stage-2 checkpoints leave the frozen
  ViT out; that lies in `eva_vit_g.pth`, whose names have no prefix and which has one block more than BLIP-2 uses.

Sources: `lavis/models/eva_vit.py` (39 blocks, heads of 88, `q_bias` and `v_bias` beside a `qkv` without one for the
keys), `lavis/models/blip2_models/blip2.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from core.errors import BackendError, UsageError, printable
from plugins.minigpt4.hub import model_directory
from plugins.minigpt4.sources import Weights, read_json, weight_files

IMAGE_SIZE = 224
_EVA_DEPTH = 39
_EVA_HEAD = 88
_BERT_HEAD = 64
_VISION_FIELDS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
    "qkv_bias",
)
_QFORMER_FIELDS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "max_position_embeddings",
    "layer_norm_eps",
    "cross_attention_frequency",
    "encoder_hidden_size",
)
# Parts for text, which no picture passes through, and the heads of stage 1.
_TEXT_PARTS = re.compile(
    r"\.(intermediate|output)\.(dense|LayerNorm)\.|\.embeddings\.(word_embeddings|position_embeddings|position_ids)|\.cls\."
)
_LAYER = re.compile(r"\.(?:layers?|blocks)\.(\d+)\.")
_LAVIS_VIT = (
    ("embeddings.class_embedding", "cls_token"),
    ("embeddings.position_embedding", "pos_embed"),
    ("embeddings.patch_embedding.", "patch_embed.proj."),
    ("encoder.layers.", "blocks."),
    (".layer_norm1.", ".norm1."),
    (".layer_norm2.", ".norm2."),
    (".self_attn.projection.", ".attn.proj."),
    (".self_attn.qkv.", ".attn.qkv."),
)


@dataclass
class Eye:
    """The vision half: its weights, its sizes, and which BLIP-2 it is from."""

    layout: str  # "huggingface" or "lavis"
    title: str  # as the user named it
    weights: Weights
    vision: dict[str, Any]  # fields of Blip2VisionConfig
    qformer: dict[str, Any] | None  # fields of Blip2QFormerConfig
    num_query_tokens: int
    partner: str | None  # the language model its Q-Former was trained for; None where nothing tells
    from_flan_t5_xxl: bool | None
    vit_prefix: str = "visual_encoder."
    notes: list[str] = field(default_factory=list)
    directory: Path | None = None

    def sources(self, target: str) -> tuple[str, ...]:
        """The names in the files that make up our `target`: one, or the query and value halves of a bias."""
        if self.layout == "huggingface":
            return (target,)
        if target.startswith("vision_model.post_layernorm."):
            return (target.replace("vision_model.post_layernorm.", "ln_vision."),)
        if target.startswith("vision_model."):
            name = target.removeprefix("vision_model.")
            for ours, theirs in _LAVIS_VIT:
                name = name.replace(ours, theirs)
            name = self.vit_prefix + name
            if name.endswith(".attn.qkv.bias"):
                return name.replace("qkv.bias", "q_bias"), name.replace("qkv.bias", "v_bias")
            return (name,)
        if target.startswith("qformer.layernorm."):
            return (target.replace("qformer.layernorm.", "Qformer.bert.embeddings.LayerNorm."),)
        if target.startswith("qformer."):
            return (target.replace("qformer.", "Qformer.bert.", 1).replace("attention.attention.", "attention.self."),)
        return (target,)

    def shape(self, target: str) -> tuple[int, ...] | None:
        """The shape `target` will have; None where something it needs is missing."""
        names = self.sources(target)
        if any(name not in self.weights.stored for name in names):
            return None
        shape = self.weights.stored[names[0]].shape
        return shape if len(names) == 1 else (3 * shape[0],)

    def read(self, target: str) -> torch.Tensor:
        """`target` as it is stored; EVA's keys have no bias, so theirs is zero."""
        names = self.sources(target)
        if len(names) == 1:
            return self.weights.read(names[0])
        query, value = (self.weights.read(name) for name in names)
        return torch.cat([query, torch.zeros_like(query), value])

    def surplus(self, targets: Sequence[str]) -> list[str]:
        """Layers in the files that `targets` leave out, which means that the configuration is another model's."""
        used = {name for target in targets for name in self.sources(target)}
        return [
            name
            for name in self.weights.stored
            if name not in used
            and name.startswith(("vision_model.", "qformer.", "visual_encoder.", "Qformer.bert."))
            and not _TEXT_PARTS.search(name)
            and _LAYER.search(name)
        ]


def open_eye(given: Sequence[str]) -> Eye:
    """What `--vision` names: one directory or hub name, or LAVIS's file or files. Raises UsageError, BackendError."""
    paths = [Path(text).expanduser() for text in given]
    if any(path.is_file() for path in paths):
        for path in paths:
            if not path.is_file():
                raise UsageError(f"--vision {printable(path)} is no file: LAVIS's checkpoints are given as files.")
        return _lavis([path.resolve() for path in paths], ", ".join(given))
    if len(given) != 1:
        raise UsageError("--vision is given twice: only LAVIS's .pth files go together; give one directory.")
    return _huggingface(model_directory(given[0], "--vision", _is_vision), given[0])


def _is_vision(name: str) -> bool:
    return name.startswith(("vision_model.", "qformer.", "query_tokens"))


def _huggingface(directory: Path, title: str) -> Eye:
    where = f"--vision {printable(title)}"
    config = read_json(directory / "config.json")
    if config.get("model_type") != "blip-2":
        raise BackendError(
            f"{where}: expected a BLIP-2 (model_type blip-2), found {printable(config.get('model_type', 'none'), 60)}; "
            "take Salesforce/blip2-flan-t5-xxl."
        )
    files = weight_files(directory, "--vision", _is_vision)
    text = config.get("text_config") or {}
    width = text.get("d_model") or text.get("hidden_size")
    family = str(text.get("model_type", "opt"))
    return Eye(
        layout="huggingface",
        title=title,
        weights=Weights(files),
        vision=_fields(config.get("vision_config"), _VISION_FIELDS),
        qformer=_fields(config.get("qformer_config"), _QFORMER_FIELDS),
        num_query_tokens=int(config.get("num_query_tokens") or 32),
        partner=f"{family}, width {width}" if width else family,
        from_flan_t5_xxl=family == "t5" and width == 4096,
        directory=directory,
    )


def _fields(config: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Only what we know: old files carry dozens of generation settings in each part."""
    return {name: config[name] for name in names if isinstance(config, dict) and config.get(name) is not None}


def _lavis(files: list[Path], title: str) -> Eye:
    where = f"--vision {printable(title)}"
    weights = Weights(files, inside=("model", "state_dict"))
    stored = weights.stored
    prefix = "visual_encoder." if "visual_encoder.cls_token" in stored else ""
    if f"{prefix}cls_token" not in stored:
        raise BackendError(
            f"{where} holds no ViT (visual_encoder.*): LAVIS keeps it in a file of its own; "
            "give that too: --vision ... --vision eva_vit_g.pth."
        )
    notes = []
    depth = _count(stored, f"{prefix}blocks.")
    if not prefix and depth > _EVA_DEPTH:
        notes.append(f"of eva_vit_g's {depth} blocks the first {_EVA_DEPTH} are used, as BLIP-2 does")
        depth = _EVA_DEPTH
    shapes = {}
    for name in ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1.weight"):
        if f"{prefix}{name}" not in stored:
            raise BackendError(
                f"{where}: expected {prefix}{name}, which is missing: the file is cut off or another model's."
            )
        shapes[name] = stored[f"{prefix}{name}"].shape
    width = shapes["cls_token"][-1]
    patch = shapes["patch_embed.proj.weight"][-1]
    if width % _EVA_HEAD:
        raise BackendError(
            f"{where}: expected EVA's ViT-g (width 1408, heads of {_EVA_HEAD}), found a ViT of width {width}; "
            "take blip2_pretrained_flant5xxl.pth and eva_vit_g.pth."
        )
    vision = {
        "hidden_size": width,
        "intermediate_size": shapes["blocks.0.mlp.fc1.weight"][0],
        "num_hidden_layers": depth,
        "num_attention_heads": width // _EVA_HEAD,
        "image_size": math.isqrt(shapes["pos_embed"][1] - 1) * patch,
        "patch_size": patch,
    }
    qformer, queries = _lavis_qformer(weights, width)
    t5 = stored.get("t5_proj.weight")
    opt = stored.get("opt_proj.weight")
    known = t5 or opt
    return Eye(
        layout="lavis",
        title=title,
        weights=weights,
        vision=vision,
        qformer=qformer,
        num_query_tokens=queries,
        partner=f"{'t5' if t5 else 'opt'}, width {known.shape[0]}" if known else None,
        from_flan_t5_xxl=bool(t5 and t5.shape[0] == 4096) if known else None,
        vit_prefix=prefix,
        notes=notes,
    )


def _lavis_qformer(weights: Weights, width: int) -> tuple[dict[str, Any] | None, int]:
    """Sizes read off the tensors, because a LAVIS checkpoint has no configuration of them."""
    stored = weights.stored
    queries = stored.get("query_tokens")
    first = stored.get("Qformer.bert.encoder.layer.0.intermediate_query.dense.weight")
    if queries is None or first is None:
        return None, 0
    depth = _count(stored, "Qformer.bert.encoder.layer.")
    crossing = [n for n in range(depth) if f"Qformer.bert.encoder.layer.{n}.crossattention.self.key.weight" in stored]
    frequency = crossing[1] - crossing[0] if len(crossing) > 1 else max(depth, 1)
    hidden = queries.shape[-1]
    return {
        "hidden_size": hidden,
        "intermediate_size": first.shape[0],
        "num_hidden_layers": depth,
        "num_attention_heads": max(hidden // _BERT_HEAD, 1),
        "cross_attention_frequency": frequency,
        "encoder_hidden_size": width,
    }, queries.shape[1]


def _count(names: Any, prefix: str) -> int:
    """How many numbered layers there are under `prefix`, by the highest number."""
    numbers = [int(name.removeprefix(prefix).partition(".")[0]) for name in names if name.startswith(prefix)]
    return max(numbers, default=-1) + 1
