"""A small reproducible MiniGPT-4: weights, tokenizer, pictures, a conversation.

Every weight is a pure function of its name and shape (the raw stream of PCG64, which NumPy promises never to change)
and is a float16 number, so that no loader rounds it. Names, shapes and file layouts are the original's:
Vision-CAIR/MiniGPT-4 `minigpt4/models/minigpt4.py`, `eva_vit.py`, `Qformer.py`; LLaMA's as transformers saves it.

Imported by `run_minigpt4.py` in this environment and by `minigpt4_original.py` in the original's old one:
NumPy and Pillow only.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

Shapes = dict[str, tuple[int, ...]]

VIT_WIDTH, VIT_DEPTH, VIT_HEADS, PATCH, IMAGE_SIZE = 176, 2, 2, 14, 56  # heads of 88, as in EVA's ViT-g
MLP_RATIO = 4.3637  # `create_eva_vit_g`
QUERIES, QFORMER_WIDTH, QFORMER_DEPTH, QFORMER_HEADS, QFORMER_MLP = 4, 128, 3, 2, 256
LLM_WIDTH, LLM_DEPTH, LLM_HEADS, LLM_MLP, POSITIONS = 64, 2, 4, 160, 1024
MAX_NEW_TOKENS = 12
REPETITION_PENALTY = 1.05  # `answer_prepare`'s default
SPECIAL = ("<unk>", "<s>", "</s>")


@dataclass(frozen=True)
class Variant:
    """One of the original's two models."""

    name: str  # also the conversation format
    qformer: bool
    rms_norm_eps: float
    pad: str | None  # a token of its own at the end of the vocabulary, as Vicuna v0 has it


VARIANTS = (Variant("vicuna", True, 1e-6, "[PAD]"), Variant("llama2", False, 1e-5, None))

# Three turns; an int is a picture. The second one stands in the middle of a sentence.
TURNS: tuple[tuple[str | int, ...], ...] = (
    (0, "What is in this image?"),
    ("Why? Say it in two words:  one, two.\nThe caf\u00e9 at 7 o'clock \u4e16\u754c",),
    ("And", 1, "here: is it the same #1 image?"),
)

# --- the tokenizer --------------------------------------------------------------------------------------------------

# "_" is the blank that LLaMA's tokenizer writes as a letter of its own
_WORDS = """
_the _image _once _provide _it _to _you _will _be _able _see _following _Give _Please _answer _my _questions
_Human _Assistant Human Assistant ImageContent Image Img INST _[ _I _is _in _this _What _Why _Say _two _words _one _The
_And _here _same _a _an _cat _dog _and _on _of _not _with _there _are _red _green ing er on es ed tion
## _## _### </ _< >.
"""


def vocabulary(size: int = 0) -> list[tuple[str, float]]:
    """(piece, score) in the order of their ids, in the manner of LLaMA's: specials, bytes, merges, characters.

    Filled up to `size` pieces with words that no text contains.
    """
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    merges: list[str] = []
    for word in _WORDS.replace("_", "\u2581").split():
        merges += [word[:end] for end in range(2, len(word) + 1) if word[:end] not in merges]
    merges.sort(key=len)  # a piece after those it is put together from
    characters = ["\u2581", *(chr(code) for code in range(33, 127)), "\u00e9"]
    ranked = merges + [character for character in characters if character not in merges]
    blanks = ["\u2581" * length for length in (2, 4)]  # small ids and the lowest score, as in LLaMA's
    ranked += [f"\u2581filler{number}" for number in range(size - len(pieces) - len(blanks) - len(ranked))]
    return [
        *((piece, 0.0) for piece in pieces),
        *((piece, -1e9) for piece in blanks),
        *((piece, -float(rank)) for rank, piece in enumerate(ranked)),
    ]


def vocabulary_size(variant: Variant) -> int:
    """Rows of the embedding table."""
    return len(vocabulary()) + (variant.pad is not None)


def sentencepiece_model(size: int = 0) -> bytes:
    """The content of `tokenizer.model` (needs sentencepiece and protobuf)."""
    from sentencepiece import sentencepiece_model_pb2

    model: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    for place, (piece, score) in enumerate(vocabulary(size)):
        kind = 2 if place == 0 else 3 if place < 3 else 6 if place < 3 + 256 else 1  # unknown, control, byte, normal
        model.pieces.add(piece=piece, score=score, type=kind)
    model.trainer_spec.model_type = 2  # BPE
    model.trainer_spec.vocab_size = len(model.pieces)
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.unk_id, model.trainer_spec.bos_id, model.trainer_spec.eos_id = 0, 1, 2
    model.trainer_spec.pad_id = -1
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = True
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.escape_whitespaces = True
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def tokenizer_files(variant: Variant, size: int = 0) -> dict[str, dict[str, Any]]:
    """The small files beside `tokenizer.model`, as the released language models have them."""
    added = {variant.pad: len(vocabulary(size))} if variant.pad else {}
    settings = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False}
    named: dict[str, Any] = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    if variant.pad:
        named["pad_token"] = variant.pad
    return {
        "tokenizer_config.json": {**settings, **named},
        "special_tokens_map.json": named,
        **({"added_tokens.json": added} if added else {}),
    }


# --- the configuration and the weights ------------------------------------------------------------------------------


def llama_config(variant: Variant) -> dict[str, Any]:
    """`config.json` of the language model, as of 2023."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary_size(variant),
        "hidden_size": LLM_WIDTH,
        "intermediate_size": LLM_MLP,
        "num_hidden_layers": LLM_DEPTH,
        "num_attention_heads": LLM_HEADS,
        "max_position_embeddings": POSITIONS,
        "rms_norm_eps": variant.rms_norm_eps,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "tie_word_embeddings": False,
        "use_cache": True,
        "torch_dtype": "float16",
    }


def llm_shapes(variant: Variant) -> Shapes:
    """Of `pytorch_model.bin`."""
    width, rows = LLM_WIDTH, vocabulary_size(variant)
    shapes: Shapes = {"model.embed_tokens.weight": (rows, width)}
    for layer in range(LLM_DEPTH):
        name = f"model.layers.{layer}."
        shapes |= {f"{name}self_attn.{part}_proj.weight": (width, width) for part in "qkvo"}
        shapes |= {f"{name}mlp.{part}_proj.weight": (LLM_MLP, width) for part in ("gate", "up")}
        shapes[f"{name}mlp.down_proj.weight"] = (width, LLM_MLP)
        shapes |= {f"{name}{part}_layernorm.weight": (width,) for part in ("input", "post_attention")}
    return {**shapes, "model.norm.weight": (width,), "lm_head.weight": (rows, width)}


def vit_shapes() -> Shapes:
    """Of `eva_vit_g.pth`."""
    width, hidden = VIT_WIDTH, int(VIT_WIDTH * MLP_RATIO)
    shapes: Shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, (IMAGE_SIZE // PATCH) ** 2 + 1, width),
        "patch_embed.proj.weight": (width, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (width,),
    }
    for block in range(VIT_DEPTH):
        name = f"blocks.{block}."
        shapes |= {f"{name}norm{n}.{part}": (width,) for n in (1, 2) for part in ("weight", "bias")}
        shapes |= {f"{name}attn.{part}_bias": (width,) for part in "qv"}
        shapes[f"{name}attn.qkv.weight"] = (3 * width, width)
        shapes |= _linear(f"{name}attn.proj", width, width)
        shapes |= {**_linear(f"{name}mlp.fc1", hidden, width), **_linear(f"{name}mlp.fc2", width, hidden)}
    return shapes


def qformer_shapes() -> Shapes:
    """Of `blip2_pretrained_flant5xxl.pth`, without the parts for text, which MiniGPT-4 throws away."""
    width = QFORMER_WIDTH
    shapes: Shapes = {"query_tokens": (1, QUERIES, width), **_norm("ln_vision", VIT_WIDTH)}
    shapes |= _norm("Qformer.bert.embeddings.LayerNorm", width)
    for layer in range(QFORMER_DEPTH):
        name = f"Qformer.bert.encoder.layer.{layer}."
        for attention, seen in (("attention", width), ("crossattention", VIT_WIDTH)):
            if attention == "crossattention" and layer % 2:
                continue
            shapes |= _linear(f"{name}{attention}.self.query", width, width)
            shapes |= _linear(f"{name}{attention}.self.key", width, seen)
            shapes |= _linear(f"{name}{attention}.self.value", width, seen)
            shapes |= _linear(f"{name}{attention}.output.dense", width, width)
            shapes |= _norm(f"{name}{attention}.output.LayerNorm", width)
        shapes |= _linear(f"{name}intermediate_query.dense", QFORMER_MLP, width)
        shapes |= _linear(f"{name}output_query.dense", width, QFORMER_MLP)
        shapes |= _norm(f"{name}output_query.LayerNorm", width)
    return shapes


def projection_shapes(variant: Variant) -> Shapes:
    """Of the released checkpoint."""
    return _linear("llama_proj", LLM_WIDTH, QFORMER_WIDTH if variant.qformer else 4 * VIT_WIDTH)


def _linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def weight(name: str, shape: tuple[int, ...], variant: Variant) -> np.ndarray:
    """float16 numbers for the tensor that the original calls `name`."""
    count = math.prod(shape)
    digest = hashlib.sha256(f"{variant.name} {name}".encode()).digest()
    stream = np.random.PCG64(int.from_bytes(digest[:8], "little"))
    raw = np.asarray(stream.random_raw(count), dtype=np.uint64)
    uniform = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1  # -1 to 1
    values = (uniform.reshape(shape) * _scale(name, shape) + _centre(name)).astype(np.float16)
    if name == "lm_head.weight":
        # what is no text gets logit 0: an answer of random bytes says nothing about the two decoders
        values[: len(SPECIAL) + 256] = 0
        if variant.name == "vicuna":
            values[[piece for piece, _ in vocabulary()].index("\u2581###")] *= 1.7  # some answers end by themselves
    return np.asarray(values)


def _centre(name: str) -> float:
    owner, _, last = name.lower().rpartition(".")
    return float(last == "weight" and ("norm" in owner.rpartition(".")[2] or owner == "ln_vision"))


def _scale(name: str, shape: tuple[int, ...]) -> float:
    last = name.rpartition(".")[2]
    if len(shape) == 1:
        return 0.2
    if last in {"cls_token", "pos_embed"}:
        return 0.02
    unit = math.sqrt(3 / math.prod(shape[1:]))  # output as large as the input
    if name.startswith("patch_embed."):
        return 0.01 * unit
    if name.endswith(("attn.proj.weight", "mlp.fc2.weight")):
        return 0.02 * unit  # small numbers in the ViT, so that the epsilon of the LayerNorm behind it shows
    if name in {"query_tokens", "model.embed_tokens.weight"}:
        return 1.0
    return 5.0 * unit if name == "lm_head.weight" else unit


# --- pictures -------------------------------------------------------------------------------------------------------


def pictures() -> Iterator[Image.Image]:
    """Two pictures, larger than the model's square and of other proportions, so that resizing matters."""
    for number, (width, height) in enumerate(((90, 70), (61, 120))):
        y, x = np.mgrid[0:height, 0:width]
        bands = [(x * (3 + number) + y * step) % 256 for step in (1, 2 + number, 5)]
        bands[number] = np.where((x // 9 + y // 7) % 2 == 0, 230, bands[number])
        yield Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8), "RGB")


# --- what is compared -----------------------------------------------------------------------------------------------


def kept(outputs: dict[str, np.ndarray], *, columns: int = 40) -> dict[str, np.ndarray]:
    """The part of `outputs` that is stored: of logits every position at some tokens (the last whole, as `next`)."""
    small: dict[str, np.ndarray] = {}
    for name, values in outputs.items():
        if name.endswith("/logits"):
            small[f"{name}_some"] = values[:, :: max(values.shape[1] // columns, 1)]
        else:
            small[name] = values
    return small
