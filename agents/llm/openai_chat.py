"""LangChain's `ChatOpenAI` with replies parsed by `core.net.replies`, as for vision models behind the same servers.

Compatible servers send what the client libraries do not expect: null or missing `choices`, an error with status 200,
token counts that are no numbers, an answer only in `reasoning_content`. Here the libraries get a clean completion, or
`core.net.replies.ReplyError` describes the fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI

from agents.llm.providers import CALLED, REASONED
from core.net.replies import ReplyPart, part_of, stream_parts


class OpenAIChat(ChatOpenAI):
    """`ChatOpenAI` for any server that speaks chat completions. Raises ReplyError for a reply that cannot be used.

    Structured output and the Responses API are left to `ChatOpenAI`, and so are its asynchronous methods.
    """

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        payload = self._get_request_payload(messages, stop=stop, **kwargs)
        if self._left_to_parent(payload):
            return super()._generate(messages, stop, run_manager, **kwargs)
        part = part_of(self.client.with_raw_response.create(**payload).http_response.content)
        message = {"role": "assistant", "content": part.text, "tool_calls": _whole_calls(part)}
        choice = {"message": message, "finish_reason": part.reason or None}
        result = self._create_chat_result({"choices": [choice], "usage": _usage(part), "model": self.model_name})
        result.generations[0].message.additional_kwargs.update(_beside(part))
        return result

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        stream_usage: bool | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        asked = {**kwargs, "stream": True}
        if self._should_stream_usage(stream_usage, **asked):
            asked["stream_options"] = {"include_usage": True}
        payload = self._get_request_payload(messages, stop=stop, **asked)
        if self._left_to_parent(payload):
            yield from super()._stream(messages, stop, run_manager, stream_usage=stream_usage, **kwargs)
            return
        response = self.client.with_raw_response.create(**payload).http_response
        reason, usage = "", None  # reported once, at the end: LangChain adds up what servers repeat
        try:
            for part in stream_parts(response.iter_bytes()):
                reason, usage = part.reason or reason, _usage(part) or usage
                if part.text or part.tool_calls or part.reasoned or part.called:
                    yield self._chunk(part, run_manager)
            yield self._chunk(ReplyPart(reason=reason), run_manager, usage)
        finally:
            response.close()

    def _left_to_parent(self, payload: dict[str, Any]) -> bool:
        return "response_format" in payload or self._use_responses_api(payload)

    def _chunk(
        self, part: ReplyPart, run_manager: CallbackManagerForLLMRun | None, usage: dict[str, int] | None = None
    ) -> ChatGenerationChunk:
        last = not (part.text or part.tool_calls or part.reasoned or part.called)
        delta = {"role": "assistant", "content": part.text, "tool_calls": list(part.tool_calls)}
        choice = {"index": 0, "delta": delta, "finish_reason": part.reason or None if last else None}
        block = {"choices": [choice], "usage": usage, "model": self.model_name}
        chunk = self._convert_chunk_to_generation_chunk(block, AIMessageChunk, None)
        assert chunk is not None, "it has a delta"
        chunk.message.additional_kwargs.update(_beside(part))
        if run_manager:
            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
        return chunk


def _whole_calls(part: ReplyPart) -> list[dict[str, Any]]:
    """Tool calls in which nothing is missing."""
    return [
        {
            "id": call["id"] or f"call_{number}",
            "type": "function",
            "function": {name: value or "" for name, value in call["function"].items()},
        }
        for number, call in enumerate(part.tool_calls)
    ]


def _usage(part: ReplyPart) -> dict[str, int] | None:
    if part.input_tokens is None and part.output_tokens is None:
        return None
    return {"prompt_tokens": part.input_tokens or 0, "completion_tokens": part.output_tokens or 0}


def _beside(part: ReplyPart) -> dict[str, Any]:
    """Facts that LangChain's messages have no field for."""
    return ({REASONED: True} if part.reasoned else {}) | ({CALLED: True} if part.called else {})
