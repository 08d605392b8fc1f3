"""`blip2:NAME` as a vision backend: checked before the weights are read, every picture encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.images.picture import Picture
from core.vision import GenerationOptions, VisualQuestion
from plugins.blip2.loading import Blip2LoadOptions, check, load
from plugins.minigpt4.runtime.backend import EngineBackend
from plugins.minigpt4.runtime.conversation import PromptTurns

if TYPE_CHECKING:
    from plugins.hf.generation import DecodingOptions


class Blip2Backend(EngineBackend):
    """A BLIP-2 with OPT or Flan-T5. Raises BackendError if it is missing, incomplete or another model.

    The name may also be the folder of a finished training (`inquisight train blip2`). Options may follow it, as in
    `blip2:DIRECTORY?dtype=bfloat16`: see `Blip2LoadOptions`.
    """

    plugin = "blip2"

    def __init__(self, argument: str | None = None) -> None:
        text, options = Blip2LoadOptions.parse(argument)
        checked = check(text, options)
        loaded = load(checked, options)
        self._image_processor = loaded.image_processor
        self._reused = "its tokens' keys and values are kept" if checked.decoder_only else "its tokens are kept"
        from plugins.blip2 import engine  # imports torch and transformers, which `check` above does without

        kind = engine.OptEngine if checked.decoder_only else engine.T5Engine
        made = kind(loaded.model, loaded.tokenizer, checked.caption, checked.question)
        super().__init__(argument, made, checked.digest, loaded.choices)

    def describe(self) -> dict[str, str]:
        return {
            **super().describe(),
            "model": f"BLIP-2 with {self._choices['language model']}",
            "pictures": f"each is encoded once, {self._reused}",
        }

    def _pixels(self, pictures: Sequence[Picture]) -> Any:
        return self._image_processor([picture.image for picture in pictures], return_tensors="pt").pixel_values

    def _conversation(self, question: VisualQuestion) -> PromptTurns:
        """The picture, the earlier pairs, the question. A plain caption has neither pairs nor words."""
        parts = self._parts(question.image)
        if question.question is None:
            return PromptTurns().ask(*parts)
        conversation = PromptTurns()
        for asked, answered in question.history:
            conversation = conversation.ask(*parts, asked).answered(answered)
            parts = ()
        return conversation.ask(*parts, question.question)

    def _decoding(self, options: GenerationOptions) -> DecodingOptions:
        from plugins.hf.generation import GREEDY

        chosen = replace(GREEDY, max_new_tokens=max(options.max_new_tokens, 1), token_scores=options.token_scores)
        if options.temperature <= 0:
            return chosen
        return replace(chosen, do_sample=True, temperature=options.temperature, top_p=options.top_p, seed=options.seed)
