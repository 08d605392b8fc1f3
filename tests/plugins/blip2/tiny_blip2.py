"""BLIP-2s of a few thousand random numbers, one with OPT and one with T5, saved as their makers save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers.processors import TemplateProcessing
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BlipImageProcessorPil,
    OPTConfig,
    PreTrainedTokenizerFast,
    T5Config,
)

from tests.plugins.minigpt4 import tiny
from tests.tiny_models import QFORMER, VISION

QUERIES = 4
SIZE = 28
NEW_LINE = "\u010a"  # how a byte-level tokenizer writes it


def make_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """Every byte has a token; a text begins with BOS for OPT and ends with EOS for T5."""
    tokenizer = tiny.make_tokenizer()
    single, special = ("<s> $A", ("<s>", 1)) if kind == "opt" else ("$A </s>", ("</s>", 2))
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=[special])
    return tokenizer


def make_model(kind: str, seed: int = 0, *, size: int = SIZE, positions: int = 512) -> Blip2ForConditionalGeneration:
    """Random weights, spread so that greedy decoding does not hang on the last bit of a float."""
    tokenizer = make_tokenizer(kind)
    text: dict[str, Any] = {"vocab_size": len(tokenizer), "bos_token_id": 1, "pad_token_id": 0}
    if kind == "opt":
        text |= {"hidden_size": 64, "ffn_dim": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
        text |= {"word_embed_proj_dim": 64, "max_position_embeddings": positions, "init_std": 0.2}
        language = OPTConfig(**text, eos_token_id=tokenizer.convert_tokens_to_ids(NEW_LINE))
    else:
        text |= {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "eos_token_id": 2}
        text |= {"feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0, "n_positions": positions}
        language = T5Config(**text, tie_word_embeddings=False, initializer_factor=2.0)
    config = Blip2Config(
        vision_config=Blip2VisionConfig(**VISION | {"image_size": size}),
        qformer_config=Blip2QFormerConfig(**QFORMER),
        text_config=language,
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    torch.manual_seed(seed)
    model = Blip2ForConditionalGeneration(config).eval()
    with torch.no_grad():
        model.query_tokens.normal_(std=1.0)
        model.language_projection.weight.normal_(std=1.0)
        if kind == "t5":
            model.language_model.lm_head.weight.normal_(std=0.5)
    return model


def save(directory: Path, kind: str, model: Any = None) -> Path:
    """A directory as `Salesforce/blip2-*` are."""
    model = model or make_model(kind)
    model.save_pretrained(directory)
    make_tokenizer(kind).save_pretrained(directory)
    side = model.config.vision_config.image_size
    BlipImageProcessorPil(size={"height": side, "width": side}).save_pretrained(directory)
    return directory
