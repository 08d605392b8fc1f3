"""Score answers with a vision-language model: its prompt with each spelling of each choice behind it, in one pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from plugins.hf.generation import GREEDY_SEARCH
from plugins.hf.scoring import Spelt
from plugins.vlm.features import PIXELS
from plugins.vlm.prompts import PromptRow


def answered(row: PromptRow, ids: Spelt) -> PromptRow:
    """The prompt with the tokens of an answer behind it; every other number of a token is that of the last one."""
    length, count = len(row), len(ids)
    inputs: dict[str, Any] = {}
    for name, value in row.inputs.items():
        if name == "input_ids":
            value = torch.cat([value, torch.tensor([ids])], -1)
        elif isinstance(value, Tensor) and name not in PIXELS and value.ndim > 1 and value.shape[1] == length:
            value = torch.cat([value, *[value[:, -1:]] * count], 1)
        inputs[name] = value
    return PromptRow(row.pictures, inputs, count)


def last_logits(model: Any, arguments: dict[str, Any], count: int, pad: int) -> Tensor:
    """(B, count, V): logits at the last `count` places of rows that are padded on the left, by one pass of `model`.

    generate() prepares the pass, since each model has its own way to number places and to find what it has read.
    """
    found: list[Tensor] = []
    keep = {"logits_to_keep": count} if model._supports_logits_to_keep() else {}

    def listen(_: Any, __: Any, output: Any) -> None:
        found.append(output.logits[:, -count:])

    hook = model.register_forward_hook(listen)
    try:
        model.generate(**arguments, **GREEDY_SEARCH, **keep, max_new_tokens=1, pad_token_id=pad)
    finally:
        hook.remove()
    return found[-1]
