"""A small reproducible BLIP-2 (OPT): weights, tokenizer, pictures, questions.

Every weight is a function of its name and shape alone (the raw stream of PCG64, which NumPy promises never to change)
and a float16 number, because LAVIS opens OPT in float16. Imported by `run_lavis.py` in this environment and by
`lavis_original.py` in that of salesforce-lavis: NumPy and Pillow only.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

VIT = {"embed_dim": 176, "depth": 2, "num_heads": 2, "mlp_ratio": 2.0}  # heads of 88, as in EVA's ViT-g
QFORMER = {
    "vocab_size": 8,
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 256,
}
OPT = {
    "model_type": "opt",
    "architectures": ["OPTForCausalLM"],
    "hidden_size": 64,
    "word_embed_proj_dim": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "ffn_dim": 128,
    "max_position_embeddings": 256,
    "activation_function": "relu",
    "do_layer_norm_before": True,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "layerdrop": 0.0,
    "pad_token_id": 1,
    "bos_token_id": 2,
    "eos_token_id": 2,
    "torch_dtype": "float16",
}
IMAGE_SIZE = 224
MAX_NEW_TOKENS = 12
TYPE = "pretrain_opt2.7b"
# A plain caption, a question, and one after another: as (history, question) and as BLIP-2 reads them.
QUESTIONS: tuple[tuple[tuple[tuple[str, str], ...], str | None], ...] = (
    ((), None),
    ((), "What is in this image?"),
    ((("Is it red?", "no"),), "Why?"),
)
PROMPTS = ("", "Question: What is in this image? Answer:", "Question: Is it red? Answer: no. Question: Why? Answer:")
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
_WORDS = "Question Answer What Why image this photo is in of red no it the a"


def _bytes() -> list[str]:
    """GPT-2's letters for the 256 bytes, in its order (openai/gpt-2 `src/encoder.py`, `bytes_to_unicode`)."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(code) for code in printed] + [chr(256 + n) for n in range(256 - len(printed))]


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """(ids of the pieces, merges) of a byte-level BPE."""
    ids = {piece: place for place, piece in enumerate((*_SPECIAL, *_bytes()))}
    merges: list[tuple[str, str]] = []
    for word in _WORDS.split():
        for text in (word, f"\u0120{word}"):
            for end in range(1, len(text)):
                if text[: end + 1] not in ids:
                    merges.append((text[:end], text[end]))
                    ids[text[: end + 1]] = len(ids)
    return ids, merges


def opt_config() -> dict[str, Any]:
    """`config.json` of the language model."""
    return {**OPT, "vocab_size": len(vocabulary()[0])}


def write_opt(directory: Path) -> None:
    """The language model's directory without its weights."""
    directory.mkdir(parents=True, exist_ok=True)
    ids, merges = vocabulary()
    settings = {
        "tokenizer_class": "GPT2Tokenizer",
        "add_bos_token": True,
        "bos_token": "</s>",
        "eos_token": "</s>",
        "unk_token": "</s>",
        "pad_token": "<pad>",
    }
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (directory / "vocab.json").write_text(json.dumps(ids), "utf-8")
    (directory / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    (directory / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    (directory / "config.json").write_text(json.dumps(opt_config()), "utf-8")


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float16 numbers for the tensor that LAVIS calls `name`."""
    stream = np.random.PCG64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    raw = np.asarray(stream.random_raw(math.prod(shape)), dtype=np.uint64)
    uniform = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1  # -1 to 1
    values = uniform.reshape(shape) * _scale(name, shape)
    owner, _, last = name.lower().rpartition(".")
    if last == "weight" and ("norm" in owner.rpartition(".")[2] or owner == "ln_vision"):
        values += 1
    if name.endswith("decoder.final_layer_norm.weight"):
        values *= 4  # far from ties: the last bits of a float decide no token
    if name.endswith("embed_tokens.weight"):
        # what is no letter, blank or new line gets logit 0, so that answers can be read and compared as text
        silent = set(range(len(_SPECIAL) + 94, len(_SPECIAL) + 256)) - {vocabulary()[0][one] for one in "\u010a\u0120"}
        values[sorted({*range(len(_SPECIAL)), *silent})] = 0
    return np.asarray(values.astype(np.float16))


def _scale(name: str, shape: tuple[int, ...]) -> float:
    if len(shape) == 1 or name.endswith(("cls_token", "pos_embed")):
        return 0.2
    if name == "query_tokens":
        return 1.0
    if "embed_tokens" in name or "embed_positions" in name:
        return 0.2  # small beside what the layers add: OPT's head is its embedding, and would repeat the last token
    unit = math.sqrt(3 / math.prod(shape[1:]))  # output as large as the input
    # OPT's own parts stronger, so that an answer goes on changing with all that came before
    return unit * {"fc1": math.sqrt(3), "fc2": 3, "q_proj": 3, "k_proj": 3, "v_proj": 3, "out_proj": 3}.get(
        name.rpartition(".")[0].rpartition(".")[2] if name.startswith("opt_model.") else "", 1
    )


def pictures() -> list[Image.Image]:
    """Two pictures of other sizes and proportions than the model's square, so that resizing matters."""
    made = []
    for number, (width, height) in enumerate(((300, 200), (150, 260))):
        y, x = np.mgrid[0:height, 0:width]
        bands = [(x * (1 + number) + y * step) // 2 % 256 for step in (1, 2 + number, 5)]
        bands[number] = np.where((x // 19 + y // 17) % 2 == 0, 230, bands[number])
        made.append(Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8), "RGB"))
    return made
