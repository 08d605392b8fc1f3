"""What stands between the assistant and its model and tools: retries, errors in words, and a word about each call."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, ToolMessage

from agents.assistant import without_thoughts
from agents.chat_events import tidy
from agents.desk import Called, Event, Returned, Said, Stopped, Thinking
from agents.providers import retrying
from core.entries import one_line
from core.errors import InquisightError, printable
from core.records import ToolCall

if TYPE_CHECKING:
    from langchain.agents.middleware import ModelRequest, ModelResponse, ToolCallRequest
    from langgraph.types import Command

    from agents.desk import Desk

RESULT_CHARS = 4000  # of one tool, for the model and the record
ARGUMENT_CHARS = 2000


def make_watcher(desk: Desk, tell: Callable[[Event], None]) -> AgentMiddleware[Any, Any]:
    """The middleware for one run on `desk`; events go to `tell`."""
    return _Watcher(desk, tell)


class _Watcher(AgentMiddleware[Any, Any]):
    """Model calls are retried as everywhere in the house; a tool that fails says so to the model and harms nobody."""

    def __init__(self, desk: Desk, tell: Callable[[Event], None]) -> None:
        super().__init__()
        self.desk, self.tell = desk, tell
        self.numbers = itertools.count(1)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        if self.desk.stop.is_set():
            raise Stopped
        self.tell(Thinking())
        response = retrying(lambda: handler(request), request.model)
        for message in response.result:
            if isinstance(message, AIMessage) and message.tool_calls and (text := without_thoughts(message.text)):
                self.tell(Said(text))
        return response

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        with self.desk.lock:  # a model may call several at once, an eye looks at one thing at a time
            if self.desk.stop.is_set():
                raise Stopped
            call = request.tool_call
            number, tool = next(self.numbers), printable(call["name"], limit=80)
            arguments = {printable(name, limit=80): _plain(value) for name, value in call["args"].items()}
            self.tell(Called(number, tool, arguments))
            began = time.perf_counter()
            try:
                message = handler(request)
            except InquisightError as error:
                message = _failure(str(error), call)
            except Exception as error:  # noqa: BLE001 - the model reads it and goes on
                message = _failure(f"the tool failed: {one_line(error)}", call)
            if not isinstance(message, ToolMessage):
                return message
            text = tidy(str(message.text))[:RESULT_CHARS]
            failed = message.status == "error"
            message = message.model_copy(update={"content": text})
            seconds = round(time.perf_counter() - began, 4)
            done = ToolCall(tool=tool, arguments=arguments, result=text, failed=failed, seconds=seconds)
            self.tell(Returned(number, done))
            return message


def _failure(text: str, call: Any) -> ToolMessage:
    words = " ".join(text.split())
    return ToolMessage(content=f"Error: {words}", tool_call_id=call["id"], name=call["name"], status="error")


def _plain(value: Any) -> Any:
    """An argument as JSON can hold it, of a bounded length."""
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, list) and all(isinstance(one, int) for one in value):
        return value[:100]
    return printable(value, limit=ARGUMENT_CHARS)
