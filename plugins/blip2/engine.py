"""Ask a BLIP-2: each picture is encoded once; with OPT its keys and values serve every question about it.

OPT reads picture and question in one go, left padded, by the engine of MiniGPT-4, which is a BLIP-2 too. Flan-T5 reads
them with an encoder, in which every token sees every other: only the picture's tokens themselves can be reused. Its
rows are padded on the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from transformers.modeling_outputs import BaseModelOutput

from plugins.blip2.loading import QUESTION
from plugins.blip2.prompts import FORMAT, Blip2Rows
from plugins.hf.scoring import Spelt, either, whole
from plugins.minigpt4.runtime.engine import Engine
from plugins.minigpt4.runtime.rows import GenerationRow
from plugins.minigpt4.runtime.scores import Choices

SPELLINGS: Final = 64  # of choices, decoded in one pass


class OptEngine(Engine):
    """A BLIP-2 with a decoder-only language model, and its tokenizer. Thread-safe."""

    encoder = False

    def __init__(self, model: Any, tokenizer: Any, caption: str = "", question: str = QUESTION, **options: Any) -> None:
        super().__init__(model, tokenizer, FORMAT, **options)
        self.rows = Blip2Rows(tokenizer, self.context, caption, question=question, encoder=self.encoder)


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

    def _score(self, groups: Sequence[Sequence[Choices]]) -> list[list[tuple[float, ...]]]:
        """The encoder reads each question once, the decoder the spellings of all choices, `SPELLINGS` in one pass."""
        asked = [one for group in groups for one in group]
        spelt = [(place, ids) for place, one in enumerate(asked) for choice in one.spelt for ids in choice]
        odds: list[float] = []
        with self._computing():
            _, inputs = self._prompt([one.row for one in asked])
            for start in range(0, len(spelt), SPELLINGS):
                odds += self._decode(inputs, spelt[start : start + SPELLINGS])
        found = iter(odds)
        return [
            [tuple(either([next(found) for _ in choice]) for choice in one.spelt) for one in group] for group in groups
        ]

    def _decode(self, inputs: dict[str, Any], spelt: Sequence[tuple[int, Spelt]]) -> list[float]:
        """The log-probability of each spelling, given with the place of its question in `inputs`."""
        begin = int(self.language_model.generation_config.decoder_start_token_id or 0)
        longest = max(len(ids) for _, ids in spelt)
        tokens = [[begin, *ids, *[begin] * (longest - len(ids))] for _, ids in spelt]
        mask, encoded = inputs["attention_mask"], inputs["encoder_outputs"].last_hidden_state
        places = torch.tensor([place for place, _ in spelt], device=mask.device)
        logits = self.language_model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded[places]),
            attention_mask=mask[places],
            decoder_input_ids=torch.tensor(tokens, device=mask.device),
            use_cache=False,
        ).logits.float()
        logits[..., self.suppress_tokens] = -torch.inf
        return [whole(odds, ids, self.closing) for odds, (_, ids) in zip(logits.log_softmax(-1), spelt, strict=True)]
