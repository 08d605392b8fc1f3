"""A MiniGPT-4 of a few thousand random numbers, with a tokenizer that knows every byte and some longer pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

from plugins.minigpt4.runtime.conversation import ImageTokens
from plugins.minigpt4.runtime.engine import Engine
from plugins.minigpt4.runtime.loading import MEAN, STD
from tests.tiny_models import QFORMER, VISION, byte_tokenizer

QUERIES = 4
SPECIAL = ("<unk>", "<s>", "</s>", "<image>")


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE: any text survives, and a character outside of ASCII takes several tokens."""
    longer = "#+# ##+# H+u m+a ma+n A+s s+i s+t a+n an+t Ġ+t h+e Ġ+a I+m"
    merges = [(left, right) for left, right in (pair.split("+") for pair in longer.split())]
    return byte_tokenizer(
        SPECIAL,
        merges,
        use_regex=False,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<unk>",
        additional_special_tokens=["<image>"],
    )


def make_llama_tokenizer() -> PreTrainedTokenizerFast:
    """As LLaMA's: blanks are written as a letter, what is not in the vocabulary as bytes, a blank begins each text."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    for token in ("▁", "#", "##", "▁##", "▁###", *"abcdefghijklmnopqrstuvwxyz", "üß"):
        vocabulary.setdefault(token, len(vocabulary))
    merges = [("#", "#"), ("▁", "##"), ("▁##", "#")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<unk>"
    )


def make_model(seed: int = 0, *, positions: int = 2048, sure: float = 6.0) -> Blip2ForConditionalGeneration:
    """Random weights; `sure` spreads the logits, so that greedy decoding does not hang on the last bit of a float."""
    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    config = Blip2Config(
        vision_config=Blip2VisionConfig(**VISION),
        qformer_config=Blip2QFormerConfig(**QFORMER),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=positions,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
            initializer_range=0.2,
        ),
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = Blip2ForConditionalGeneration(config).eval()
    with torch.no_grad():
        model.query_tokens.normal_(std=1.0)
        model.language_projection.weight.normal_(std=1.0)
        model.language_model.lm_head.weight.mul_(sure)
    return model


def make_engine(**options: Any) -> Engine:
    """A fresh engine with the same weights each time."""
    model = options.pop("model", None) or make_model()
    return Engine(model, make_tokenizer(), **options)


def pixels(*seeds: int) -> torch.Tensor:
    """One random picture (3, 28, 28) per seed."""
    return torch.stack([torch.randn(3, 28, 28, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def see(engine: Engine, *seeds: int) -> list[ImageTokens]:
    """Encoded random pictures, each alone, so that a batch cannot change the last bit."""
    return [ImageTokens(f"picture {seed}", engine.encode(pixels(seed))[0]) for seed in seeds]


def save(directory: Path, model: Any = None, tokenizer: Any = None) -> Path:
    """A directory as the converter leaves it."""
    (model or make_model()).save_pretrained(directory)
    (tokenizer or make_tokenizer()).save_pretrained(directory)
    import json

    settings = {"image_mean": list(MEAN), "image_std": list(STD), "size": {"height": 28, "width": 28}}
    (directory / "preprocessor_config.json").write_text(json.dumps(settings))
    return directory
