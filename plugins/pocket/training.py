"""pocket for a trainer: its tokenizer in LLaMA's style, and how to recognise its directories.

The trainer tokenises prompt and answer separately and relies on LLaMA's behaviour: the first word of a text has an
implicit space before it, and the space after "Assistant:" belongs to that token. There is no
BOS token, because pocket's chat format has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def is_pocket(config: Mapping[str, Any]) -> bool:
    """Whether a config.json belongs to a pocket model."""
    return "pocket_known" in config


def trainer_tokenizer(directory: Path) -> Any:
    """The tokenizer of a pocket directory for a trainer, a `PreTrainedTokenizerFast`."""
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
