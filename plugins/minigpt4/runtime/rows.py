"""Turn a conversation into one row of tokens for the language model, cut to what fits."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from core.errors import BackendError
from plugins.minigpt4.runtime.conversation import Format, ImageTokens, PromptTurns
from plugins.minigpt4.runtime.prefixes import Key

Tokens = list[int] | ImageTokens


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """The prompt of one conversation."""

    parts: list[Tokens]
    keys: tuple[Key, ...]
    head: int  # length of instructions and first picture
    limit: int  # new tokens
    dropped: int  # oldest exchanges that did not fit
    notices: tuple[str, ...]  # for the user, one sentence each


class RowWriter:
    """Write rows for one tokenizer and format; prompt and answer together never exceed `context` tokens."""

    def __init__(self, tokenizer: Any, format: Format, context: int) -> None:
        self.tokenizer = tokenizer
        self.format = format
        self.context = context
        self.forbidden = tuple(sorted({str(token) for token in tokenizer.all_special_tokens}))

    def tokens(self, conversation: PromptTurns) -> list[Tokens]:
        """Token ids and pictures in order. Each piece of text is tokenised by itself; one BOS, at the very start."""
        bos = self.tokenizer.bos_token or ""
        parts: list[Tokens] = []
        start = [] if self.tokenizer.bos_token_id is None else [int(self.tokenizer.bos_token_id)]
        for part in self.format.render(conversation, bos=bos, forbidden=self.forbidden):
            parts.append(part if isinstance(part, ImageTokens) else [*start, *self._ids(part)])
            start = []
        return parts

    def _ids(self, text: str) -> list[int]:
        """Tokenise each stretch between two BOS by itself, as LLaMA's tokenizer of 2023 did.

        It put a blank before each; newer versions put one before the first only, and `[INST]` would be other tokens.
        """
        bos = self.tokenizer.bos_token
        ids: list[int] = []
        for place, stretch in enumerate(text.split(bos) if bos else [text]):
            ids += [int(self.tokenizer.bos_token_id)] * (place > 0)
            ids += self.tokenizer(stretch, add_special_tokens=False).input_ids
        return ids

    def row(self, conversation: PromptTurns, max_new_tokens: int) -> GenerationRow:
        """Raises BackendError if no question is open or the pictures alone do not fit."""
        if not conversation.exchanges or conversation.exchanges[-1].answer is not None:
            raise BackendError("there is no open question at the end of this conversation.")
        limit = min(max_new_tokens, max(self.context // 2, 1))
        parts, dropped, notices = self._fit(conversation, self.context - limit)
        keys: list[Key] = []
        head = 0
        for part in parts:
            if isinstance(part, ImageTokens):
                keys += [(part.key, place) for place in range(len(part))]
                head = head or len(keys)
            else:
                keys += part
        return GenerationRow(parts, tuple(keys), head or len(keys), limit, dropped, notices)

    def _fit(self, conversation: PromptTurns, limit: int) -> tuple[list[Tokens], int, tuple[str, ...]]:
        """Drop the oldest exchanges' words, then the end of the question; never a picture or the instructions."""

        def fits(candidate: PromptTurns) -> bool:
            return sum(map(len, self.tokens(candidate))) <= limit

        if fits(conversation):
            return self.tokens(conversation), 0, ()
        notices: tuple[str, ...] = ()
        older = len(conversation.exchanges) - 1
        # shorter with every exchange that goes, so the smallest number that fits is found by bisection
        dropped = min(
            bisect_left(range(1, older + 1), True, key=lambda n: fits(conversation.without_oldest(n))) + 1, older
        )
        if dropped:
            conversation = conversation.without_oldest(dropped)
            what = "exchange was" if dropped == 1 else f"{dropped} exchanges were"
            notices += (
                f"the conversation is longer than the {self.context} tokens the model can read: "
                f"the oldest {what} left out; pictures and instructions stay.",
            )
        if not fits(conversation):
            words = sum(len(part) for part in conversation.exchanges[-1].question if isinstance(part, str))
            if not fits(conversation.shortened(0)):
                pictures = len(conversation.pictures)
                raise BackendError(
                    f"{pictures} picture{'s' * (pictures != 1)} and the instructions alone take more than the "
                    f"{limit} tokens left beside the answer; ask about fewer pictures or for a shorter answer."
                )
            kept = bisect_left(range(words + 1), True, key=lambda n: not fits(conversation.shortened(n))) - 1
            conversation = conversation.shortened(max(kept, 0))
            notices += (f"the question is too long: only its first {kept} of {words} characters were read.",)
        return self.tokens(conversation), dropped, notices
