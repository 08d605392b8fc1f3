"""Parse OpenAI-style chat completions from any server, whole or as server-sent events.

    reader = read_reply(body)                      # the bytes of a whole reply, or the JSON value in it
    for piece in read_stream(chunks, reader):      # bytes as they arrive; pieces of the answer
        ...
    reader.reply                                   # the answer, why it ended, its tokens

The format is OpenAI's (https://platform.openai.com/docs/api-reference/chat). Other servers deviate: content may be
blocks, a number or null, `choices` may be missing, an error may come with status 200. Unusable replies raise
`ReplyError` with the reason. Reasoning and tool calls are removed from the answer (`core.net.reasoning`). For messages
of a client library, `ReplyReader` takes one `ReplyPart` after another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from core.net.reasoning import AnswerReader
from core.net.server_errors import as_text, error_words
from core.net.sse import Events
from core.vision import Reply

MOST_CHARS: Final = 1 << 18  # of one reply, for models that never stop
MOST_TOKENS: Final = 1 << 53  # larger counts of a server are invalid
DEPTH: Final = 6  # of content blocks inside of content blocks
REASONING_FIELDS: Final = (
    "reasoning_content", "reasoning", "thinking", "thoughts", "reasoning_text", "reasoning_details",
)  # fmt: skip
_REASONS: Final = {
    "length": "length", "max_tokens": "length", "max_output_tokens": "length", "model_length": "length",
    "content_filter": "content_filter", "refusal": "content_filter", "safety": "content_filter",
    "prohibited_content": "content_filter", "blocklist": "content_filter", "recitation": "content_filter",
    "tool_calls": "tool_calls", "tool_use": "tool_calls", "function_call": "tool_calls",
    "end_turn": "stop", "eos": "stop", "stop_sequence": "stop", "eos_token": "stop",
}  # fmt: skip
_TEXT_BLOCKS: Final = frozenset({"", "text", "output_text", "input_text", "message", "output"})


class ReplyError(Exception):
    """An unusable reply.

    `from_server`: the message is the server's own. `status_code`: the HTTP status in the reply. `shapeless`: the reply
    is not JSON, so the address is probably wrong.
    """

    def __init__(
        self, message: str, *, from_server: bool = False, status_code: int | None = None, shapeless: bool = False
    ) -> None:
        super().__init__(message)
        self.from_server, self.status_code, self.shapeless = from_server, status_code, shapeless


class StreamEndedError(ConnectionError):
    """A stream ended before the reply was complete."""


@dataclass(frozen=True, slots=True)
class ReplyPart:
    """The content of one message or of one block of a stream."""

    text: str = ""
    reasoned: bool = False  # it has reasoning in a separate field
    called: bool = False  # a tool is called
    tool_calls: tuple[dict[str, Any], ...] = ()  # as OpenAI writes them; in a stream, pieces of them
    reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None


class ReplyReader:
    """Assembles a reply from its parts and returns text of the answer as early as possible.

    `careful`: the model is known to write reasoning into the text without an opening tag.
    """

    def __init__(self, *, careful: bool = False) -> None:
        self.answer = AnswerReader(careful=careful)
        self.reason = ""
        self.full = False
        """The reply has reached its maximum length; further parts are ignored."""
        self._careful = careful
        self._size = 0
        self._reasoned = self._called = False
        self._tokens: tuple[int | None, int | None] = (None, None)

    def take(self, part: ReplyPart) -> list[str]:
        """Add a part and return the pieces of the answer that can be shown."""
        self._reasoned |= part.reasoned
        self._called |= part.called
        if self.reason != "content_filter":
            self.reason = part.reason or self.reason
        if part.input_tokens is not None or part.output_tokens is not None:
            self._tokens = (part.input_tokens, part.output_tokens)
        if not part.text or self.full:
            return []
        self._size += len(part.text)
        if self._size > MOST_CHARS:
            self.full, self.reason = True, "length"
        return self.answer.feed(part.text)

    def finish(self) -> list[str]:
        """Complete the reply and return the rest of the answer."""
        rest = self.answer.finish()
        if self._careful and self.reason == "length" and not self.answer.reasoned:
            self._reasoned, self.answer.text, rest = True, "", []  # its reasoning was truncated
        return rest

    @property
    def reasoned(self) -> bool:
        """Whether the model reasoned, in a separate field or in the text."""
        return self._reasoned or self.answer.reasoned

    @property
    def called(self) -> bool:
        """Whether the model called a tool, in a separate field or in the text."""
        return self._called or self.answer.called

    @property
    def reply(self) -> Reply:
        """The whole reply."""
        return Reply(self.answer.text.strip(), self.reason, *self._tokens)


def why_empty(reader: ReplyReader) -> str:
    """Why a reply has no answer, and the way out; completes a sentence about the model."""
    if reader.reasoned:
        return (
            "answered with nothing: it spent its tokens on reasoning; turn its reasoning off (on many servers "
            "chat_template_kwargs enable_thinking=false), allow it more tokens, or choose another model."
        )
    if reader.called:
        return "answered with nothing but a tool call, though no tool was offered; choose another model."
    if reader.reason == "length":
        return "answered with nothing: its tokens were used up before its first word; allow it more tokens."
    return "answered with nothing."


# ---- whole replies -------------------------------------------------------------------------------------------------


def read_reply(body: object) -> ReplyReader:
    """Read a whole reply: bytes, text or a JSON value. Raises ReplyError."""
    reader = ReplyReader()
    reader.take(part_of(body))
    reader.finish()
    return reader


def part_of(body: object) -> ReplyPart:
    """The first choice of a whole chat completion. Raises ReplyError."""
    value = _json(body) if isinstance(body, str | bytes) else body
    choice = _choice(value)
    if choice is None:
        missing = "missing" if "choices" not in value else "null" if value["choices"] is None else "empty"  # type: ignore[operator, index]
        raise ReplyError(f"`choices` is {missing}")
    message = next((choice[name] for name in ("message", "delta", "text") if choice.get(name) is not None), None)
    if message is None:
        raise ReplyError("the first of `choices` has no `message`")
    return _ended(_message(message), choice, value)


def _choice(value: object) -> dict[str, Any] | None:
    """The first choice; None if there is none. Raises ReplyError for errors and malformed replies."""
    if not isinstance(value, dict):
        raise ReplyError(f"it is {_kind(value)}, not an object with `choices`")
    if error := _error_in(value):
        raise error
    choices = value.get("choices")
    if choices is None or choices == []:
        return None
    if not isinstance(choices, list):
        raise ReplyError(f"`choices` is {_kind(choices)}, not a list")
    choice = choices[0]
    if not isinstance(choice, dict):
        raise ReplyError(f"the first of `choices` is {_kind(choice)}, not an object with `message`")
    if error := _error_in(choice, within=True):
        raise error
    return choice


def _message(message: object) -> ReplyPart:
    if not isinstance(message, dict):
        return content_part(message)
    part = content_part(message.get("content"))
    calls = tuple(_tool_calls(message.get("tool_calls")))
    refused = bool(message.get("refusal")) and not part.text.strip()
    return replace(
        part,
        reasoned=part.reasoned or any(message.get(name) for name in REASONING_FIELDS),
        called=part.called or bool(message.get("tool_calls") or message.get("function_call")),
        tool_calls=calls,
        reason="content_filter" if refused else part.reason,
    )


def _tool_calls(value: object) -> Iterator[dict[str, Any]]:
    """Well-formed tool calls, repaired where possible."""
    for place, call in enumerate(value if isinstance(value, list) else []):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            continue
        name, arguments = function.get("name"), function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        number = call.get("index")
        yield {
            "index": number if isinstance(number, int) else place,
            "id": call["id"] if isinstance(call.get("id"), str) else None,
            "type": "function",
            "function": {"name": name if isinstance(name, str) else None, "arguments": arguments},
        }


def _ended(part: ReplyPart, choice: Mapping[str, Any], value: object) -> ReplyPart:
    read, written = tokens_of(value.get("usage") if isinstance(value, dict) else None)
    reason = part.reason or reason_of(choice.get("finish_reason"))
    return replace(part, reason=reason, input_tokens=read, output_tokens=written)


def content_part(content: object, depth: int = 0) -> ReplyPart:
    """Parse the `content` of a message: a text, blocks of any kind, a number, or nothing."""
    if content is None or depth > DEPTH:
        return ReplyPart()
    if isinstance(content, str):
        return ReplyPart(content)
    if isinstance(content, bool | int | float):
        return ReplyPart(json.dumps(content))
    if isinstance(content, list):
        parts = [content_part(one, depth + 1) for one in content]
        return ReplyPart(
            "".join(part.text for part in parts),
            any(part.reasoned for part in parts),
            any(part.called for part in parts),
            reason=next((part.reason for part in parts if part.reason), ""),
        )
    if not isinstance(content, dict):
        return ReplyPart()
    kind = str(content.get("type") or "").lower()
    if content.get("thought") is True or any(word in kind for word in ("think", "reason", "thought", "analysis")):
        return ReplyPart(reasoned=True)
    if any(word in kind for word in ("tool_use", "tool_call", "function_call")):
        return ReplyPart(called=True)
    if kind == "refusal":
        return ReplyPart(reason="content_filter")
    if kind not in _TEXT_BLOCKS:
        return ReplyPart()  # a picture, a sound, a citation
    names = ("text", "content", "value", "parts")
    return content_part(next((content[name] for name in names if content.get(name) is not None), None), depth + 1)


def reason_of(value: object) -> str:
    """The finish reason in OpenAI's terms if known: stop, length, content_filter, tool_calls."""
    word = value.strip().lower() if isinstance(value, str) else ""
    return _REASONS.get(word, word)


def tokens_of(usage: object) -> tuple[int | None, int | None]:
    """Input and output tokens; None if not counted."""
    if not isinstance(usage, dict):
        return None, None
    read = usage.get("prompt_tokens", usage.get("input_tokens"))
    return _count(read), _count(usage.get("completion_tokens", usage.get("output_tokens")))


def _count(value: object) -> int | None:
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.strip().isdigit():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS else None


# ---- streams -------------------------------------------------------------------------------------------------------


def read_stream(chunks: Iterable[bytes], reader: ReplyReader) -> Iterator[str]:
    """Yield pieces of the answer as they arrive; `reader` holds the whole reply at the end. Takes linear time.

    A reply without streaming is accepted too. Raises ReplyError, StreamEndedError if the stream ends early, and the
    errors of `chunks`.
    """
    for part in stream_parts(chunks):
        yield from reader.take(part)
        if reader.full:
            break
    yield from reader.finish()


def stream_parts(chunks: Iterable[bytes]) -> Iterator[ReplyPart]:
    """Parse the blocks of a stream. Raises the errors of `read_stream`."""
    events = Events(chunks)
    received = chosen = ended = False
    try:
        for value in (value for data in events for value in _values(data)):
            if value is None:
                ended = True
                break
            part = _chunk(value)
            received, chosen, ended = True, chosen or bool(value.get("choices")), ended or bool(part.reason)
            yield part
    except ReplyError:
        raise
    except Exception:
        if not ended:  # some servers close the connection without a proper end
            raise
    if not received and not ended:
        yield part_of(events.rest)
    elif not ended:
        raise StreamEndedError("the stream ended before the answer did")
    elif not chosen:
        raise ReplyError("no block of the stream has `choices`")


def _values(data: str) -> Iterator[dict[str, Any] | None]:
    """The JSON blocks in an event's data; None marks the end. Partial blocks and comments are skipped."""
    lines = [data] if _decoded(data) is not None else data.split("\n")
    for line in lines:
        if line.startswith("[DONE]"):
            yield None
        elif isinstance(value := _decoded(line), dict):
            yield value


def _decoded(data: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _chunk(value: dict[str, Any]) -> ReplyPart:
    choice = _choice(value)
    if choice is None:
        read, written = tokens_of(value.get("usage"))
        return ReplyPart(input_tokens=read, output_tokens=written)
    if choice.get("index") not in (0, None, "0"):
        return ReplyPart()  # belongs to another choice
    delta = next((choice[name] for name in ("delta", "message", "text") if choice.get(name) is not None), None)
    return _ended(_message(delta), choice, value)


# ---- errors --------------------------------------------------------------------------------------------------------


def _json(body: str | bytes) -> object:
    text = body.decode("utf-8-sig", "replace") if isinstance(body, bytes) else body
    if not text.strip():
        raise ReplyError("it is empty", shapeless=True)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ReplyError(f"it is {as_text(text)}", shapeless=True) from None


def _error_in(value: Mapping[str, Any], *, within: bool = False) -> ReplyError | None:
    """The error in a reply with HTTP status 200, in any of the usual shapes."""
    found = value.get("error") or value.get("errors")
    bare = not within and "choices" not in value and any(value.get(name) for name in ("detail", "message", "msg"))
    if not found and (value.get("object") == "error" or bare):
        found = dict(value)
    words = error_words(value if found is True else found)
    if not found or (not words and value.get("choices")):
        return None  # {"error": {"code": 0}} may stand beside an answer
    named = next((one.get("code") for one in (found, value) if isinstance(one, dict) and one.get("code")), None)
    status = int(named) if isinstance(named, int | str) and str(named) in map(str, range(400, 600)) else None
    return ReplyError(words or "an error without a message", from_server=True, status_code=status)


def _kind(value: object) -> str:
    kinds: dict[type, str] = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return kinds.get(type(value), "null" if value is None else "a number")
