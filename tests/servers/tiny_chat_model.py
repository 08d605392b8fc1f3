"""A chat model with random weights that is made in a second: real files, real code, no meaning."""

from __future__ import annotations

from pathlib import Path

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def make(folder: Path) -> Path:
    """Write a two-layer Llama with a byte-level tokenizer into `folder`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.tiny_models import SERVED_LLAMA, byte_tokenizer

    tokenizer = byte_tokenizer(
        ["<s>", "</s>", "<pad>"], bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template=TEMPLATE
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **SERVED_LLAMA))
    model.generation_config.do_sample = True  # else a server ignores temperature and seed
    model.save_pretrained(folder)
    return folder
