"""MiniGPT-4's two conversation formats, and ChatML, as pure functions: turns to text segments and pictures.

Facts read from the original's code (Vision-CAIR/MiniGPT-4: `minigpt4/conversation/conversation.py` in its last state
and in the first release of April 2023, `minigpt4/models/minigpt_base.py`, `eval_configs/*.yaml`):

* Vicuna v0: `SYSTEM###Human: <Img>IMAGE</Img> TEXT###Assistant: ANSWER###Human: TEXT###Assistant: `. The open turn
  ends with a space; in April 2023 it did not. Training put one more space before `###Assistant:` (`Format.training`).
* Llama-2: `SYSTEM<s>[INST] <Img>IMAGE</Img> TEXT [/INST] ANSWER<s>[INST] TEXT [/INST] `: every turn begins with its
  own BOS, and no `</s>` follows an earlier answer (training did put one there, `Format.end`).
* ChatML, for other language models, is no format of the original: no system message, and the same words in training.
* The whole prompt is cut at the pictures; each piece is tokenised by itself, only the first one gets a BOS in front.
  Text and picture are joined by one space. Earlier answers are tokenised again, as text.

`benchmarks.parity.run_minigpt4` compares with the original code: prompts, token ids, logits and answers are equal.

On purpose otherwise: the original cuts an answer at the last `Assistant:` it contains, with Llama-2 also at `###` (a
heading), and wrote each of several pictures as a separate Human message; here an answer stays whole and pictures
stand inside the turn's text. Its `min_length` of 1 and its repetition penalty counted a BOS that `generate` put in
front of the answer, so that an answer could be empty; here they count the answer alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from plugins.hf.batching import unmarked

SYSTEM: Final = (
    "Give the following image: <Img>ImageContent</Img>. "
    "You will be able to see the image once I provide it to you. Please answer my questions."
)
IMAGE_START: Final = "<Img>"
IMAGE_END: Final = "</Img>"


@dataclass(frozen=True, slots=True)
class ImageTokens:
    """A picture as the language model gets it: `tokens` is (count, hidden); equal keys mean equal pictures."""

    key: str
    tokens: Any = field(repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.tokens)


Part = str | ImageTokens


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a person said (text and pictures in any order) and the answer; None if it is still to come."""

    question: tuple[Part, ...]
    answer: str | None = None

    @property
    def pictures(self) -> tuple[ImageTokens, ...]:
        return tuple(part for part in self.question if isinstance(part, ImageTokens))


@dataclass(frozen=True, slots=True)
class PromptTurns:
    """Exchanges, oldest first. Only the last one may be without an answer."""

    exchanges: tuple[Exchange, ...] = ()

    def ask(self, *parts: Part) -> PromptTurns:
        """A conversation with one more question. Raises ValueError if the last one has no answer yet."""
        if self.exchanges and self.exchanges[-1].answer is None:
            raise ValueError("the last question has no answer yet: call answered() first")
        return PromptTurns((*self.exchanges, Exchange(parts)))

    def answered(self, answer: str) -> PromptTurns:
        """The same conversation with the last question answered. Raises ValueError if none is open."""
        if not self.exchanges or self.exchanges[-1].answer is not None:
            raise ValueError("no question waits for an answer: call ask() first")
        return PromptTurns((*self.exchanges[:-1], replace(self.exchanges[-1], answer=answer)))

    @property
    def pictures(self) -> tuple[ImageTokens, ...]:
        return tuple(picture for exchange in self.exchanges for picture in exchange.pictures)

    def without_oldest(self, count: int) -> PromptTurns:
        """Without the words of the `count` oldest exchanges. Their pictures move to the oldest remaining one."""
        if count <= 0 or not self.exchanges:
            return self
        count = min(count, len(self.exchanges) - 1)
        orphans = PromptTurns(self.exchanges[:count]).pictures
        first, *rest = self.exchanges[count:]
        return PromptTurns((replace(first, question=(*orphans, *first.question)), *rest))

    def shortened(self, characters: int) -> PromptTurns:
        """With at most so many characters of the last question's text, counted from its beginning; pictures stay."""
        parts: list[Part] = []
        for part in self.exchanges[-1].question:
            if isinstance(part, str):
                part = part[:characters]
                characters -= len(part)
            parts.append(part)
        return PromptTurns((*self.exchanges[:-1], replace(self.exchanges[-1], question=tuple(parts))))


@dataclass(frozen=True, slots=True)
class Format:
    """The text format of a conversation for one language model."""

    name: str
    human: str  # before a person's words; the system sentence and earlier answers end with `separator`
    assistant: str  # before an answer that was given
    opening: str  # before the answer to come
    separator: str
    end: str  # what ends an answer in the training data
    stops: tuple[str, ...]  # text that ends an answer; never part of it
    training: str  # the prompt of stage 2, to be filled with "<Img>IMAGE</Img> INSTRUCTION"
    system: str = SYSTEM
    bos_each_turn: bool = False

    def render(self, conversation: PromptTurns, *, bos: str = "", forbidden: Iterable[str] = ()) -> list[Part]:
        """Strings and pictures in turn: always a string first and last, so n pictures give 2n+1 parts.

        `bos` is the tokenizer's own BOS as text, for formats that begin each turn with one (the very first BOS is not
        text: whoever tokenises puts it there). `forbidden` are more strings to remove from what people and models say.
        """
        forbidden = tuple(forbidden)
        parts: list[Part] = [self.system + self.separator if self.system else ""]
        for exchange in conversation.exchanges:
            _add(parts, (bos if self.bos_each_turn else "") + self.human)
            between = ""
            for part in exchange.question:
                if isinstance(part, str):
                    part = clean(part, forbidden)
                    if part:
                        _add(parts, between + part)
                        between = " "
                else:
                    _add(parts, between + IMAGE_START)
                    parts += [part, IMAGE_END]
                    between = " "
            _add(parts, self.separator)
            if exchange.answer is None:
                _add(parts, self.opening)
            else:
                _add(parts, self.assistant + clean(exchange.answer, forbidden) + self.separator)
        return parts


VICUNA: Final = Format(
    name="vicuna",
    human="Human: ",
    assistant="Assistant: ",
    opening="Assistant: ",
    separator="###",
    end="###",
    stops=("###",),
    training="###Human: {} ###Assistant: ",
)
VICUNA_2023_04: Final = replace(VICUNA, name="vicuna-2023-04", opening="Assistant:")
LLAMA2: Final = Format(
    name="llama2",
    human="[INST] ",
    assistant=" [/INST] ",
    opening=" [/INST] ",
    separator="",
    end="</s>",
    stops=("</s>",),
    training="[INST] {} [/INST] ",
    bos_each_turn=True,
)
CHATML: Final = Format(  # of SmolLM2 and others; the BOS is <|im_start|>, and no system message is written
    name="chatml",
    human="user\n",
    assistant="assistant\n",
    opening="assistant\n",
    separator="<|im_end|>\n<|im_start|>",
    end="<|im_end|>",
    stops=("<|im_end|>",),
    training="user\n{}<|im_end|>\n<|im_start|>assistant\n",
    system="",
)
FORMATS: Final = {each.name: each for each in (VICUNA, VICUNA_2023_04, LLAMA2, CHATML)}

# Whatever could be read as a format's own marks, of all formats at once: nobody needs them in a question.
_MARKS: Final = (
    r"#{3,}",
    r"\b(?:human|assistant)\s*:",
    r"</?img>",
    r"<imagehere>",
    r"</?s>",
    r"<unk>",
    r"<pad>",
    r"<image>",
    r"<\|im_(?:start|end)\|>",
    r"\[/?inst\]",
    r"<</?sys>>",
)


@lru_cache(maxsize=32)
def _marks(forbidden: tuple[str, ...]) -> re.Pattern[str]:
    own = [re.escape(text) for text in sorted(forbidden, key=len, reverse=True) if text.strip()]
    return re.compile("|".join((*_MARKS, *own)), re.IGNORECASE)


def clean(text: str, forbidden: tuple[str, ...] = ()) -> str:
    """Text without role marks, stop strings and `forbidden` ones, and without blanks around it; the rest as it was."""
    # a "#" or "##" at the end would flow into the separator that follows
    return unmarked(text, _marks(forbidden)).strip().rstrip("#").rstrip()


def _add(parts: list[Part], text: str) -> None:
    if parts and isinstance(parts[-1], str):
        parts[-1] += text
    else:
        parts.append(text)
