"""LLaVA's shape with random weights as llama.cpp reads it: real GGUF files made in a moment, no meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIDE, PATCH = 28, 14
WIDTH, INNER, HEADS, LAYERS = 32, 64, 4, 2
CONTEXT = 65_536  # tokens; a server may be told to use less
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def make(folder: Path) -> tuple[Path, Path]:
    """The language model and the eye that belongs to it. Answers differ from picture to picture."""
    folder.mkdir(parents=True, exist_ok=True)
    return _language(folder / "model.gguf"), _vision(folder / "mmproj.gguf")


def _language(file: Path) -> Path:
    import numpy as np
    from gguf import GGUFWriter, TokenType

    special = [("<unk>", TokenType.UNKNOWN), ("<s>", TokenType.CONTROL), ("</s>", TokenType.CONTROL)]
    raw = [(f"<0x{byte:02X}>", TokenType.BYTE) for byte in range(256)]
    letters = [(chr(code), TokenType.NORMAL) for code in range(33, 127)] + [("\u2581", TokenType.NORMAL)]
    tokens = special + raw + letters
    writer = GGUFWriter(file, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)

    numbers = np.random.default_rng(0)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(f"{name}.weight", _random(numbers, shape))

    add("token_embd", len(tokens), WIDTH)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    head = _random(numbers, (len(tokens), WIDTH))
    head[: len(special) + len(raw)] = 0  # it writes ASCII, and on and on
    writer.add_tensor("output.weight", head)
    for block in (f"blk.{layer}" for layer in range(LAYERS)):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"{block}.{name}", WIDTH, WIDTH)
        add(f"{block}.ffn_gate", INNER, WIDTH)
        add(f"{block}.ffn_up", INNER, WIDTH)
        add(f"{block}.ffn_down", WIDTH, INNER)
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{block}.{name}.weight", np.ones(WIDTH, np.float32))
    return _written(writer, file)


def _vision(file: Path) -> Path:
    import numpy as np
    from gguf import GGUFWriter

    writer = GGUFWriter(file, "clip")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", False)
    for name, value in (
        ("image_size", SIDE),
        ("patch_size", PATCH),
        ("embedding_length", WIDTH),
        ("feed_forward_length", INNER),
        ("projection_dim", WIDTH),
        ("attention.head_count", HEADS),
        ("block_count", LAYERS),
    ):
        writer.add_uint32(f"clip.vision.{name}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])

    numbers = np.random.default_rng(1)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(f"{name}.weight", _random(numbers, shape))
        writer.add_tensor(f"{name}.bias", np.zeros(shape[0], np.float32))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(WIDTH, np.float32))

    writer.add_tensor("v.class_embd", _random(numbers, (WIDTH,)))
    writer.add_tensor("v.patch_embd.weight", _random(numbers, (WIDTH, 3, PATCH, PATCH)))
    writer.add_tensor("v.position_embd.weight", _random(numbers, ((SIDE // PATCH) ** 2 + 1, WIDTH)))
    norm("v.pre_ln")
    for block in (f"v.blk.{layer}" for layer in range(LAYERS)):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            add(f"{block}.{name}", WIDTH, WIDTH)
        add(f"{block}.ffn_up", INNER, WIDTH)
        add(f"{block}.ffn_down", WIDTH, INNER)
        norm(f"{block}.ln1")
        norm(f"{block}.ln2")
    add("mm.0", WIDTH, WIDTH)
    add("mm.2", WIDTH, WIDTH)
    return _written(writer, file)


def _random(numbers: Any, shape: tuple[int, ...]) -> Any:
    return (numbers.standard_normal(shape) * 0.3).astype("float32")


def _written(writer: Any, file: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
