"""A vision model as a LangChain chat model: messages with pictures in, an answer out.

    from agents.langchain.model import VisionChatModel

    model = VisionChatModel(vision="pocket")
    said = [{"type": "text", "text": "What is this?"}, {"type": "image", "base64": data, "mime_type": "image/jpeg"}]
    print(model.invoke([HumanMessage(said)]).text)

docs/langchain.md says how the messages of a conversation are read.
"""

from __future__ import annotations

import difflib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr, model_validator

from agents.langchain.batch import CURRENT, CallRow
from agents.langchain.encode import KnownImages, PictureEncoder
from agents.langchain.messages import MessageTurn, Sources, read_turns, until
from agents.langchain.request import Answered, Request, count_tokens, make_request
from agents.langchain.schemas import call_chunks, schema_of, tool_calls, tools_of, with_schema
from core.errors import InquisightError, UsageError, printable
from core.registry import get_registry
from core.settings import get_settings
from core.vision import CHAT_TOKENS, SHORT_TOKENS, GenerationOptions, Reply, VisionBackend

log = logging.getLogger("inquisight")

_STANDARD: Final = ("timeout", "max_retries", "api_key")  # LangChain's; a remote model takes them from the settings
# Standard parameters of other chat models that a vision model cannot honour: accepted, with one warning each.
_NOT_HONOURED: Final = frozenset(
    (
        "n best_of presence_penalty frequency_penalty repetition_penalty logit_bias logprobs top_logprobs top_k min_p "
        "user store metadata service_tier parallel_tool_calls reasoning_effort stream_options stream_usage"
    ).split()
)
_warned: set[str] = set()
_LIMITS: Final = {"temperature": (0, 10), "top_p": (1e-9, 1), "max_tokens": (1, 1 << 30), "seed": (0, 1 << 63)}
_PER_CALL: Final = (*_LIMITS, "model", "stream")

_loaded: WeakValueDictionary[str, VisionBackend] = WeakValueDictionary()
_loading = threading.Lock()


def shared_vision(spec: str) -> VisionBackend:
    """The backend of that name, loaded once for as long as it is in use. Raises RegistryError or BackendError."""
    with _loading:
        vision = _loaded.get(spec)
        if vision is None:
            vision = _loaded[spec] = get_registry().create_vision(spec)
        return vision


INSTEAD: Final = "use it as a tool of the agent (`inquisight ask`, agents.assistant.run)"


class NotOfferedError(UsageError, NotImplementedError):
    """A feature of other chat models that a vision model does not have."""


def _understood(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a constructor or call without those that cannot be honoured, with one warning for each."""
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
    """A vision backend, by its registered name or as an object, as a chat model with pictures, streaming and usage.

    It calls tools if the vision model's chat template has them. Raises InquisightError if messages or options cannot
    work.
    """

    vision: str | VisionBackend = Field(default_factory=lambda: get_settings().vision)
    """A registered name such as "pocket" or "minigpt4:DIRECTORY" (loaded at the first call), or a VisionBackend."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Longest answer; None: 300 for models that can hold a chat, 60 for the others."""
    temperature: float = Field(default=0.0, ge=0, le=10)
    """0 decodes greedily."""
    top_p: float = Field(default=0.9, gt=0, le=1)
    seed: int | None = Field(default=None, ge=0)
    stop: list[str] | None = None
    """Stop sequences; an answer ends before the first of them."""
    streaming: bool = False
    folder: Path | None = None
    """Pictures may be named by their path in this folder; None: by no path."""
    fetch: Callable[[str], bytes] | None = Field(default=None, exclude=True, repr=False)
    """Returns the bytes behind a web address, after your own policy; None: web addresses are refused."""

    _others: dict[str, VisionBackend] = PrivateAttr(default_factory=dict)
    _known: KnownImages = PrivateAttr(default_factory=KnownImages)
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
    def backend(self) -> VisionBackend:
        """The vision backend, loaded at its first use. Raises RegistryError or BackendError."""
        return self._backend(None)

    def _backend(self, other: str | None) -> VisionBackend:
        spec = other or self.vision
        if isinstance(spec, VisionBackend):
            return spec
        with self._lock:
            if spec not in self._others:
                self._others[spec] = shared_vision(spec)
            return self._others[spec]

    @property
    def _spec(self) -> str:
        return self.vision if isinstance(self.vision, str) else self.vision.name

    @property
    def _llm_type(self) -> str:
        return "inquisight-vision"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        chosen = {name: getattr(self, name) for name in _LIMITS}
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
            tool_calling=isinstance(self.vision, VisionBackend) and self.vision.calls_tools,
            structured_output=True,
        )

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """A runnable that may call `tools`: functions, Pydantic classes, or dicts in OpenAI's form.

        Loads the model. Raises NotOfferedError, which says what to use instead, if its chat template has no tools.
        """
        if not self.backend.calls_tools:
            raise NotOfferedError(f"{printable(self._spec)} calls no tools; {INSTEAD}.")
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Runnable[Any, Any]:
        """A runnable whose answers fit `schema`: a Pydantic class, a TypedDict, or a JSON Schema with a title.

        Answers are instances of the class, otherwise dicts; `include_raw` gives {"raw", "parsed", "parsing_error"}.
        The call raises BackendError if no answer of the model fits (see `agents.structured`). `method` and `strict` are
        ignored.
        """
        if unknown := set(kwargs) - {"method", "strict"}:
            raise UsageError(f"with_structured_output has no option {printable(min(unknown), 40)!r}; see its docstring")
        return with_schema(self, schema, include_raw=include_raw)

    def get_num_tokens(self, text: str) -> int:
        """By the backend's `count_tokens(text)` if it has one, else estimated: four bytes of UTF-8 are a token."""
        return count_tokens(self.backend, text)

    # ---- answering -------------------------------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        row = CURRENT.get()
        request, reply = (row.take(self) if row is not None else None) or (self._read(messages, kwargs), None)
        reply = reply or request.reply()
        text = "".join(until(iter([reply.text]), stop or self.stop or []))
        usage, metadata = request.describe(reply, text, cut=len(text) < len(reply.text))
        message = AIMessage(
            content=text, usage_metadata=usage, response_metadata=metadata, tool_calls=tool_calls(reply)
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        request = self._read(messages, kwargs)
        length, reply, text = 0, None, ""

        def words() -> Iterator[str]:
            nonlocal length, reply
            for piece in request.pieces():
                if isinstance(piece, Reply):
                    reply = piece
                else:
                    length += len(piece)
                    yield piece

        for piece in filter(None, until(words(), stop or self.stop or [])):
            text += piece
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=piece))
            if run_manager:
                run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk
        usage, metadata = request.describe(reply or Reply(text), text, cut=reply is None or len(text) < length)
        last = AIMessageChunk(
            content="",
            usage_metadata=usage,
            response_metadata=metadata,
            tool_call_chunks=call_chunks(reply) if reply else [],
            chunk_position="last",
        )
        yield ChatGenerationChunk(message=last)

    def _read(self, messages: Sequence[BaseMessage], call: Mapping[str, Any]) -> Request:
        """The question that messages and options of a call make. Raises UsageError or ImageError."""
        vision, options = self._options(call)
        system, turns = read_turns(messages, tools=vision.calls_tools)
        with self._lock:
            encoder = PictureEncoder(vision, Sources(self.folder, self.fetch), self._known)
            encoder.open(turns)
            encoder.finish()
        request = make_request(vision, system, turns, options, tools_of(call))
        request.schema = schema_of(call.get("response_format"))
        return request

    def _options(self, call: Mapping[str, Any]) -> tuple[VisionBackend, GenerationOptions]:
        """The backend and the decoding options of a call. Raises UsageError."""
        call = _understood(call)
        unknown = [name for name in call if name not in (*_PER_CALL, "response_format", "tools", "tool_choice")]
        if unknown:
            raise UsageError(
                f"a vision model takes no option {printable(unknown[0], 40)!r} with a call; it takes "
                f"{', '.join(_PER_CALL)}."
            )
        vision = self._backend(call.get("model"))
        named = next((name for name in ("tools", "tool_choice") if name in call), None)
        if named and not vision.calls_tools:
            raise NotOfferedError(f"{printable(vision.name)} takes no option '{named}': it calls no tools; {INSTEAD}.")
        chosen = {name: call[name] if call.get(name) is not None else getattr(self, name) for name in _LIMITS}
        for name, (least, most) in _LIMITS.items():
            value = chosen[name]
            if value is not None and not (isinstance(value, int | float) and least <= value <= most):
                raise UsageError(f"{name} is {printable(value, 40)}, but must be between {least:g} and {most:g}.")
        limit = chosen["max_tokens"] or (CHAT_TOKENS if vision.follows_instructions else SHORT_TOKENS)
        return vision, GenerationOptions(limit, chosen["temperature"], chosen["top_p"], chosen["seed"])

    # ---- many inputs -----------------------------------------------------------------------------------------------

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """What `invoke` gives for each, but answered together: all, or `max_concurrency` at a time."""
        answers: list[Any] = []
        for one, its_config, row in self._rows(inputs, config, kwargs):
            with row.served(answers if return_exceptions else None):
                answers.append(self.invoke(one, its_config, **kwargs))
        return answers

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """What `ainvoke` gives for each, but answered together: all, or `max_concurrency` at a time."""
        answers: list[Any] = []
        for one, its_config, row in self._rows(inputs, config, kwargs):
            with row.served(answers if return_exceptions else None):  # the thread that answers inherits the context
                answers.append(await self.ainvoke(one, its_config, **kwargs))
        return answers

    def _rows(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None,
        kwargs: Mapping[str, Any],
    ) -> Iterator[tuple[LanguageModelInput, RunnableConfig, CallRow[Answered]]]:
        """Each input with its configuration and its place among those that are answered together."""
        configs = get_config_list(config, len(inputs)) if inputs else []
        call = {name: value for name, value in kwargs.items() if name != "stop"}
        size = max(1, configs[0].get("max_concurrency") or len(inputs)) if inputs else 1
        for start in range(0, len(inputs), size):
            group = inputs[start : start + size]
            answers = cache(partial(self._together, group, call))
            for place, one in enumerate(group):
                yield one, configs[start + place], CallRow(self, answers, place)

    def _together(
        self, inputs: Sequence[LanguageModelInput], call: Mapping[str, Any]
    ) -> Sequence[Answered | Exception | None]:
        """One call of the backend for all readable inputs; None for one that is to be answered alone.

        If that fails, all are answered alone, so that only those fail that would by themselves. An error `for_all` is
        every input's error.
        """
        alone: list[Answered | Exception | None] = [None] * len(inputs)
        if len(inputs) == 1 or call.get("response_format") or call.get("tools"):
            return alone
        requests: dict[int, Request] = {}
        try:
            vision, options = self._options(call)
            turns: dict[int, tuple[list[str], list[MessageTurn]]] = {}
            with self._lock:
                encoder = PictureEncoder(vision, Sources(self.folder, self.fetch), self._known)
                for place, one in enumerate(inputs):
                    with suppress(InquisightError):
                        turns[place] = read_turns(self._convert_input(one).to_messages())
                        encoder.open(turns[place][1])
                encoder.finish()
            for place, (system, its_turns) in turns.items():
                with suppress(InquisightError):
                    requests[place] = make_request(vision, system, its_turns, options)
            questions = {place: one.question for place, one in requests.items() if one.question is not None}
            try:
                replies: Sequence[Reply | None] = vision.replies(list(questions.values())) if len(questions) > 1 else []
            except InquisightError as error:
                if getattr(error, "for_all", False):
                    raise
                replies = getattr(error, "replies", [])  # some backends keep what did come; the rest is answered alone
        except Exception as error:  # noqa: BLE001 - raised again when an input is answered alone
            return [error] * len(inputs) if getattr(error, "for_all", False) else alone
        known = dict(zip(questions, replies, strict=False))
        return [(requests[place], known.get(place)) if place in requests else None for place in range(len(inputs))]
