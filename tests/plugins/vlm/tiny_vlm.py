"""Vision-language models of a few thousand random numbers from four families, saved as people have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import AddedToken
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    MllamaConfig,
    MllamaForConditionalGeneration,
    MllamaImageProcessorPil,
    MllamaProcessor,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from tests.plugins.minigpt4 import tiny

TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}{{ message.role }}: {% for part in message.content %}"
    "{% if part.type == 'image' %}PICTURE{% else %}{{ part.text }}{% endif %}{% endfor %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
TEXT: Final = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}


def make_tokenizer(*special: str) -> PreTrainedTokenizerFast:
    """Every byte has a token, and so has each of `special`."""
    tokenizer = tiny.make_tokenizer()
    tokenizer.add_tokens([AddedToken(text, special=True, normalized=False) for text in special], special_tokens=True)
    return tokenizer


def _finish(model: Any, directory: Path) -> None:
    """Spread logits and pictures, so that greedy decoding does not hang on the last bit of a float."""
    generator = torch.Generator().manual_seed(1)
    gated = any(name.endswith("gate") for name, _ in model.named_parameters())  # whose pictures are strong enough
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("gate"):
                weight.fill_(0.3)  # zero at first, which would shut the pictures out
            elif any(part in name for part in ("vision", "visual", "projector", "connector")) and not gated:
                weight.add_(torch.randn(weight.shape, generator=generator) * (0.3 if weight.ndim > 1 else 0.1))
        model.get_output_embeddings().weight.mul_(4.0)
    model.eval().save_pretrained(directory)


def llava(directory: Path) -> None:
    """LLaVA: one square of patches per picture."""
    tokenizer = make_tokenizer()
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE.replace("PICTURE", "<image>"),
    )
    processor.save_pretrained(directory)
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(vocab_size=len(tokenizer), **TEXT),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
    )
    torch.manual_seed(0)
    _finish(LlavaForConditionalGeneration(config), directory)


def idefics3(directory: Path) -> None:
    """Idefics3, as SmolVLM: a picture is cut into as many tiles as its size asks for, and each gets a place."""
    rows = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    tokenizer = make_tokenizer("<fake_token_around_image>", "<end_of_utterance>", "<global-img>", *rows)
    processor = Idefics3Processor(
        Idefics3ImageProcessorPil(size={"longest_edge": 56}, max_image_size={"longest_edge": 28}),
        tokenizer,
        image_seq_len=4,
        chat_template=TEMPLATE.replace("PICTURE", "<image>"),
    )
    processor.save_pretrained(directory)
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Idefics3Config(
        vision_config=vision | {"image_size": 28, "patch_size": 7},
        text_config=LlamaConfig(vocab_size=len(tokenizer), **TEXT),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    torch.manual_seed(0)
    _finish(Idefics3ForConditionalGeneration(config), directory)


def _sides(shortest: int, longest: int) -> dict[str, int]:
    """Qwen's limits of a picture's size, in pixels."""
    return {"shortest_edge": shortest * shortest, "longest_edge": longest * longest}


def _qwen_files(directory: Path, image_processor: Any) -> tuple[dict[str, int], PreTrainedTokenizerFast]:
    """All but the model, and the ids of its marks. Nothing is written of the video half of the processor."""
    names = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    tokenizer = make_tokenizer(*(f"<|{token}|>" for token in names.values()))
    image_processor.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    mark = "<|vision_start|><|image_pad|><|vision_end|>"
    (directory / "chat_template.jinja").write_text(TEMPLATE.replace("PICTURE", mark))
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>") for name, token in names.items()}
    return ids, tokenizer


def qwen2_vl(directory: Path) -> None:
    """Qwen2-VL: pictures of any shape, positions in three dimensions, a processor that also wants videos."""
    ids, tokenizer = _qwen_files(directory, Qwen2VLImageProcessorPil(size=_sides(28, 84)))
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    config = Qwen2VLConfig(
        vision_config={"depth": 1, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2},
        text_config={"vocab_size": len(tokenizer), "rope_parameters": rope, **TEXT},
        **ids,
    )
    torch.manual_seed(0)
    _finish(Qwen2VLForConditionalGeneration(config), directory)


def mllama(directory: Path) -> None:
    """Llama 3.2 Vision: pictures come in through cross attention, so its vision output cannot be handed on."""
    tokenizer = make_tokenizer("<|image|>", "<|python_tag|>")
    processor = MllamaProcessor(
        MllamaImageProcessorPil(size={"height": 28, "width": 28}),
        tokenizer,
        chat_template=TEMPLATE.replace("PICTURE", "<|image|>"),
    )
    processor.save_pretrained(directory)
    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_global_layers": 1, "attention_heads": 2}
    vision |= {
        "intermediate_size": 64,
        "vision_output_dim": 96,
        "image_size": 28,
        "intermediate_layers_indices": [0, 1],
    }
    text = {**TEXT, "num_hidden_layers": 3, "cross_attention_layers": [1], "vocab_size": len(tokenizer)}
    config = MllamaConfig(
        vision_config=vision, text_config=text, image_token_index=tokenizer.convert_tokens_to_ids("<|image|>")
    )
    torch.manual_seed(0)
    _finish(MllamaForConditionalGeneration(config), directory)


def qwen3_vl(directory: Path) -> None:
    """Qwen3-VL: what the vision tower saw enters the language model at several layers."""
    ids, tokenizer = _qwen_files(directory, Qwen2VLImageProcessorPil(patch_size=16, size=_sides(32, 96)))
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0, "mrope_interleaved": True}
    vision = {"depth": 2, "hidden_size": 32, "out_hidden_size": 64, "num_heads": 2, "intermediate_size": 64}
    config = Qwen3VLConfig(
        vision_config=vision | {"deepstack_visual_indexes": [0, 1], "num_position_embeddings": 36},
        text_config={"vocab_size": len(tokenizer), "rope_parameters": rope, "head_dim": 16, **TEXT},
        **ids,
    )
    torch.manual_seed(0)
    _finish(Qwen3VLForConditionalGeneration(config), directory)


def gemma3(directory: Path) -> None:
    """Gemma 3: a picture's tokens see each other in both directions, which token types tell."""
    base = make_tokenizer("<start_of_image>", "<end_of_image>", "<image_soft_token>")
    named = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=base.backend_tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<unk>",
        extra_special_tokens=named,
    )
    processor = Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": 28, "width": 28}),
        tokenizer,
        chat_template=TEMPLATE.replace("PICTURE", "<start_of_image>"),
        image_seq_length=4,
    )
    processor.save_pretrained(directory)
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Gemma3Config(
        vision_config=vision | {"image_size": 28, "patch_size": 7, "vision_use_head": False},
        text_config={"vocab_size": len(tokenizer), "head_dim": 16, "query_pre_attn_scalar": 16, **TEXT},
        mm_tokens_per_image=4,
        tie_word_embeddings=False,
        image_token_index=tokenizer.convert_tokens_to_ids("<image_soft_token>"),
        boi_token_index=tokenizer.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("<end_of_image>"),
    )
    torch.manual_seed(0)
    _finish(Gemma3ForConditionalGeneration(config), directory)


FAMILIES: Final[dict[str, Callable[[Path], None]]] = {
    "llava": llava,
    "idefics3": idefics3,
    "qwen2_vl": qwen2_vl,
    "mllama": mllama,
}
# Each with one way of its own; compared with plain transformers, not put through everything else.
MORE: Final[dict[str, Callable[[Path], None]]] = {"qwen3_vl": qwen3_vl, "gemma3": gemma3}
LOOK_ONCE: Final = ("llava", "idefics3", "qwen2_vl")
