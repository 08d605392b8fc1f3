"""Anything that sees as a LangChain chat model: messages with pictures in, an answer out.

    from agents.langchain.model import VisionChatModel

    model = VisionChatModel(vision="pocket")
    said = [{"type": "text", "text": "What is this?"}, {"type": "image", "base64": data, "mime_type": "image/jpeg"}]
    print(model.invoke([HumanMessage(said)]).text)

What becomes of the messages of a conversation is written in docs/langchain.md.
"""

from __future__ import annotations

import difflib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list
from pydantic import Field, PrivateAttr, model_validator

from agents.langchain.batch import CURRENT, CallRow, JoinedCall
from agents.langchain.encode import Known, Looking
from agents.langchain.messages import MessageTurn, Sources, about_one_picture, forget_repeated, read_turns, until
from core.errors import InquisightError, UsageError, printable
from core.registry import get_registry
from core.settings import get_settings
from core.vision import EncodedImage, GenerationOptions, Reply, VisionBackend, VisualQuestion

log = logging.getLogger("inquisight")

NO_PICTURE: Final = (
    "I have not been shown a picture, and I can only tell what I see. Send one together with your question."
)
CHAT_TOKENS: Final = 300  # MiniGPT-4's own limit; for eyes that can hold a chat
_STANDARD: Final = ("timeout", "max_retries", "api_key")  # LangChain's; a remote eye takes its own from the settings
# Standard parameters of other chat models that a vision model cannot honour: accepted, with one warning each.
_NOT_HONOURED: Final = frozenset(
    {
        "n",
        "best_of",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "top_k",
        "min_p",
        "user",
        "store",
        "metadata",
        "service_tier",
        "parallel_tool_calls",
        "reasoning_effort",
        "stream_options",
        "stream_usage",
    }
)
_warned: set[str] = set()
_PER_CALL: Final = ("temperature", "top_p", "max_tokens", "seed", "model", "stream")

_eyes: WeakValueDictionary[str, VisionBackend] = WeakValueDictionary()
_eyes_lock = threading.Lock()


def shared_eye(spec: str) -> VisionBackend:
    """The backend of that name, loaded once for as long as anybody holds it. Raises RegistryError or BackendError."""
    with _eyes_lock:
        eye = _eyes.get(spec)
        if eye is None:
            eye = _eyes[spec] = get_registry().create_vision(spec)
        return eye


INSTEAD: Final = (
    "for tools use the agent (`inquisight ask`, agents.assistant.run), for structure let a language model with "
    "with_structured_output read the answer"
)


class NotOfferedError(UsageError, NotImplementedError):
    """Something that other chat models offer and a vision model does not."""


def _understood(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a constructor or call without those that cannot be honoured, each of which is warned of once."""
    kept: dict[str, Any] = {}
    for name, value in given.items():
        if name in _NOT_HONOURED:
            neutral = value is None or value is False or value in (0, {}, []) or (name == "n" and value == 1)
            if not neutral and name not in _warned:
                _warned.add(name)
                log.warning("a vision model cannot honour %s: it is ignored.", name)
        elif name in ("max_completion_tokens", "max_new_tokens"):
            kept.setdefault("max_tokens", value)
        elif name not in _STANDARD:
            kept[name] = value
    return kept


class VisionChatModel(BaseChatModel):
    """A registered vision backend, or one that is handed over, as a chat model with pictures, streaming and usage.

    It calls no tools and gives no structured output: a model that sees answers in words. Raises InquisightError where
    messages or options cannot work.
    """

    vision: str | VisionBackend = Field(default_factory=lambda: get_settings().vision)
    """A registered name such as "pocket" or "minigpt4:DIRECTORY" (loaded at the first call), or a VisionBackend."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Longest answer; None: 300 for eyes that can hold a chat, 60 for the others."""
    temperature: float = Field(default=0.0, ge=0, le=10)
    """0 decodes greedily."""
    top_p: float = Field(default=0.9, gt=0, le=1)
    seed: int | None = Field(default=None, ge=0)
    stop: list[str] | None = None
    """An answer ends before the first of these."""
    streaming: bool = False
    folder: Path | None = None
    """Pictures may be named by their path in this folder; None: by no path."""
    fetch: Callable[[str], bytes] | None = Field(default=None, exclude=True, repr=False)
    """Gets the bytes behind a web address, at your own policy; None: web addresses are refused."""

    _others: dict[str, VisionBackend] = PrivateAttr(default_factory=dict)
    _known: Known = PrivateAttr(default_factory=OrderedDict)
    _lock: Any = PrivateAttr(default_factory=threading.RLock)

    @model_validator(mode="before")
    @classmethod
    def _only_known_options(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        own = {name: value for name, value in values.items() if name in cls.model_fields}
        values = own | _understood({name: value for name, value in values.items() if name not in own})
        if "model" in values:  # the name other chat models use
            values.setdefault("vision", values.pop("model"))
        for name in values:
            if name not in cls.model_fields:
                close = difflib.get_close_matches(name, cls.model_fields, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise ValueError(f"VisionChatModel has no option {printable(name, 40)!r}{hint}")
        return values

    # ---- what it is ------------------------------------------------------------------------------------------------

    @property
    def eye(self) -> VisionBackend:
        """The backend, loaded when it is first asked for. Raises RegistryError or BackendError."""
        return self._eye(None)

    def _eye(self, other: str | None) -> VisionBackend:
        spec = other or self.vision
        if isinstance(spec, VisionBackend):
            return spec
        with self._lock:
            if spec not in self._others:
                self._others[spec] = shared_eye(spec)
            return self._others[spec]

    @property
    def _spec(self) -> str:
        return self.vision if isinstance(self.vision, str) else self.vision.name

    @property
    def _llm_type(self) -> str:
        return "inquisight-eye"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        chosen = {name: getattr(self, name) for name in ("temperature", "top_p", "max_tokens", "seed")}
        revision = {} if isinstance(self.vision, str) else {"revision": self.vision.revision}
        return {"model_name": self._spec, **revision, **chosen, "stop": self.stop}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = LangSmithParams(
            ls_provider="inquisight",
            ls_model_name=str(kwargs.get("model") or self._spec),
            ls_model_type="chat",
            ls_temperature=kwargs.get("temperature", self.temperature),
        )
        if (most := kwargs.get("max_tokens", self.max_tokens)) is not None:
            params["ls_max_tokens"] = most
        if stop or self.stop:
            params["ls_stop"] = stop or self.stop
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        return ModelProfile(
            text_inputs=True,
            image_inputs=True,
            image_url_inputs=self.fetch is not None,
            text_outputs=True,
            tool_calling=False,
            structured_output=False,
        )

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Not offered. Raises NotOfferedError, which says what to use."""
        raise NotOfferedError(f"{printable(self._spec)} calls no tools: a vision model answers in words; {INSTEAD}.")

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        """Not offered. Raises NotOfferedError, which says what to use."""
        raise NotOfferedError(
            f"{printable(self._spec)} gives no structured output: a vision model answers in words; {INSTEAD}."
        )

    def get_num_tokens(self, text: str) -> int:
        """By the eye's own `count_tokens(text)` where it has one, else estimated: four bytes of UTF-8 are a token."""
        return _count(self.eye, text)

    # ---- answering -------------------------------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        row = CURRENT.get()
        asked, reply = (row.take(self) if row is not None else None) or (self._read(messages, kwargs), None)
        if asked.question is None:
            reply = Reply(NO_PICTURE, "no_picture", 0, 0)
        elif reply is None:
            [reply] = asked.eye.replies([asked.question])
        text, cut = reply.text, False
        if stop := stop or self.stop:
            text = "".join(until(iter([reply.text]), stop))
            cut = len(text) < len(reply.text)
        usage, told = asked.told(reply, text, cut=cut)
        message = AIMessage(content=text, usage_metadata=usage, response_metadata=told)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        asked = self._read(messages, kwargs)
        heard = _Heard()
        text = ""
        for piece in until(heard.words(self._spoken(asked)), stop or self.stop or []):
            if not piece:
                continue
            text += piece
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=piece))
            if run_manager:
                run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk
        cut = heard.reply is None or len(text) < heard.length
        usage, told = asked.told(heard.reply or Reply(text), text, cut=cut)
        last = AIMessageChunk(content="", usage_metadata=usage, response_metadata=told, chunk_position="last")
        yield ChatGenerationChunk(message=last)

    @staticmethod
    def _spoken(asked: _Asked) -> Iterator[str | Reply]:
        """Pieces of the answer; a Reply at the end, if nobody stops listening before."""
        if asked.question is None:
            yield NO_PICTURE
            yield Reply(NO_PICTURE, "no_picture", 0, 0)
        else:
            yield from asked.eye.pieces(asked.question)

    def _read(self, messages: Sequence[BaseMessage], call: Mapping[str, Any]) -> _Asked:
        """Messages and options of a call as a question to the eye. Raises UsageError or ImageError."""
        eye, options = self._called(call)
        system, turns = read_turns(messages)
        with self._lock:
            looking = self._looking(eye)
            looking.open(turns)
            looking.finish()
        return _question(eye, system, turns, options)

    def _called(self, call: Mapping[str, Any]) -> tuple[VisionBackend, GenerationOptions]:
        """Who is asked, and how. Raises UsageError."""
        call = _understood(call)
        unknown = [name for name in call if name not in _PER_CALL]
        if unknown and unknown[0] in ("tools", "tool_choice", "functions", "response_format"):
            raise NotOfferedError(f"a vision model takes no option '{unknown[0]}': it answers in words; {INSTEAD}.")
        if unknown:
            raise UsageError(
                f"an eye takes no option {printable(unknown[0], 40)!r} with a call; it takes {', '.join(_PER_CALL)}."
            )
        eye = self._eye(call.get("model"))
        return eye, self._options(eye, call)

    def _looking(self, eye: VisionBackend) -> Looking:
        return Looking(eye, Sources(self.folder, self.fetch), self._known)

    def _options(self, eye: VisionBackend, call: Mapping[str, Any]) -> GenerationOptions:
        chosen = {
            name: call[name] if call.get(name) is not None else getattr(self, name)
            for name in ("temperature", "top_p", "max_tokens", "seed")
        }
        limits = {"temperature": (0, 10), "top_p": (1e-9, 1), "max_tokens": (1, 1 << 30), "seed": (0, 1 << 63)}
        for name, (least, most) in limits.items():
            value = chosen[name]
            if value is not None and not (isinstance(value, int | float) and least <= value <= most):
                raise UsageError(f"{name} is {printable(value, 40)}, but must be between {least:g} and {most:g}.")
        usual = CHAT_TOKENS if eye.follows_instructions else GenerationOptions().max_new_tokens
        return GenerationOptions(chosen["max_tokens"] or usual, chosen["temperature"], chosen["top_p"], chosen["seed"])

    # ---- many inputs -----------------------------------------------------------------------------------------------

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """What `invoke` gives for each, but the eye answers them together: all, or `max_concurrency` at a time."""
        answers: list[Any] = []
        for one, of_its_own, row in self._rows(inputs, config, kwargs):
            with row.served(answers if return_exceptions else None):
                answers.append(self.invoke(one, of_its_own, **kwargs))
        return answers

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """What `ainvoke` gives for each, but the eye answers them together: all, or `max_concurrency` at a time."""
        answers: list[Any] = []
        for one, of_its_own, row in self._rows(inputs, config, kwargs):
            with row.served(answers if return_exceptions else None):  # the thread that answers inherits the context
                answers.append(await self.ainvoke(one, of_its_own, **kwargs))
        return answers

    def _rows(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None,
        kwargs: Mapping[str, Any],
    ) -> Iterator[tuple[LanguageModelInput, RunnableConfig, CallRow[_Answered]]]:
        """Each input with its configuration and its place among those that are answered together."""
        configs = get_config_list(config, len(inputs)) if inputs else []
        call = {name: value for name, value in kwargs.items() if name != "stop"}
        size = max(1, configs[0].get("max_concurrency") or len(inputs)) if inputs else 1
        for start in range(0, len(inputs), size):
            group = inputs[start : start + size]
            joined = JoinedCall(partial(self._together, group, call) if len(group) > 1 else lambda: [None])
            for place, one in enumerate(group):
                yield one, configs[start + place], CallRow(self, joined, place)

    def _together(self, inputs: Sequence[LanguageModelInput], call: Mapping[str, Any]) -> list[_Answered | None]:
        """One call of the eye for all that can be read; None for the others, which will be read again to tell why.

        Raises InquisightError where the eye fails and would for each of them.
        """
        eye, options = self._called(call)
        talks: dict[int, tuple[list[str], list[MessageTurn]]] = {}
        with self._lock:
            looking = self._looking(eye)
            for place, one in enumerate(inputs):
                with suppress(InquisightError):
                    system, turns = read_turns(self._convert_input(one).to_messages())
                    looking.open(turns)
                    talks[place] = system, turns
            looking.finish()
        asked: dict[int, _Asked] = {}
        for place, (system, turns) in talks.items():
            with suppress(InquisightError):
                asked[place] = _question(eye, system, turns, options)
        questions = {place: one.question for place, one in asked.items() if one.question is not None}
        try:
            replies: Sequence[Reply | None] = eye.replies(list(questions.values())) if len(questions) > 1 else []
        except InquisightError as error:
            if getattr(error, "for_all", False):
                raise
            replies = getattr(error, "replies", [])  # some eyes keep what did come; the rest is asked alone
        known = dict(zip(questions, replies, strict=False))
        return [(asked[place], known.get(place)) if place in asked else None for place in range(len(inputs))]


# ---- the question --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Asked:
    """What an eye is asked; None where there is no picture and it cannot talk without one."""

    eye: VisionBackend
    question: VisualQuestion | None
    left_out: list[str]

    def told(self, reply: Reply, text: str, *, cut: bool) -> tuple[UsageMetadata, dict[str, Any]]:
        """(usage, response metadata) of an answer of which `text` was told; `cut`: a stop sequence ended it."""
        read, written, counted = reply.input_tokens, reply.output_tokens, "the model, image tokens included"
        if read is None or written is None:
            counted = "the model's tokenizer, words only" if _counter(self.eye) else "an estimate, words only"
            texts = [] if self.question is None else [self.question.question or "", *sum(self.question.history, ())]
            read, written = sum(_count(self.eye, one) for one in texts), _count(self.eye, text)
        usage = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
        told = {"model_name": self.eye.name}
        if reason := "stop" if cut else reply.reason:
            told["finish_reason"] = reason
        told |= {"tokens_counted_by": counted if self.question is not None else "nobody: no model was asked"}
        return usage, told | ({"left_out": "; ".join(self.left_out)} if self.left_out else {})


_Answered = tuple[_Asked, Reply | None]  # None: not asked yet


def _question(
    eye: VisionBackend, system: Sequence[str], turns: list[MessageTurn], options: GenerationOptions
) -> _Asked:
    """Raises UsageError where the eye cannot take the pictures."""
    left_out: list[str] = []
    forget_repeated(turns)
    if not eye.interleaves and eye.max_images == 1:
        turns, dropped = about_one_picture(turns)
        if dropped:
            left_out.append(f"{dropped} earlier turn{'s' * (dropped != 1)} about another picture")
    if system and eye.follows_instructions:
        turns[0].words[:0] = system
    elif system:
        left_out.append("the system message, since this eye follows no instructions")
    nothing = _without_picture(eye)
    places = [(number, image) for number, turn in enumerate(turns) for image in turn.images]
    if not places and nothing is None:
        return _Asked(eye, None, left_out)
    if not places and not turns[-1].words:
        raise UsageError("there is nothing to answer: the last message has neither words nor a picture.")
    for reason in left_out:
        log.warning("%s was not shown everything: %s was left out.", eye.name, reason)
    later: tuple[tuple[int, EncodedImage], ...] = ()
    if not places:
        assert nothing is not None
        image = nothing
    elif not eye.interleaves:
        image = eye.together([one for _, one in places])
    elif places[0][0] > 0 and nothing is not None:
        image, later = nothing, tuple(places)
    else:
        image, later = places[0][1], tuple(places[1:])
    history = tuple(turn.pair for turn in turns[:-1])
    return _Asked(eye, VisualQuestion(image, turns[-1].pair[0] or None, history, options, later), left_out)


def _without_picture(eye: VisionBackend) -> EncodedImage | None:
    """What stands for no picture, where the eye can talk in words alone: `together([])` gives it."""
    try:
        return eye.together([])
    except InquisightError:
        return None


# ---- words ---------------------------------------------------------------------------------------------------------


class _Heard:
    """What was heard of an answer, whether or not it was told: a stop sequence may end the telling early."""

    def __init__(self) -> None:
        self.length = 0
        self.reply: Reply | None = None

    def words(self, spoken: Iterator[str | Reply]) -> Iterator[str]:
        """The pieces that are words; the Reply at their end is kept."""
        for piece in spoken:
            if isinstance(piece, Reply):
                self.reply = piece
            else:
                self.length += len(piece)
                yield piece


def _counter(eye: VisionBackend) -> Callable[[str], int] | None:
    found = getattr(eye, "count_tokens", None)
    return found if callable(found) else None


def _count(eye: VisionBackend, text: str) -> int:
    counter = _counter(eye)
    return counter(text) if counter else -(-len(text.encode("utf-8", "replace")) // 4)
