"""LangChain middleware that reports each step of a run, retries model calls and turns tool errors into replies.

Words are reported while the model writes them. Whether they are the answer is known only at the end: the last message
is the one that calls no tool.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware, ModelResponse
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage

from agents.assistant.events import Called, Event, Returned, Said, StopRequested, Thinking
from agents.chat.events import Notice, Piece, Rewritten, tidy
from agents.llm.providers import RETRIES, explained, name_of, retrying, server_of
from agents.llm.questioners import call_options, part_of_message, read_message
from core.entries import one_line
from core.errors import InquisightError, QuestionerError, printable
from core.net.budgets import MORE, REASONING_TOKENS, budgets_of
from core.net.reasoning import answer_in
from core.net.remote import server_message, status_of
from core.net.replies import ReplyReader
from core.records import ToolCall
from core.text import whole_sentences

if TYPE_CHECKING:
    from langchain.agents.middleware import ModelRequest, ToolCallRequest
    from langgraph.types import Command

    from agents.assistant.tools import AssistantTools

    Handler = Callable[[ModelRequest[Any]], ModelResponse[Any]]

RESULT_CHARS = 4000  # of one tool, for the model and the record
ARGUMENT_CHARS = 2000


class RunMonitor(AgentMiddleware[Any, Any], BaseCallbackHandler):
    """Middleware and callback for one run; events go to `report`.

    Model calls are retried while nothing of the reply was shown. A failing tool is reported to the model, and the run
    continues.
    """

    raise_error = True

    def __init__(self, assistant: AssistantTools, report: Callable[[Event], None]) -> None:
        super().__init__()
        self.assistant, self.report = assistant, report
        self.numbers = itertools.count(1)
        self.streams = True  # until the server says that it does not, where tools are offered
        self.reader: ReplyReader | None = None  # of the agent's own model while it writes
        self.received = False  # any chunk of the reply
        self.shown = ""  # of the reply

    def wrap_model_call(self, request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        if self.assistant.stop.is_set():
            raise StopRequested
        self.report(Thinking())
        response: ModelResponse[Any] = retrying(lambda: self._reply(request, handler), request.model)
        if read_message(_message(response)).reply.truncated:
            response = self._retry_cut_reply(request, handler, response)
        message = _message(response)
        if message.tool_calls and (text := clean_text(str(message.text))):
            self.report(Said(text))
        return response

    def _retry_cut_reply(
        self, request: ModelRequest[Any], handler: Handler, response: ModelResponse[Any]
    ) -> ModelResponse[Any]:
        """A cut reply, requested once more with more tokens; if that fails or is empty, the first one."""
        model, first = request.model, _message(response)
        if RETRIES in (model.metadata or {}):  # as in `questioners`, a model made elsewhere is called once
            counted = first.usage_metadata["output_tokens"] if first.usage_metadata else 0
            used = counted or len(str(first.text)) // 3
            limits = call_options(model, max(MORE * used, REASONING_TOKENS), None, None)
            larger = request.override(model_settings={**request.model_settings, **limits})
            with suppress(QuestionerError):
                second = retrying(lambda: handler(larger), model)
                message = _message(second)
                if message.tool_calls or final_text(read_message(message)):
                    response = second
        message = _message(response)
        reader = read_message(message)
        text = "" if message.tool_calls else final_text(reader)
        if text and text != self.shown.strip():
            self.report(Rewritten(text, cut=True) if self.shown else Piece(text))
        if text and reader.reply.truncated:
            self.report(Notice("the answer was cut at the language model's limit of tokens."))
        return response

    def _reply(self, request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        """One reply, reported in pieces. Raises QuestionerError if it breaks off, else whatever the model raises."""
        model = request.model
        reader = self.reader = budgets_of(server_of(model), name_of(model)).reader()
        self.received, self.shown = False, ""
        streams = self.streams and type(model)._stream is not BaseChatModel._stream
        settings = {**request.model_settings, "stream": True} if streams else request.model_settings
        try:
            response = handler(request.override(model_settings=settings))
        except Exception as error:
            if self.shown:
                raise explained(error, model, midway=True) from error
            if not streams or self.received or not _cannot_stream(error):
                raise
            self.streams = False
            return self._reply(request, handler)
        finally:
            self.reader = None
        if not self.received:
            self._show(clean_text(str(_message(response).text)))
            return response
        for piece in reader.finish():
            self._show(tidy(piece))
        if self.shown and reader.answer.retracted:
            self.shown = tidy(reader.answer.text)
            self.report(Rewritten(self.shown))
        return response

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
        """Report the words of a chunk, unless a tool's model writes it."""
        if self.reader is None or chunk is None:
            return
        if self.assistant.stop.is_set():
            raise StopRequested
        self.received = True
        for piece in self.reader.take(part_of_message(chunk.message)):
            self._show(tidy(piece))

    def _show(self, text: str) -> None:
        if text:
            self.shown += text
            self.report(Piece(text))

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        with self.assistant.lock:  # a model may call several tools at once, the vision model answers one
            if self.assistant.stop.is_set():
                raise StopRequested
            call = request.tool_call
            number, tool = next(self.numbers), printable(call["name"], limit=80)
            arguments = {printable(name, limit=80): _plain(value) for name, value in call["args"].items()}
            self.report(Called(number, tool, arguments))
            began = time.perf_counter()
            try:
                message = handler(request)
            except InquisightError as error:
                message = _failure(str(error), call)
            except Exception as error:  # noqa: BLE001 - the model reads it and continues
                message = _failure(f"the tool failed: {one_line(error)}", call)
            if not isinstance(message, ToolMessage):
                return message
            text = tidy(str(message.text))[:RESULT_CHARS]
            seconds = round(time.perf_counter() - began, 4)
            failed = message.status == "error"
            done = ToolCall(tool=tool, arguments=arguments, result=text, failed=failed, seconds=seconds)
            self.report(Returned(number, done))
            return message.model_copy(update={"content": text})


def final_text(reader: ReplyReader) -> str:
    """The answer in a reply, safe to print; a cut one without its unfinished sentence."""
    text = tidy(reader.answer.text).strip()
    return whole_sentences(text) if reader.reply.truncated else text


def clean_text(text: str) -> str:
    """A message without reasoning and tool calls, safe to print, its lines as they are."""
    return tidy(answer_in(text)).strip()


def _message(response: ModelResponse[Any]) -> AIMessage:
    """The model's message; an empty one if there is none."""
    return next((one for one in response.result if isinstance(one, AIMessage)), AIMessage(""))


def _cannot_stream(error: Exception) -> bool:
    """Whether a server can answer, but not in pieces: it says so, or what it sent is no stream."""
    if status_of(error) is None:
        return isinstance(error, ValueError) and "No generations found" in str(error)  # LangChain's words
    return re.search(r"\bstream", server_message(error), re.IGNORECASE) is not None


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
