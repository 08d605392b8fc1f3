"""Tools in the chat templates of transformers: what a conversation with calls looks like, and calls in an answer.

Read are the forms that templates teach: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` (Hermes, Qwen), a
JSON object with "name" and "parameters" as the whole answer (Llama 3), and a JSON list behind `[TOOL_CALLS]` (Mistral).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from core.errors import BackendError, UsageError, printable
from core.vision import Reply, ToolCall, Tools

MARKS: Final = (
    *("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
    *("<tools>", "</tools>", "[TOOL_CALLS]"),
)
PROBE: Final = {
    "type": "function",
    "function": {
        "name": "probed_tool",
        "description": "A tool.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
    },
}
PROBED: Final = (0, "", (ToolCall("probed_tool", '{"word": "probed word"}', "1", "probed result"),))
_BLOCK: Final = re.compile(r"<tool_call>([^<]*+(?:<(?!/?tool_call>)[^<]*+)*+)(?:</tool_call>|\Z)")

Used = tuple[str, tuple[ToolCall, ...]]  # words beside the calls, and the calls


def called(used: Sequence[Used]) -> Iterator[dict[str, Any]]:
    """The messages of an assistant that called tools, and of the tools that answered."""
    for words, calls in used:
        yield {
            "role": "assistant",
            "content": [{"type": "text", "text": words}] if words else [],
            "tool_calls": [{"type": "function", "id": one.id, "function": _function(one)} for one in calls],
        }
        for one in calls:
            content = [{"type": "text", "text": one.result or ""}]
            yield {"role": "tool", "name": one.name, "tool_call_id": one.id, "content": content}


def _function(call: ToolCall) -> dict[str, Any]:
    return {"name": call.name, "arguments": json.loads(call.arguments)}


def beginning(template: str, choice: str) -> str:
    """How an answer begins that has to call a tool: `choice` is its name, or "any". Raises UsageError."""
    name = "" if choice == "any" else f'{choice}", '
    for mark, begun in (("<tool_call>", "<tool_call>\n{"), ('"parameters"', "{")):
        if mark in template:
            return f'{begun}"name": "{name}'
    raise UsageError("this model's chat template does not say how a call begins, so none can be demanded.")


def with_calls(reply: Reply, tools: Tools, begun: str = "") -> Reply:
    """The reply with the calls that its text holds, and without their text; `begun` is what stood before it.

    A call of a tool that was not offered, or one whose arguments are no JSON object, stays text. Raises BackendError if
    a call was demanded and there is none.
    """
    if begun:
        demanded = with_calls(replace(reply, text=begun + reply.text), Tools(tools.offered))
        if not demanded.calls:
            raise BackendError(f"a call of a tool was demanded, but the answer is '{printable(reply.text, 80)}'.")
        return demanded
    names = {json.loads(one)["function"]["name"] for one in tools.offered}
    text = reply.text
    calls: list[ToolCall] = []
    for match in _BLOCK.finditer(reply.text):
        if found := list(_read(match[1], names)):
            calls += found
            text = text.replace(match[0], "", 1)
    if not calls and (found := list(_read(text.removeprefix("[TOOL_CALLS]"), names))):
        calls, text = found, ""
    return replace(reply, text=text.strip(), calls=tuple(calls)) if calls else reply


def _read(text: str, names: set[str]) -> Iterator[ToolCall]:
    try:
        value = json.loads(text.strip().removeprefix("<|python_tag|>"))
    except (ValueError, RecursionError):
        return
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict) and isinstance(one.get("name"), str) and one["name"] in names:
            arguments = one.get("arguments", one.get("parameters", {}))
            if isinstance(arguments, dict):
                yield ToolCall(one["name"], json.dumps(arguments, ensure_ascii=False))
