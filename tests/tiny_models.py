"""What tiny models with random weights are made of: a tokenizer of bytes, and the parts of a BLIP-2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

VISION: Final[dict[str, Any]] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "initializer_range": 0.5,
}
QFORMER: Final[dict[str, Any]] = {
    "vocab_size": 10,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "encoder_hidden_size": 32,
    "initializer_range": 0.3,
}
SERVED_LLAMA: Final[dict[str, Any]] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}


def byte_tokenizer(
    special: Sequence[str], merges: Sequence[tuple[str, str]] = (), *, use_regex: bool = True, **names: Any
) -> PreTrainedTokenizerFast:
    """Byte-level BPE: any text survives, and a character outside of ASCII takes several tokens.

    `names`: of special tokens, as `PreTrainedTokenizerFast` takes them (`eos_token="</s>"`).
    """
    vocabulary = {token: place for place, token in enumerate([*special, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocabulary, list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
