"""What the directory will hold: every tensor that transformers expects there, each from where it lies now.

The list of names and shapes comes from transformers itself (the model is built without memory, on the meta device), so
nothing can be forgotten or left random.
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
_FULL_PRECISION = ("qformer.", "query_tokens", _PROJECTION)  # transformers keeps the Q-Former in float32 too


@dataclass(frozen=True, slots=True)
class JoinedWeights:
    """The three sources, found to fit together."""

    projection: Projection
    llm: LanguageModel
    eye: VisionHalf
    qformer: bool

    @property
    def tokens_per_picture(self) -> int:
        if self.qformer:
            return self.eye.num_query_tokens
        return int((self.eye.vision["image_size"] // self.eye.vision["patch_size"]) ** 2 // 4)


def join(
    projection: Projection, llm: LanguageModel, eye: VisionHalf, *, own: bool, qformer: bool | None = None
) -> JoinedWeights:
    """Which of the two variants the projection is for, and whether the eye is the right one.

    `qformer` chooses one where the projection's width fits both. Raises UsageError, BackendError.
    """
    where = f"--vision {printable(eye.title)}"
    width = eye.vision["hidden_size"]
    hidden = eye.qformer["hidden_size"] if eye.qformer else None
    fits = [
        with_qformer for with_qformer, inputs in ((False, 4 * width), (True, hidden)) if projection.inputs == inputs
    ]
    if len(fits) == 2 and qformer is None:
        raise UsageError(
            f"the projection takes {projection.inputs} numbers per token, and {where} gives as many with its Q-Former "
            "and without (four patches): say --qformer or --no-qformer, as it was trained."
        )
    if qformer in fits or (fits and qformer is None):
        joined = JoinedWeights(projection, llm, eye, qformer=fits[0] if qformer is None else qformer)
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
            f"{4 * width} (four patches without it): expected the eye it was trained with, "
            "BLIP-2's with FlanT5-XXL for the released ones."
        )
    if projection.release is None or own:
        return joined
    if eye.vision["image_size"] != IMAGE_SIZE:
        raise BackendError(
            f"{projection.release.title} expects pictures of {IMAGE_SIZE} pixels, {where} is an eye for "
            f"{eye.vision['image_size']} (fine-tuned on COCO?): take Salesforce/blip2-flan-t5-xxl."
        )
    if joined.qformer and eye.from_flan_t5_xxl is False:
        raise BackendError(
            f"{projection.release.title} expects the Q-Former of BLIP-2 with FlanT5-XXL (t5, width 4096), {where} "
            "has the one "
            f"for {printable(eye.partner, 60)}: take Salesforce/blip2-flan-t5-xxl or blip2_pretrained_flant5xxl.pth, "
            "or "
            "--own-projection where you trained the projection with this very eye."
        )
    return joined


def expected(joined: JoinedWeights, config: Any) -> dict[str, tuple[int, ...]]:
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
    """Every tensor to write, ordered by the file it lies in. Raises BackendError where one is missing or too many."""
    shapes = expected(joined, config)
    _check_eye(joined, shapes)
    _check_llm(joined, shapes)
    made = []
    for target, shape in shapes.items():
        make, file = _source(joined, target, shape)
        full = target.startswith(_FULL_PRECISION)
        made.append(TensorPiece(target, shape, torch.float32 if full else dtype, make, file))
    order = {file: n for n, file in enumerate((*joined.eye.weights.files, *joined.llm.weights.files))}
    return sorted(made, key=lambda piece: order.get(piece.file, -1) if piece.file else -1)


def _source(
    joined: JoinedWeights, target: str, shape: tuple[int, ...]
) -> tuple[Callable[[], torch.Tensor], Path | None]:
    projection, llm, eye = joined.projection, joined.llm, joined.eye
    part = target.rpartition(".")[2]
    if target.startswith(_PROJECTION):
        fixed = projection.weight if part == "weight" else projection.bias
        return (lambda: fixed), None
    if target.startswith(_LLM):
        name = target.removeprefix(_LLM)

        def from_llm() -> torch.Tensor:
            eye.weights.close()  # its last file would stay mapped beside the language model's
            return _rows(llm.weights.read(name), shape)

        return from_llm, llm.weights.stored[name].file
    if target.startswith(_LAYERNORM) and not joined.qformer:
        plain = _layernorm(projection, shape)[0 if part == "weight" else 1]
        return (lambda: plain), None
    return (lambda: eye.read(target)), eye.weights.stored[eye.sources(target)[0]].file


def _layernorm(projection: Projection, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Without a Q-Former the original never loads `ln_vision`: it stays as it was made, ones and zeros."""
    return projection.layernorm or (torch.ones(shape), torch.zeros(shape))


def _rows(tensor: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The embedding tables have to hold the placeholder too; every other tensor has its shape already."""
    return with_extra_rows(tensor, shape[0]) if tensor.ndim == 2 and tensor.shape[0] < shape[0] else tensor


def _check_eye(joined: JoinedWeights, shapes: dict[str, tuple[int, ...]]) -> None:
    eye, where = joined.eye, f"--vision {printable(joined.eye.title)}"
    targets = [
        name
        for name in shapes
        if name.startswith(("vision_model.", "qformer.", "query_tokens"))
        and (joined.qformer or not name.startswith(_LAYERNORM))
    ]
    found = {target: eye.shape(target) for target in targets}
    missing = [target for target in targets if found[target] is None]
    if missing:
        names = eye.sources(missing[0])
        raise BackendError(
            f"{where} lacks {len(missing)} of {len(targets)} tensors, first {' and '.join(names)}: expected "
            f"{_depths(eye)}; "
            "the file is cut off or another model's."
        )
    for target in targets:
        if found[target] != shapes[target]:
            raise BackendError(
                f"{where}: expected {eye.sources(target)[0]} {list(shapes[target])}, found "
                f"{list(found[target] or ())}: its "
                "configuration and its weights are of two models."
            )
    eye.weights.refuse_quantised((name for target in targets for name in eye.sources(target)), where)
    # the Q-Former of a variant that has none is no surplus
    surplus = [name for name in eye.surplus(targets) if joined.qformer or not name.lower().startswith("qformer")]
    if surplus:
        raise BackendError(
            f"{where} holds {len(surplus)} tensors that nothing uses, first {printable(surplus[0], 80)}: expected "
            f"{_depths(eye)}; its configuration and its weights are of two models."
        )


def _depths(eye: VisionHalf) -> str:
    layers = f"a ViT of {eye.vision['num_hidden_layers']} layers"
    return f"{layers} and a Q-Former of {eye.qformer['num_hidden_layers']}" if eye.qformer else layers


def _check_llm(joined: JoinedWeights, shapes: dict[str, tuple[int, ...]]) -> None:
    llm, where = joined.llm, f"--llm {printable(joined.llm.title)}"
    stored = llm.weights.stored
    wanted = {name.removeprefix(_LLM): shape for name, shape in shapes.items() if name.startswith(_LLM)}
    missing = [name for name in wanted if name not in stored]
    if missing:
        raise BackendError(
            f"{where} lacks {len(missing)} of {len(wanted)} tensors, first {missing[0]}: expected "
            f"{llm.config.num_hidden_layers} layers, as its config.json says; fetch the missing files."
        )
    for name, shape in wanted.items():
        found = stored[name].shape
        grows = name in ("model.embed_tokens.weight", "lm_head.weight")
        right = found == (llm.rows, *shape[1:]) if grows else found == shape
        if not right:
            raise BackendError(
                f"{where}: expected {name} {[llm.rows, *shape[1:]] if grows else list(shape)}, found {list(found)}: "
                "its "
                "config.json and its weights are of two models."
            )
    llm.weights.refuse_quantised(wanted, where)
    if surplus := llm.surplus(set(wanted)):
        raise BackendError(
            f"{where} holds {len(surplus)} tensors that its config.json has no place for, first "
            f"{printable(surplus[0], 80)}: "
            "it is another kind of model, or an adapter was saved with it; take the plain model."
        )
