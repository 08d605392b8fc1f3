"""Small random models in every layout that people possess, and full-size ones that are only headers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaTokenizer,
)

HIDDEN = 32
QFORMER = 128
VIT = 176
IMAGE = 56
QUERIES = 3


def tokenizer(size: int | None = None, **options: Any) -> LlamaTokenizer:
    """LLaMA's kind: byte fallback, `###` as one token; with `size` tokens where that is given."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581"]
    words += [chr(code) for code in range(33, 127)]
    merges = [("#", "#"), ("##", "#"), ("\u2581", "###"), ("I", "m"), ("Im", "g"), ("\u2581", "<"), ("<", "/")]
    words += ["".join(pair) for pair in merges]
    if size:
        words += [f"filler{number}" for number in range(size - len(words))]
    vocabulary = {word: number for number, word in enumerate(words)}
    return LlamaTokenizer(vocab=vocabulary, merges=merges, **options)


def fill(model: torch.nn.Module, seed: int) -> None:
    """Random numbers everywhere: transformers starts BLIP-2's ViT and queries at about zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator) * 0.2
            parameter.copy_(noise + 1 if "norm" in name.lower() and name.endswith("weight") else noise)


def llm(hidden: int = HIDDEN, *, tied: bool = False, vocabulary: int | None = None) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=vocabulary or len(tokenizer()),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
    model = LlamaForCausalLM(config).eval()
    fill(model, 1)
    return model


def save_llm(model: LlamaForCausalLM, directory: Path, layout: str = "safetensors", **tokenizer_options: Any) -> Path:
    """`layout`: safetensors, shards, bin or bin-shards; the last two with what old files carry along."""
    model.save_pretrained(directory, max_shard_size="60KB" if layout == "shards" else "5GB")
    tokenizer(**tokenizer_options).save_pretrained(directory)
    if not layout.startswith("bin"):
        return directory
    (directory / "model.safetensors").unlink()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    if layout == "bin":
        torch.save(state, directory / "pytorch_model.bin")
        return directory
    names = sorted(state)
    half = len(names) // 2
    weight_map = {}
    for number, group in enumerate((names[:half], names[half:]), 1):
        file = f"pytorch_model-0000{number}-of-00002.bin"
        torch.save({name: state[name] for name in group}, directory / file)
        weight_map |= dict.fromkeys(group, file)
    (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return directory


def blip2(text: Any = None, *, queries: int = QUERIES) -> Blip2ForConditionalGeneration:
    """The reference: put together in memory by transformers alone."""
    config = Blip2Config(
        vision_config=Blip2VisionConfig(
            hidden_size=VIT,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=IMAGE,
            patch_size=14,
        ),
        qformer_config=Blip2QFormerConfig(
            hidden_size=QFORMER,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=2,
            encoder_hidden_size=VIT,
        ),
        text_config=text or llm().config,
        num_query_tokens=queries,
        image_token_index=0,
    )
    model = Blip2ForConditionalGeneration(config).eval()
    fill(model, 2)
    with torch.no_grad():
        for layer in model.vision_model.encoder.layers:
            layer.self_attn.qkv.bias[VIT : 2 * VIT] = 0  # EVA has no bias for its keys
    return model


def eye_state(model: Blip2ForConditionalGeneration) -> dict[str, torch.Tensor]:
    keep = ("vision_model.", "qformer.", "query_tokens")
    return {name: value.clone() for name, value in model.state_dict().items() if name.startswith(keep)}


def save_eye(model: Blip2ForConditionalGeneration, directory: Path, layout: str = "safetensors") -> list[str]:
    """The values of `--vision` for the vision half: safetensors, shards, bin, lavis or lavis-two."""
    directory.mkdir(parents=True, exist_ok=True)
    state = eye_state(model)
    if layout.startswith("lavis"):
        return _save_lavis(state, directory, layout)
    config = model.config.to_dict()
    config["text_config"] = {"model_type": "t5", "d_model": 4096}
    (directory / "config.json").write_text(json.dumps(config))
    state["language_projection.weight"] = torch.ones(4, 4)
    state["language_model.shared.weight"] = torch.ones(4, 4)
    if layout == "bin":
        torch.save(state, directory / "pytorch_model.bin")
    elif layout == "safetensors":
        save_file(state, directory / "model.safetensors")
    else:
        names = sorted(state)
        weight_map = {}
        for number in range(3):
            file = f"model-0000{number + 1}-of-00004.safetensors"
            group = [name for n, name in enumerate(names) if n % 3 == number and not name.startswith("language")]
            save_file({name: state[name] for name in group}, directory / file)
            weight_map |= dict.fromkeys(group, file)
        # a shard of the language model alone, which nobody needs to possess
        weight_map["language_model.shared.weight"] = "model-00004-of-00004.safetensors"
        (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return [str(directory)]


def _save_lavis(state: dict[str, torch.Tensor], directory: Path, layout: str) -> list[str]:
    vit: dict[str, torch.Tensor] = {}
    rest: dict[str, torch.Tensor] = {"query_tokens": state["query_tokens"]}
    top = {"class_embedding": "cls_token", "position_embedding": "pos_embed"}
    renamed = {"layer_norm1": "norm1", "layer_norm2": "norm2"}
    for name, value in state.items():
        parts = name.split(".")
        if name.startswith("vision_model.embeddings."):
            vit[top.get(parts[2]) or f"patch_embed.proj.{parts[3]}"] = value
        elif name.startswith("vision_model.post_layernorm."):
            rest[f"ln_vision.{parts[-1]}"] = value
        elif name.startswith("vision_model.encoder."):
            block = f"blocks.{parts[3]}."
            if parts[4:] == ["self_attn", "qkv", "bias"]:
                query, key, value_bias = value.chunk(3)
                assert not key.any(), "EVA has no bias for its keys"
                vit |= {f"{block}attn.q_bias": query.clone(), f"{block}attn.v_bias": value_bias.clone()}
            elif parts[4] == "self_attn":
                vit[f"{block}attn.{'proj' if parts[5] == 'projection' else parts[5]}.{parts[-1]}"] = value
            elif parts[4] == "mlp":
                vit[f"{block}mlp.{parts[5]}.{parts[-1]}"] = value
            else:
                vit[f"{block}{renamed[parts[4]]}.{parts[-1]}"] = value
        elif name.startswith("qformer.layernorm."):
            rest[f"Qformer.bert.embeddings.LayerNorm.{parts[-1]}"] = value
        elif name.startswith("qformer."):
            inner = ".".join(parts[1:]).replace("attention.attention", "attention.self")
            rest[f"Qformer.bert.{inner}"] = value
    rest["Qformer.bert.embeddings.word_embeddings.weight"] = torch.ones(5, 4)
    rest["Qformer.bert.encoder.layer.0.intermediate.dense.weight"] = torch.ones(4, 4)
    rest["t5_proj.weight"] = torch.ones(4096, 1)
    checkpoint = {"optimizer": {"state": {}}, "config": {"model": {"arch": "x"}}, "scaler": {}, "epoch": 9}
    if layout == "lavis":
        rest |= {f"visual_encoder.{name}": value for name, value in vit.items()}
        torch.save({"model": rest, **checkpoint}, directory / "blip2.pth")
        return [str(directory / "blip2.pth")]
    torch.save({"model": rest, **checkpoint}, directory / "blip2_pretrained.pth")
    torch.save(vit, directory / "eva_vit_g.pth")
    return [str(directory / "blip2_pretrained.pth"), str(directory / "eva_vit_g.pth")]


def save_projection(path: Path, weight: torch.Tensor, bias: torch.Tensor | None = None, **more: torch.Tensor) -> Path:
    model = {"llama_proj.weight": weight, **more, "visual_encoder.stray_buffer": torch.ones(2)}
    if bias is not None:
        model["llama_proj.bias"] = bias
    torch.save({"model": model, "optimizer": {"state": {}}, "config": {"run": {}}, "scaler": {}, "epoch": 3}, path)
    return path


def random_projection(path: Path, outputs: int, inputs: int) -> Path:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(outputs, inputs, generator=generator) * 0.1
    return save_projection(path, weight, torch.randn(outputs, generator=generator) * 0.1)


# Full size: files that have a header and a length, and holes where the numbers would be.


def sparse_safetensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    header, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        file.truncate(8 + len(encoded) + offset)
        norm = header.get("model.norm.weight")  # a model of zeros only would be taken for a delta
        if norm:
            begin, end = norm["data_offsets"]
            file.seek(8 + len(encoded) + begin)
            file.write(torch.ones((end - begin) // 2, dtype=torch.float16).numpy().tobytes())


def sparse_llm(directory: Path, **config: Any) -> Path:
    directory.mkdir(parents=True)
    full = LlamaConfig(**config)
    full.save_pretrained(directory)
    with torch.device("meta"):
        model = LlamaForCausalLM(full)
    sparse_safetensors(directory / "model.safetensors", {n: tuple(v.shape) for n, v in model.state_dict().items()})
    tokenizer(full.vocab_size).save_pretrained(directory)
    return directory


VICUNA_7B: dict[str, Any] = {"vocab_size": 32001}
VICUNA_13B: dict[str, Any] = {
    "vocab_size": 32001,
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
}
LLAMA2_7B: dict[str, Any] = {"max_position_embeddings": 4096, "rms_norm_eps": 1e-5}


def sparse_eye(directory: Path, text: dict[str, Any] | None = None, **vision: Any) -> Path:
    """BLIP-2's real sizes; `text` is the language model its Q-Former was trained for."""
    directory.mkdir(parents=True)
    config = Blip2Config(
        vision_config=Blip2VisionConfig(**vision),
        text_config=LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1),
    )
    with torch.device("meta"):
        model = Blip2ForConditionalGeneration(config)
    sparse_safetensors(directory / "model.safetensors", {n: tuple(v.shape) for n, v in eye_state(model).items()})
    written = config.to_dict()
    written["text_config"] = text or {"model_type": "t5", "d_model": 4096}
    (directory / "config.json").write_text(json.dumps(written))
    return directory
