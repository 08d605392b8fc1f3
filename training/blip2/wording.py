"""Captions and questions as BLIP-2 reads them: the prompt of `plugins.blip2.prompts`, then the text to learn.

OPT: BOS and prompt, then the text and a line break, which ends an answer. Flan-T5: the encoder reads the prompt, the
decoder writes the text and `</s>`. The prompt, the picture's places and padding are no targets, as in `forward` of
LAVIS's `blip2_opt.py` and `blip2_t5.py`; one difference: without a prompt, LAVIS has OPT learn its BOS as well.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from plugins.blip2.prompts import FORMAT, Blip2Rows
from plugins.minigpt4.runtime.conversation import PromptTurns
from training.packing import Words
from training.recipes.blip2 import Blip2Recipe


class Blip2Wording:
    """Texts as token ids; `caption` and `question` are the prompts, `encoder` says that the language model has one."""

    def __init__(self, recipe: Blip2Recipe, tokenizer: Any, *, caption: str, question: str, encoder: bool) -> None:
        self.recipe = recipe
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.end = "" if encoder else FORMAT.end
        self.rows = Blip2Rows(tokenizer, 1 << 30, caption, question=question, encoder=encoder)
        self._prompt_ids = lru_cache(maxsize=10_000)(self._ids)  # prompts repeat

    def words(self, text: str, instruction: str | None = None, draw: str = "") -> Words:
        """Return one sample; `instruction` is the question, without one `text` is a caption. Nothing is drawn."""
        prompt = self.rows.text(PromptTurns().ask(*([instruction] if instruction else [])))
        text = self.rows.plain(text)
        if self.encoder:
            target = tuple(self.tokenizer(text).input_ids)
        else:  # a prompt is continued with a blank; the tokens of words have theirs before them
            continued = f"{' ' if prompt else ''}{text}{self.end}"
            target = tuple(self.tokenizer(continued, add_special_tokens=False).input_ids)
        return Words((), self._prompt_ids(prompt), target[: self.recipe.max_target_tokens])

    def _ids(self, prompt: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(prompt).input_ids)
