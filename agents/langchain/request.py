"""The question for a vision model that a conversation makes, and what is reported of its answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from langchain_core.messages.ai import UsageMetadata

from agents.langchain.messages import MessageTurn, about_one_picture, forget_repeated
from agents.structured import answer_as
from core.errors import InquisightError, UsageError
from core.vision import EncodedImage, GenerationOptions, Reply, Tools, VisionBackend, VisualQuestion

log = logging.getLogger("inquisight")

NO_PICTURE: Final = (
    "I have not been shown a picture, and I can only tell what I see. Send one together with your question."
)
NOT_SHOWN: Final = Reply(NO_PICTURE, "no_picture", 0, 0)


@dataclass(slots=True)
class Request:
    """A question for a backend; None if there is no picture and the backend needs one."""

    vision: VisionBackend
    question: VisualQuestion | None
    left_out: list[str]
    schema: Mapping[str, Any] | None = None
    """The JSON Schema that the answer has to fit, if any."""

    def reply(self) -> Reply:
        """The answer. Raises BackendError, and UsageError for a schema that the model cannot fill."""
        if self.schema is not None:
            if self.question is None:
                raise UsageError("an answer that fits a schema needs a picture; send one together with the question")
            return answer_as(self.schema, self.vision, self.question).reply
        if self.question is None:
            return NOT_SHOWN
        [reply] = self.vision.replies([self.question])
        return reply

    def pieces(self) -> Iterator[str | Reply]:
        """The answer in pieces, as `VisionBackend.pieces`; in one piece if it may call tools."""
        if self.schema is None and self.question is not None and self.question.tools is None:
            yield from self.vision.pieces(self.question)
        else:
            reply = self.reply()
            yield reply.text
            yield reply

    def describe(self, reply: Reply, text: str, *, cut: bool) -> tuple[UsageMetadata, dict[str, Any]]:
        """(usage, response metadata) of an answer shown as `text`; `cut`: a stop sequence ended it."""
        read, written, counted = reply.input_tokens, reply.output_tokens, "the model, image tokens included"
        if read is None or written is None:
            counted = "the model's tokenizer, words only" if _counter(self.vision) else "an estimate, words only"
            texts = [] if self.question is None else [self.question.question or "", *sum(self.question.history, ())]
            read, written = sum(count_tokens(self.vision, one) for one in texts), count_tokens(self.vision, text)
        usage = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
        metadata = {"model_name": self.vision.name}
        if reason := "tool_calls" if reply.calls else "stop" if cut else reply.reason:
            metadata["finish_reason"] = reason
        metadata |= {"tokens_counted_by": counted if self.question is not None else "nobody: no model was asked"}
        return usage, metadata | ({"left_out": "; ".join(self.left_out)} if self.left_out else {})


Answered = tuple[Request, Reply | None]  # None: not answered yet


def make_request(
    vision: VisionBackend,
    system: Sequence[str],
    turns: list[MessageTurn],
    options: GenerationOptions,
    tools: Tools | None = None,
) -> Request:
    """`tools`: those that may be called. Raises UsageError if the backend cannot take the pictures."""
    left_out: list[str] = []
    forget_repeated(turns)
    if not vision.interleaves and vision.max_images == 1:
        turns, dropped = about_one_picture(turns)
        if dropped:
            left_out.append(f"{dropped} earlier turn{'s' * (dropped != 1)} about another picture")
    if system and vision.follows_instructions:
        turns[0].words[:0] = system
    elif system:
        left_out.append("the system message, since this model follows no instructions")
    try:
        nothing: EncodedImage | None = vision.together([])  # stands for no picture, where words alone will do
    except InquisightError:
        nothing = None
    places = [(number, image) for number, turn in enumerate(turns) for image in turn.images]
    if not places and nothing is None:
        return Request(vision, None, left_out)
    if not places and not turns[-1].words:
        raise UsageError("there is nothing to answer: the last message has neither words nor a picture.")
    for reason in left_out:
        log.warning("%s was not shown everything: %s was left out.", vision.name, reason)
    later: tuple[tuple[int, EncodedImage], ...] = ()
    if nothing is not None and (not places or (vision.interleaves and places[0][0] > 0)):
        image, later = nothing, tuple(places)
    elif vision.interleaves:
        image, later = places[0][1], tuple(places[1:])
    else:
        image = vision.together([one for _, one in places])
    history = tuple(turn.pair for turn in turns[:-1])
    used = tuple((number, words, tuple(calls)) for number, turn in enumerate(turns) for words, calls in turn.used)
    if tools is not None or used:
        tools = replace(tools or Tools(()), used=used)
    return Request(vision, VisualQuestion(image, turns[-1].pair[0] or None, history, options, later, tools), left_out)


def _counter(vision: VisionBackend) -> Callable[[str], int] | None:
    found = getattr(vision, "count_tokens", None)
    return found if callable(found) else None


def count_tokens(vision: VisionBackend, text: str) -> int:
    counter = _counter(vision)
    return counter(text) if counter else -(-len(text.encode("utf-8", "replace")) // 4)
