"""Plan the converted directory: every tensor that transformers expects, each with its source.

Names and shapes come from transformers itself (the model is built without memory, on the meta device), so that no
tensor is forgotten or left random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.errors import BackendError, UsageError, printable
from plugins.minigpt4.convert.llm import LanguageModel
from plugins.minigpt4.convert.pieces import TensorPiece, with_extra_rows
from plugins.minigpt4.convert.projection import Projection
from plugins.minigpt4.convert.vision import IMAGE_SIZE, VisionHalf

_LLM = "language_model."
_PROJECTION = "language_projection."
_LAYERNORM = "vision_model.post_layernorm."
Shapes = dict[str, tuple[int, ...]]
_FULL_PRECISION = ("qformer.", "query_tokens", _PROJECTION)  # transformers keeps the Q-Former in float32 too


@dataclass(frozen=True, slots=True)
class JoinedWeights:
    """The three sources, which fit together."""

    projection: Projection
    llm: LanguageModel
    vision: VisionHalf
    qformer: bool

    @property
    def tokens_per_picture(self) -> int:
        if self.qformer:
            return self.vision.num_query_tokens
        return int((self.vision.vision["image_size"] // self.vision.vision["patch_size"]) ** 2 // 4)


def join(
    projection: Projection, llm: LanguageModel, vision: VisionHalf, *, own: bool, qformer: bool | None = None
) -> JoinedWeights:
    """Choose the variant that the projection is for, and check that the vision half is the right one.

    `qformer` chooses if the projection's width fits both. Raises UsageError, BackendError.
    """
    where = f"--vision {printable(vision.title)}"
    width = vision.vision["hidden_size"]
    hidden = vision.qformer["hidden_size"] if vision.qformer else None
    fits = [
        with_qformer for with_qformer, inputs in ((False, 4 * width), (True, hidden)) if projection.inputs == inputs
    ]
    if len(fits) == 2 and qformer is None:
        raise UsageError(
            f"the projection takes {projection.inputs} numbers per token, and {where} gives as many with its Q-Former "
            "and without (four patches): say --qformer or --no-qformer, as it was trained."
        )
    if qformer in fits or (fits and qformer is None):
        joined = JoinedWeights(projection, llm, vision, qformer=fits[0] if qformer is None else qformer)
    elif fits:
        raise UsageError(
            f"the projection takes {projection.inputs} numbers per token, which are those of {where} "
            f"{'with' if fits[0] else 'without'} its Q-Former: leave {'--qformer' if qformer else '--no-qformer'} out."
        )
    elif hidden is None:
        raise BackendError(
            f"the projection takes {projection.inputs} numbers from a Q-Former, but {where} holds none (query_tokens, "
            "Qformer.bert.*): give blip2_pretrained_flant5xxl.pth beside eva_vit_g.pth."
        )
    else:
        raise BackendError(
            f"the projection takes {projection.inputs} numbers per token, but {where} gives {hidden} (Q-Former) or "
            f"{4 * width} (four patches without it): expected the vision model it was trained "
            "with, BLIP-2's with FlanT5-XXL for the released ones."
        )
    if projection.release is None or own:
        return joined
    if vision.vision["image_size"] != IMAGE_SIZE:
        raise BackendError(
            f"{projection.release.title} expects images of {IMAGE_SIZE} pixels, {where} is a vision model for "
            f"{vision.vision['image_size']} (fine-tuned on COCO?): take Salesforce/blip2-flan-t5-xxl."
        )
    if joined.qformer and vision.from_flan_t5_xxl is False:
        raise BackendError(
            f"{projection.release.title} expects the Q-Former of BLIP-2 with FlanT5-XXL (t5, width 4096), {where} "
            f"has the one for {printable(vision.partner, 60)}: take Salesforce/blip2-flan-t5-xxl or "
            "blip2_pretrained_flant5xxl.pth, "
            "or --own-projection if you trained the projection with this vision model."
        )
    return joined


def expected(joined: JoinedWeights, config: Any) -> Shapes:
    """Name and shape of every tensor of the model that `config` describes."""
    from transformers import Blip2ForConditionalGeneration

    from plugins.minigpt4.runtime.modeling import MiniGPT4WithoutQFormer

    kind = Blip2ForConditionalGeneration if joined.qformer else MiniGPT4WithoutQFormer
    with torch.device("meta"):
        model = kind(config)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if config.text_config.tie_word_embeddings:
        shapes.pop(f"{_LLM}lm_head.weight")  # the embedding table a second time
    return shapes


def pieces(joined: JoinedWeights, config: Any, dtype: torch.dtype) -> list[TensorPiece]:
    """Every tensor to write, ordered by its source file. Raises BackendError if one is missing or unexpected."""
    shapes = expected(joined, config)
    _check_vision(joined, shapes)
    _check_llm(joined, shapes)
    made = []
    for target, shape in shapes.items():
        make, file = _source(joined, target, shape)
        full = target.startswith(_FULL_PRECISION)
        made.append(TensorPiece(target, shape, torch.float32 if full else dtype, make, file))
    order = {file: n for n, file in enumerate((*joined.vision.weights.files, *joined.llm.weights.files))}
    return sorted(made, key=lambda piece: order.get(piece.file, -1) if piece.file else -1)


def _source(
    joined: JoinedWeights, target: str, shape: tuple[int, ...]
) -> tuple[Callable[[], torch.Tensor], Path | None]:
    projection, llm, vision = joined.projection, joined.llm, joined.vision
    part = target.rpartition(".")[2]
    if target.startswith(_PROJECTION):
        fixed = projection.weight if part == "weight" else projection.bias
        return (lambda: fixed), None
    if target.startswith(_LLM):
        name = target.removeprefix(_LLM)

        def from_llm() -> torch.Tensor:
            vision.weights.close()  # its last file would stay mapped beside the language model's
            return _rows(llm.weights.read(name), shape)

        return from_llm, llm.weights.stored[name].file
    if target.startswith(_LAYERNORM) and not joined.qformer:
        plain = _layernorm(projection, shape)[0 if part == "weight" else 1]
        return (lambda: plain), None
    return (lambda: vision.read(target)), vision.weights.stored[vision.sources(target)[0]].file


def _layernorm(projection: Projection, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Without a Q-Former the original never loads `ln_vision`: it stays as it was made, ones and zeros."""
    return projection.layernorm or (torch.ones(shape), torch.zeros(shape))


def _rows(tensor: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The embedding tables have to hold the placeholder too; every other tensor has its shape already."""
    return with_extra_rows(tensor, shape[0]) if tensor.ndim == 2 and tensor.shape[0] < shape[0] else tensor


def _check_vision(joined: JoinedWeights, shapes: Shapes) -> None:
    vision, where = joined.vision, f"--vision {printable(joined.vision.title)}"
    expected = {
        name: shape
        for name, shape in shapes.items()
        if name.startswith(("vision_model.", "qformer.", "query_tokens"))
        and (joined.qformer or not name.startswith(_LAYERNORM))
    }
    sources = {target: vision.sources(target) for target in expected}
    layers = f"a ViT of {vision.vision['num_hidden_layers']} layers"
    if vision.qformer:
        layers += f" and a Q-Former of {vision.qformer['num_hidden_layers']}"
    found = {target: vision.shape(target) for target in expected}
    _compare(where, expected, found, lambda target: " and ".join(sources[target]), layers)
    vision.weights.refuse_quantised((name for names in sources.values() for name in names), where)
    # the Q-Former of a variant that has none is no surplus
    surplus = [name for name in vision.surplus(expected) if joined.qformer or not name.lower().startswith("qformer")]
    if surplus:
        raise BackendError(
            f"{where} holds {len(surplus)} tensors that nothing uses, first {printable(surplus[0], 80)}: expected "
            f"{layers}; its configuration and its weights are of two models."
        )


def _check_llm(joined: JoinedWeights, shapes: Shapes) -> None:
    llm, where = joined.llm, f"--llm {printable(joined.llm.title)}"
    stored = llm.weights.stored
    expected = {name.removeprefix(_LLM): shape for name, shape in shapes.items() if name.startswith(_LLM)}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        if name in expected:  # its rows grow
            expected[name] = (llm.rows, *expected[name][1:])
    found = {name: stored[name].shape if name in stored else None for name in expected}
    layers = f"{llm.config.num_hidden_layers} layers, as its config.json says"
    _compare(where, expected, found, str, layers)
    llm.weights.refuse_quantised(expected, where)
    if surplus := llm.surplus(set(expected)):
        raise BackendError(
            f"{where} holds {len(surplus)} tensors that its config.json has no place for, first "
            f"{printable(surplus[0], 80)}: it is another kind of model, or an adapter was saved with it; take the "
            "plain model."
        )


def _compare(
    where: str,
    expected: Shapes,
    found: dict[str, tuple[int, ...] | None],
    name_of: Callable[[str], str],
    layers: str,
) -> None:
    """Raise BackendError for the first missing tensor, or one of another shape; `name_of` names it as stored."""
    missing = [target for target in expected if found[target] is None]
    if missing:
        raise BackendError(
            f"{where} lacks {len(missing)} of {len(expected)} tensors, first {name_of(missing[0])}: expected {layers}; "
            "files are missing, or one is cut off or another model's."
        )
    for target, shape in expected.items():
        if found[target] != shape:
            raise BackendError(
                f"{where}: expected {name_of(target)} {list(shape)}, found {list(found[target] or ())}: its "
                "config.json and its weights are of two models."
            )
