"""The prompt format of BLIP-2, and rows of tokens for its language model.

`Question: Q1 Answer: A1. Question: Q2 Answer:` is the form of BLIP-2's own demonstration (LAVIS,
`examples/blip2_instructed_generation.ipynb`); the picture's tokens come before all text. A plain caption has no
question: the text is empty, or "a photo of" for the models that were fine-tuned on COCO. A fine-tuned model may have
another form, such as `Question: {} Short answer:`, which LAVIS gives Flan-T5 for VQA.
"""

from __future__ import annotations

from typing import Any, Final

from plugins.blip2.loading import QUESTION
from plugins.hf.batching import control_tokens, without
from plugins.minigpt4.runtime.conversation import Exchange, Format, PromptTurns
from plugins.minigpt4.runtime.rows import RowWriter, Tokens

# OPT learned that a line ends its answer (`eos_token_id` of LAVIS's `blip2_opt.py`), and continues with
# another question if it does not stop there.
FORMAT: Final = Format(
    name="blip2",
    human="Question: ",
    assistant=" Answer: ",
    opening=" Answer:",
    separator=" ",
    end="\n",
    stops=("Question:", "\n"),
    training="Question: {} Answer:",
    system="",
)
_MARKS: Final = r"\b(?:question|answer)\s*:"


class Blip2Rows(RowWriter):
    """Rows of picture tokens and text, as Blip2Processor writes them. `encoder`: the answer has its own window.

    `caption` is the prompt of a plain caption, `question` that of a question, which replaces `{}`.
    """

    def __init__(
        self, tokenizer: Any, context: int, caption: str = "", *, question: str = QUESTION, encoder: bool = False
    ) -> None:
        super().__init__(tokenizer, FORMAT, context)
        self.caption = caption
        self.question = question
        self.encoder = encoder
        self.forbidden = control_tokens(tokenizer)

    def tokens(self, conversation: PromptTurns) -> list[Tokens]:
        """The pictures, then all text with the special tokens that the tokenizer puts around it."""
        ids: list[int] = self.tokenizer(self.text(conversation)).input_ids
        return [*conversation.pictures, ids]

    def text(self, conversation: PromptTurns) -> str:
        """The prompt. A last exchange of pictures alone asks for a plain caption."""
        *earlier, last = conversation.exchanges
        if not any(isinstance(part, str) for part in last.question):
            return self.caption
        pairs = [f"{self._asked(one)} {self.plain(one.answer or '').rstrip('.')}." for one in earlier]
        return " ".join([*pairs, self._asked(last)])

    def _asked(self, exchange: Exchange) -> str:
        words = " ".join(part for part in exchange.question if isinstance(part, str))
        return self.question.replace("{}", self.plain(words))

    def plain(self, text: str) -> str:
        """On one line and without marks: a new line would end the text, a mark begin another question."""
        return " ".join(without(text, self.forbidden, _MARKS).split())

    def _fit(self, conversation: PromptTurns, limit: int) -> tuple[list[Tokens], int, tuple[str, ...]]:
        return super()._fit(conversation, self.context if self.encoder else limit)
