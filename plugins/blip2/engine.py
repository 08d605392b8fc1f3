"""Ask a BLIP-2: each picture is encoded once; with OPT its keys and values serve every question about it.

OPT reads picture and question in one go, left padded, by the engine of MiniGPT-4, which is a BLIP-2 too. Flan-T5 reads
them with an encoder, in which every token sees every other: only the picture's tokens themselves can be reused. Its
rows are padded on the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from transformers.modeling_outputs import BaseModelOutput

from plugins.blip2.prompts import FORMAT, Blip2Rows
from plugins.minigpt4.runtime.engine import Engine
from plugins.minigpt4.runtime.rows import GenerationRow


class OptEngine(Engine):
    """A BLIP-2 with a decoder-only language model, and its tokenizer. Thread-safe."""

    encoder = False

    def __init__(self, model: Any, tokenizer: Any, caption: str = "", **options: Any) -> None:
        super().__init__(model, tokenizer, FORMAT, **options)
        self.rows = Blip2Rows(tokenizer, self.context, caption, encoder=self.encoder)


class T5Engine(OptEngine):
    """A BLIP-2 with Flan-T5, and its tokenizer. Thread-safe."""

    encoder = True

    def _prompt(self, rows: Sequence[GenerationRow]) -> tuple[list[int], dict[str, Any]]:
        """No row to keep, and the encoder's output (B, tokens, hidden), padded on the right, with its mask."""
        longest = max(len(row.keys) for row in rows)
        embeds = [F.pad(self._embed(row, 0, len(row.keys)), (0, 0, 0, longest - len(row.keys))) for row in rows]
        mask = torch.tensor(
            [[1] * len(row.keys) + [0] * (longest - len(row.keys)) for row in rows], device=embeds[0].device
        )
        self.counts.prefills += 1
        self.counts.read += int(mask.sum())
        encoder = self.language_model.get_encoder()
        encoded = encoder(inputs_embeds=torch.stack(embeds), attention_mask=mask).last_hidden_state
        return [], {"encoder_outputs": BaseModelOutput(last_hidden_state=encoded), "attention_mask": mask}
