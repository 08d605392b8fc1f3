"""Turn words and pictures into rows of tokens with the model's own chat template, and generate the answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from core.entries import one_line
from core.errors import BackendError, printable
from core.vision import GenerationOptions, Reply
from plugins.hf.generation import DecodingOptions, Listener, Sampler, generate
from plugins.vlm.features import PIXELS, EncodedPicture
from plugins.vlm.tools import PROBE, PROBED, Used, called

PER_TOKEN: Final = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")


@dataclass(frozen=True, slots=True)
class TemplateTurn:
    """Pictures, then words, then the answer; None if it is still to come."""

    pictures: tuple[EncodedPicture, ...]
    words: str
    answer: str | None = None
    used: tuple[Used, ...] = ()  # tools that were called between the words and the answer
    tools: tuple[str, ...] = ()  # of the last turn: JSON of the tools that may be called
    begun: str = ""  # of the last turn: how its answer begins


@dataclass(slots=True)
class PromptRow:
    """One conversation, ready for the model; `inputs` has a batch of one."""

    pictures: tuple[EncodedPicture, ...]
    inputs: dict[str, Any] = field(repr=False)
    answer: int = 0  # tokens of an answer at its end, which is to be scored

    def __len__(self) -> int:
        return int(self.inputs["input_ids"].shape[1])


def messages(turns: Sequence[TemplateTurn]) -> list[dict[str, Any]]:
    """The conversation as chat templates read it."""
    chat: list[dict[str, Any]] = []
    for turn in turns:
        content = [*({"type": "image"} for _ in turn.pictures), {"type": "text", "text": turn.words}]
        chat.append({"role": "user", "content": content})
        chat += called(turn.used)
        if turn.answer is not None:
            chat.append({"role": "assistant", "content": [{"type": "text", "text": turn.answer}]})
    return chat


def without_oldest(turns: Sequence[TemplateTurn]) -> list[TemplateTurn]:
    """Without the oldest turn's words; its pictures move to the next one."""
    first, second, *rest = turns
    return [replace(second, pictures=(*first.pictures, *second.pictures)), *rest]


def render(processor: Any, template: str, turns: Sequence[TemplateTurn]) -> str:
    """The prompt with a mark for each picture, open for the answer.

    By the tokenizer, because some processors look at their video half first, which may be missing.
    """
    tools = [json.loads(tool) for tool in turns[-1].tools]
    text: str = processor.tokenizer.apply_chat_template(
        messages(turns), tools=tools or None, chat_template=template, add_generation_prompt=True, tokenize=False
    )
    return text + turns[-1].begun


def has_tools(processor: Any, template: str) -> bool:
    """Whether a template writes down tools, calls and results."""
    tools = (json.dumps(PROBE),)
    try:
        text = render(processor, template, [TemplateTurn((), "What is it?", used=(PROBED[1:],), tools=tools)])
    except Exception:  # noqa: BLE001 - Jinja's own, and whatever a template raises by itself
        return False
    return "A tool." in text and "probed word" in text and "probed result" in text


def try_template(processor: Any, template: str, where: str) -> None:
    """Raise BackendError for a template that omits pictures or cannot render a chat, before any work."""
    picture = EncodedPicture(Image.new("RGB", (28, 28)))
    turns = [TemplateTurn((picture,), "What is it?", "A cat."), TemplateTurn((), "Why?")]
    try:
        text = render(processor, template, turns)
    except Exception as error:  # Jinja's own, and whatever a template raises by itself
        raise BackendError(f"{where} cannot render a chat about a picture: {one_line(error)}.") from error
    mark = getattr(processor, "image_token", None)
    if "Why?" not in text:
        raise BackendError(f"{where} leaves out what is asked; give another one: ?template=FILE.")
    if mark and text.count(mark) != 1:
        raise BackendError(
            f"{where} does not write {printable(mark)} once for a picture; give another: ?template=FILE."
        )


def prepare(processor: Any, template: str, turns: Sequence[TemplateTurn]) -> PromptRow:
    """Raises whatever the template or the processor does."""
    text = render(processor, template, turns)
    pictures = tuple(picture for turn in turns for picture in turn.pictures)
    options: dict[str, Any] = {"return_tensors": "pt"}
    bos = processor.tokenizer.bos_token
    if bos and text.startswith(bos):
        options["add_special_tokens"] = False  # the template wrote it
    inputs = processor(images=[[picture.image for picture in pictures]], text=[text], **options)
    return PromptRow(pictures, dict(inputs))


def batched(rows: Sequence[PromptRow], pad: int, cuts: Sequence[int]) -> dict[str, Any] | None:
    """The rows without pixels as one batch; None if their inputs cannot be combined.

    Each is padded on the left, and so is what comes after its cut: up to there it was read before, and the parts that
    were not begin at one place.
    """
    past = max(cuts)
    longest = max(len(row) - cut for row, cut in zip(rows, cuts, strict=True))
    batch: dict[str, Any] = {}
    for name in rows[0].inputs:
        if name in PIXELS:
            continue
        values = [value for row in rows if isinstance(value := row.inputs.get(name), Tensor)]
        if len(values) < len(rows):
            return None
        if name in PER_TOKEN:
            fill = pad if name == "input_ids" else 0
            values = [_laid(value, cut, past, longest, fill) for value, cut in zip(values, cuts, strict=True)]
        elif len({tuple(value.shape[1:]) for value in values}) > 1:
            if not name.endswith("mask"):
                return None
            continue  # a mask over pixels: the vision tower has used it
        batch[name] = torch.cat(values)
    return batch


def _laid(value: Tensor, cut: int, past: int, longest: int, fill: int) -> Tensor:
    """(1, tokens) -> (1, past + longest)."""
    known, new = value[..., :cut], value[..., cut:]
    padding = [F.pad(part, (size - part.shape[-1], 0), value=fill) for part, size in ((known, past), (new, longest))]
    return torch.cat(padding, dim=-1)


def generate_replies(
    model: Any,
    rows: Sequence[PromptRow],
    inputs: dict[str, Any],
    listener: Listener,
    options: GenerationOptions,
    pad: int,
) -> list[Reply]:
    """An answer per row. The model's own generation settings hold for what `options` leaves open."""
    sampler = None
    if options.temperature > 0:
        top_k = getattr(model.generation_config, "top_k", None) or 0
        decoding = DecodingOptions(
            do_sample=True, temperature=options.temperature, top_p=options.top_p, top_k=top_k, seed=options.seed
        )
        sampler = Sampler(decoding, len(rows))
    generate(model, inputs, listener, sampler, max_new_tokens=options.max_new_tokens, pad_token_id=pad)
    return listener.replies([len(row) for row in rows], options.max_new_tokens)
