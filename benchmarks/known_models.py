"""Count the parameters of the models that `inquisight doctor` knows, from their published configurations.

    python -m benchmarks.known_models

The models are built on PyTorch's meta device, without weights. Configurations: the `config.json` of each model on the
Hugging Face hub; for MiniGPT-4, BLIP-2's ViT and Q-Former with Vicuna's Llama. The exit code is 1 if a count differs
from the one in `agents/doctor/models.py`.
"""

from __future__ import annotations

import sys
from typing import Any

from agents.doctor.models import KNOWN
from benchmarks.full_size import SIZES
from core.console.silence import hush_libraries


def configurations() -> dict[str, Any]:
    """The configuration of each known model, by its name and title."""
    import transformers as hf

    opt = hf.OPTConfig(
        hidden_size=2560,
        num_hidden_layers=32,
        ffn_dim=10240,
        num_attention_heads=32,
        vocab_size=50304,
        word_embed_proj_dim=2560,
    )
    flan = hf.T5Config(
        d_model=2048,
        d_kv=64,
        d_ff=5120,
        num_layers=24,
        num_heads=32,
        vocab_size=32128,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    clip = hf.CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
    )
    siglip = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 512,
        "patch_size": 16,
    }
    smollm = {
        "model_type": "llama",
        "hidden_size": 960,
        "num_hidden_layers": 32,
        "num_attention_heads": 15,
        "num_key_value_heads": 5,
        "intermediate_size": 2560,
        "vocab_size": 49280,
    }
    qwen = {
        "hidden_size": 2048,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "intermediate_size": 11008,
        "vocab_size": 151936,
        "rope_scaling": {"rope_type": "default", "type": "default", "mrope_section": [16, 24, 24]},
    }
    qwen_vision = {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 2048,
    }
    vicuna = {size: hf.LlamaConfig(vocab_size=32001, **SIZES[size]) for size in ("7b", "13b")}
    return {
        "transformers:HuggingFaceTB/SmolVLM-500M-Instruct": hf.Idefics3Config(
            text_config=smollm, vision_config=siglip, scale_factor=4, tie_word_embeddings=False
        ),
        "transformers:Qwen/Qwen2.5-VL-3B-Instruct": hf.Qwen2_5_VLConfig(
            text_config=qwen, vision_config=qwen_vision, tie_word_embeddings=True
        ),
        "transformers:llava-hf/llava-1.5-7b-hf": hf.LlavaConfig(
            vision_config=clip, text_config=hf.LlamaConfig(vocab_size=32064)
        ),
        "blip2:Salesforce/blip2-opt-2.7b": hf.Blip2Config(text_config=opt),
        "blip2:Salesforce/blip2-flan-t5-xl": hf.Blip2Config(text_config=flan, tie_word_embeddings=False),
        "minigpt4:DIRECTORY with Vicuna-7B": hf.Blip2Config(text_config=vicuna["7b"]),
        "minigpt4:DIRECTORY with Vicuna-13B": hf.Blip2Config(text_config=vicuna["13b"]),
    }


def parameters(config: Any) -> int:
    """The parameters of the model that transformers builds for a configuration; tied ones count once."""
    import torch
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    return sum(one.numel() for one in model.parameters())  # PyTorch lists a shared parameter once


def main() -> int:
    """Print a line for each model; returns the exit code."""
    hush_libraries()
    found, wrong = configurations(), 0
    for known in KNOWN:
        name = f"{known.spec} {known.title}".strip()
        count = parameters(found[name])
        wrong += count != known.parameters
        differs = "" if count == known.parameters else f"   the list says {known.parameters:,}"
        print(f"{name:50} {count:>15,}{differs}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
