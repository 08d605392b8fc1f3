"""What stands between the assistant and its model and tools: retries, errors in words, and a word about each call.

The model's words are told as they come. Which of them are the answer shows only at their end: a message that calls no
tool is the last one.
"""

from __future__ import annotations

import functools
import itertools
import operator
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware, ModelResponse
from langchain_core.messages import AIMessage, ToolMessage, message_chunk_to_message

from agents.assistant.events import Called, Event, Returned, Said, StopRequested, Thinking
from agents.assistant.replies import clean_text, final_text
from agents.chat.events import Notice, Piece, Rewritten, tidy
from agents.llm.providers import RETRIES, explained, name_of, retrying, server_of
from agents.llm.questioners import call_options, part_of_message, read_message
from core.entries import one_line
from core.errors import InquisightError, QuestionerError, printable
from core.net.budgets import MORE, REASONING_TOKENS, budgets_of
from core.net.remote import said_by, status_of
from core.records import ToolCall

if TYPE_CHECKING:
    from langchain.agents.middleware import ModelRequest, ToolCallRequest
    from langgraph.types import Command

    from agents.assistant.tools import AssistantTools
    from core.net.replies import ReplyReader

RESULT_CHARS = 4000  # of one tool, for the model and the record
ARGUMENT_CHARS = 2000


def make_watcher(desk: AssistantTools, tell: Callable[[Event], None]) -> AgentMiddleware[Any, Any]:
    """The middleware for one run on `desk`; events go to `tell`."""
    return _Watcher(desk, tell)


class _Watcher(AgentMiddleware[Any, Any]):
    """Model calls are retried as elsewhere, while nothing of the reply has been shown. A tool that fails is reported to
    the model, and the run goes on."""

    def __init__(self, desk: AssistantTools, tell: Callable[[Event], None]) -> None:
        super().__init__()
        self.desk, self.tell = desk, tell
        self.numbers = itertools.count(1)
        self.shown = ""  # of the reply
        self.streams = True  # until the server says that it does not, where tools are offered

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        if self.desk.stop.is_set():
            raise StopRequested
        self.tell(Thinking())
        response: ModelResponse[Any] = retrying(lambda: self._reply(request, handler), request.model)
        if read_message(_message(response)).reply.truncated:
            response = self._once_more(request, handler, response)
        for message in response.result:
            if isinstance(message, AIMessage) and message.tool_calls and (text := clean_text(str(message.text))):
                self.tell(Said(text))
        return response

    def _once_more(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
        response: ModelResponse[Any],
    ) -> ModelResponse[Any]:
        """A cut reply, requested once more with more tokens; where that fails, or brings nothing, the first one."""
        model, first = request.model, _message(response)
        if RETRIES in (model.metadata or {}):  # as in `questioners`, a model made elsewhere is asked once
            counted = first.usage_metadata["output_tokens"] if first.usage_metadata else 0
            used = counted or len(str(first.text)) // 3
            limits = call_options(model, max(MORE * used, REASONING_TOKENS), None, None)
            roomy = request.override(model_settings={**request.model_settings, **limits})
            with suppress(QuestionerError):
                second = retrying(lambda: handler(roomy), model)
                message = _message(second)
                if message.tool_calls or final_text(read_message(message)):
                    response = second
        message = _message(response)
        reader = read_message(message)
        text = "" if message.tool_calls else final_text(reader)
        if text and text != self.shown.strip():
            self.tell(Rewritten(text, cut=True) if self.shown else Piece(text))
        if text and reader.reply.truncated:
            self.tell(Notice("the answer was cut at the language model's limit of tokens."))
        return response

    def _reply(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """One reply, told in pieces. Raises QuestionerError where it breaks off, else whatever the model does."""
        chunks: list[AIMessage] = []
        reader = budgets_of(server_of(request.model), name_of(request.model)).reader()
        self.shown = ""
        try:
            for piece in self._words(request, chunks, reader) if self.streams else ():
                self._show(tidy(piece))
            if self.shown and reader.answer.retracted:
                self.shown = tidy(reader.answer.text)
                self.tell(Rewritten(self.shown))
        except Exception as error:
            if self.shown:
                raise explained(error, request.model, midway=True) from error
            if not _only_whole(error, chunks):
                raise
            self.streams = False
        if not self.streams:
            response = handler(request)
            whole = "".join(str(message.text) for message in response.result if isinstance(message, AIMessage))
            self._show(clean_text(whole))
            return response
        message = functools.reduce(operator.add, chunks)
        return ModelResponse(result=[message_chunk_to_message(message)])

    def _show(self, text: str) -> None:
        if text:
            self.shown += text
            self.tell(Piece(text))

    def _words(self, request: ModelRequest[Any], chunks: list[AIMessage], reader: ReplyReader) -> Iterator[str]:
        """What can be shown of the chunks, which are appended to `chunks`; a model that cannot stream gives one."""
        messages = [*([request.system_message] if request.system_message else []), *request.messages]
        model = request.model.bind_tools(request.tools, tool_choice=request.tool_choice, **request.model_settings)
        for chunk in model.stream(messages):
            if self.desk.stop.is_set():
                raise StopRequested
            chunks.append(chunk)
            yield from reader.take(part_of_message(chunk))
        yield from reader.finish()

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        with self.desk.lock:  # a model may call several at once, an eye looks at one thing at a time
            if self.desk.stop.is_set():
                raise StopRequested
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


def _message(response: ModelResponse[Any]) -> AIMessage:
    """The model's message; an empty one where there is none."""
    return next((one for one in response.result if isinstance(one, AIMessage)), AIMessage(""))


def _only_whole(error: Exception, chunks: list[AIMessage]) -> bool:
    """Whether a server can answer, but not in pieces: it says so, or it sent something that is no stream."""
    if chunks:
        return False
    if status_of(error) is None:
        return isinstance(error, ValueError) and "No generation chunks" in str(error)  # LangChain's words
    return re.search(r"\bstream", said_by(error), re.IGNORECASE) is not None


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
