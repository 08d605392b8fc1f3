"""Read BLIP-2's vision half (ViT, its LayerNorm, Q-Former, query tokens) in its two published layouts.

* Hugging Face (`Salesforce/blip2-*`): our target's own names.
* LAVIS: `visual_encoder.*`, `ln_vision.*`, `Qformer.bert.*`, `query_tokens`. Its stage-2 checkpoints leave the frozen
  ViT out; it is in `eva_vit_g.pth`, whose names have no prefix and which has one block more than BLIP-2 uses.

Sources: `lavis/models/eva_vit.py` (39 blocks, `q_bias` and `v_bias` beside a `qkv` without one for the
keys), `lavis/models/blip2_models/blip2.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from core.errors import BackendError, UsageError, printable
from core.files.model_folder import read_json
from plugins.hf.hub import model_files
from plugins.hf.tensors import Tensors

IMAGE_SIZE = 224
_EVA_BLOCKS = 40  # of eva_vit_g.pth; BLIP-2 leaves out the last one
# Parts for text, which pictures do not use, and the heads of stage 1.
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


@dataclass(frozen=True, slots=True)
class VisionPart:
    """The ViT or the Q-Former: the option for its attention heads, and the published model whose heads are known."""

    name: str
    key: str  # in config.json
    option: str
    published: str
    sizes: Mapping[str, int]  # all of them have to be these, the number of layers included
    heads: int


# Sources: `lavis/models/eva_vit.py` (`create_eva_vit_g`), and `init_Qformer` in `lavis/models/blip2_models/blip2.py`,
# which begins with `bert-base-uncased`. Shapes do not show them: the same tensors serve any number of heads.
VIT = VisionPart(
    "ViT",
    "vision_config",
    "--vit-heads",
    "EVA-CLIP ViT-g as BLIP-2 uses it",
    {"hidden_size": 1408, "intermediate_size": 6144, "num_hidden_layers": 39, "patch_size": 14},
    16,
)
QFORMER = VisionPart(
    "Q-Former",
    "qformer_config",
    "--qformer-heads",
    "BLIP-2's, which is BERT-base",
    {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "cross_attention_frequency": 2,
        "encoder_hidden_size": 1408,
    },
    12,
)
_HEADS = "num_attention_heads"


@dataclass
class VisionHalf:
    """The vision half: its weights, its sizes, and which BLIP-2 it is from."""

    layout: str  # "huggingface" or "lavis"
    title: str  # as the user named it
    weights: Tensors
    vision: dict[str, Any]  # fields of Blip2VisionConfig
    qformer: dict[str, Any] | None  # fields of Blip2QFormerConfig
    num_query_tokens: int
    partner: str | None  # the language model its Q-Former was trained for, if known
    from_flan_t5_xxl: bool | None
    vit_prefix: str = "visual_encoder."
    notes: list[str] = field(default_factory=list)
    directory: Path | None = None

    def sources(self, target: str) -> tuple[str, ...]:
        """The stored names of `target`: one, or the query and value halves of a bias."""
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
        """The shape `target` will have; None if a source is missing."""
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

    def settle_heads(self, part: VisionPart, given: int | None) -> str:
        """Fill in the number of attention heads of `part`, and return a note about its source.

        It is read from a configuration, known for a published model, or `given`, never guessed. Raises UsageError.
        """
        sizes = self.vision if part is VIT else self.qformer
        assert sizes is not None, "only a part that is there has heads"
        width, layers = sizes["hidden_size"], sizes["num_hidden_layers"]
        where = f"--vision {printable(self.title)}"
        read = sizes.get(_HEADS)
        if given is not None and read is not None and given != read:
            raise UsageError(
                f"{part.option} {given}, but the config.json of {where} says {read}: leave the option out, or correct "
                "config.json."
            )
        if given is not None:
            heads, source = given, f"as {part.option} says"
        elif read is not None:
            heads, source = read, "as its config.json says"
        elif all(sizes.get(name) == size for name, size in part.sizes.items()):
            heads, source = part.heads, f"because its sizes and depth are those of {part.published}"
        else:
            raise UsageError(
                f"{where} does not say how many attention heads its {part.name} has (width {width}, {layers} layers, "
                f"no published model's): give {part.option} N, the number it was trained with."
            )
        if width % heads:
            raise UsageError(
                f"{where}: {printable(heads, 20)} attention heads do not divide the {part.name}'s width of {width}: "
                f"{f'give another {part.option}' if given is not None else 'its config.json is wrong; fetch it again'}."
            )
        sizes[_HEADS] = heads
        return f"{part.name}: {heads} attention heads, {source}"

    def surplus(self, targets: Iterable[str]) -> list[str]:
        """Layers in the files that `targets` leave out: then the configuration is another model's."""
        used = {name for target in targets for name in self.sources(target)}
        return [
            name
            for name in self.weights.stored
            if name not in used
            and name.startswith(("vision_model.", "qformer.", "visual_encoder.", "Qformer.bert."))
            and not _TEXT_PARTS.search(name)
            and _LAYER.search(name)
        ]


def open_vision(given: Sequence[str]) -> VisionHalf:
    """What `--vision` names: one directory or hub name, or LAVIS's file or files. Raises UsageError, BackendError."""
    paths = [Path(text).expanduser() for text in given]
    if any(path.is_file() for path in paths):
        for path in paths:
            if not path.is_file():
                raise UsageError(f"--vision {printable(path)} is no file: LAVIS's checkpoints are given as files.")
        return _lavis([path.resolve() for path in paths], ", ".join(given))
    if len(given) != 1:
        raise UsageError("--vision is given twice: only LAVIS's .pth files go together; give one directory.")
    return _huggingface(*model_files(given[0], "--vision", _is_vision), given[0])


def _is_vision(name: str) -> bool:
    return name.startswith(("vision_model.", "qformer.", "query_tokens"))


def _huggingface(directory: Path, files: tuple[Path, ...], title: str) -> VisionHalf:
    from transformers import Blip2QFormerConfig, Blip2VisionConfig

    where = f"--vision {printable(title)}"
    config = read_json(directory / "config.json")
    if config.get("model_type") != "blip-2":
        raise BackendError(
            f"{where}: expected a BLIP-2 (model_type blip-2), found {printable(config.get('model_type', 'none'), 60)}; "
            "take Salesforce/blip2-flan-t5-xxl."
        )
    if config.get("quantization_config"):
        raise BackendError(
            f"{where}: expected plain weights, found quantised ones (its config.json has a quantization_config); take "
            "the unquantised model."
        )
    text = config.get("text_config") or {}
    width = text.get("d_model") or text.get("hidden_size")
    family = str(text.get("model_type", "opt"))
    return VisionHalf(
        layout="huggingface",
        title=title,
        weights=Tensors(files),
        vision={
            "image_size": IMAGE_SIZE,
            **_sizes(config, VIT, Blip2VisionConfig.__annotations__, where),
        },
        qformer=_sizes(config, QFORMER, Blip2QFormerConfig.__annotations__, where),
        num_query_tokens=int(config.get("num_query_tokens") or 32),
        partner=f"{family}, width {width}" if width else family,
        from_flan_t5_xxl=family == "t5" and width == 4096,
        directory=directory,
    )


def _sizes(config: Mapping[str, Any], part: VisionPart, names: Iterable[str], where: str) -> dict[str, Any]:
    """The fields `names` only: old files carry dozens of generation settings in each part. Raises BackendError.

    A missing size is the published model's: for years transformers wrote only what differs from it.
    """
    found = config.get(part.key)
    given = {name: found[name] for name in names if isinstance(found, dict) and found.get(name) is not None}
    sizes = {**part.sizes, **given}
    for name in (*part.sizes, _HEADS):
        value = sizes.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BackendError(
                f"{where}: its config.json says {part.key}.{name} = {printable(value, 40)!r}, no whole number above 0; "
                "fetch it again."
            )
    return sizes


def _lavis(files: list[Path], title: str) -> VisionHalf:
    where = f"--vision {printable(title)}"
    weights = Tensors(files, inside=("model", "state_dict"))
    stored = weights.stored
    prefix = "visual_encoder." if "visual_encoder.cls_token" in stored else ""
    if f"{prefix}cls_token" not in stored:
        raise BackendError(
            f"{where} holds no ViT (visual_encoder.*): LAVIS keeps it in a file of its own; "
            "give that too: --vision ... --vision eva_vit_g.pth."
        )
    notes = []
    depth = _count(stored, f"{prefix}blocks.")
    shapes = {}
    for name in ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1.weight"):
        if f"{prefix}{name}" not in stored:
            raise BackendError(
                f"{where}: expected {prefix}{name}, which is missing: the file is cut off or another model's."
            )
        shapes[name] = stored[f"{prefix}{name}"].shape
    width = shapes["cls_token"][-1]
    patch = shapes["patch_embed.proj.weight"][-1]
    vision = {
        "hidden_size": width,
        "intermediate_size": shapes["blocks.0.mlp.fc1.weight"][0],
        "num_hidden_layers": depth,
        "image_size": math.isqrt(shapes["pos_embed"][1] - 1) * patch,
        "patch_size": patch,
    }
    whole = {**VIT.sizes, "num_hidden_layers": _EVA_BLOCKS}
    if not prefix and all(vision[name] == size for name, size in whole.items()):
        vision["num_hidden_layers"] -= 1
        notes.append(f"of eva_vit_g's {depth} blocks the first {depth - 1} are used, as BLIP-2 does")
    qformer, queries = _lavis_qformer(weights, width)
    _read_heads(files[0].with_name("config.json"), vision, qformer)
    t5 = stored.get("t5_proj.weight")
    opt = stored.get("opt_proj.weight")
    known = t5 or opt
    return VisionHalf(
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


def _lavis_qformer(weights: Tensors, width: int) -> tuple[dict[str, Any] | None, int]:
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
        "cross_attention_frequency": frequency,
        "encoder_hidden_size": width,
    }, queries.shape[1]


def _read_heads(file: Path, vision: dict[str, Any], qformer: dict[str, Any] | None) -> None:
    """From `file`, a configuration in BLIP-2's layout, if it is for parts of these widths."""
    config = read_json(file) if file.is_file() else {}
    for part, sizes in ((VIT, vision), (QFORMER, qformer)):
        read = _sizes(config, part, ("hidden_size", _HEADS), printable(file))
        if sizes and _HEADS in read and read["hidden_size"] == sizes["hidden_size"]:
            sizes[_HEADS] = read[_HEADS]


def _count(names: Any, prefix: str) -> int:
    """How many numbered layers there are under `prefix`, by the highest number."""
    numbers = [int(name.removeprefix(prefix).partition(".")[0]) for name in names if name.startswith(prefix)]
    return max(numbers, default=-1) + 1
