"""What a trainer needs of pocket: its tokenizer in the manner of LLaMA's, and which directories are pocket's.

The trainer tokenises prompt and answer apart, and relies on LLaMA's manner for the pieces to fit together: the first
word of a text counts as one with a space before it, and the space behind "Assistant:" belongs to that mark. There is no
BOS token, because pocket's chat format has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def is_pocket(config: Mapping[str, Any]) -> bool:
    """Whether a model's config.json is one of pocket's."""
    return "pocket_known" in config


def trainer_tokenizer(directory: Path) -> Any:
    """The tokenizer of a directory of pocket's, as a trainer needs it: a `PreTrainedTokenizerFast`."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    words = json.loads((directory / "tokenizer.json").read_text("utf-8"))
    words["pre_tokenizer"]["add_prefix_space"] = True
    for token in words["added_tokens"]:
        token["rstrip"] = token["content"] == "Assistant:"
    settings = json.loads((directory / "tokenizer_config.json").read_text("utf-8"))
    named = {name: settings[name] for name in ("eos_token", "pad_token", "padding_side")}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(words)),
        additional_special_tokens=settings.get("extra_special_tokens", []),
        **named,
    )
