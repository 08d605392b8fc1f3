"""Find and remove tool calls that a model wrote as text, because its server does not parse its call format.

Formats: JSON alone, in a list or in a code block, such as {"name": "look", "arguments": {...}},
{"action": ..., "action_input": ...}, {"tool_calls": [...]} or {"type": "function", ...}; a Python call,
`look(question="...")`; and ReAct's "Action: look / Action Input: {...}".

Every pattern is bounded and no text is decoded twice, so the time is linear.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_NAMES: Final = frozenset({"function", "function_name", "tool", "tool_name", "action", "recipient_name"})
_GIVEN: Final = frozenset({"arguments", "parameters", "args", "kwargs", "input", "action_input"})
_WRAPPERS: Final = frozenset({"tool_calls", "tool_call", "function_calls", "function_call", "tool_uses"})
_KEYS: Final = "|".join(sorted(_NAMES | _GIVEN | _WRAPPERS | {"name", "type", "id"}))

_CALL = re.compile(
    rf"(?:```[\w+\-]{{0,20}}\s{{0,20}})?(?:\[\s{{0,20}})?(?P<json>\{{)\s{{0,20}}[\"'](?P<key>{_KEYS})[\"']\s{{0,20}}:"
)
_BEGUN = re.compile(
    r"(?=[`\[{])(?:`{1,3}[\w+\-]{0,20}\s{0,20})?(?:\[\s{0,20})?(?:\{\s{0,20})?(?:[\"']\w{0,20}(?:[\"']\s{0,20})?)?\Z"
)
_LONGEST: Final = 150  # characters of a partial call, up to its first colon
_AFTER = re.compile(r"[\s,;\]]{0,40}(?:```)?")
_GIVEN_KEY = re.compile(rf"[\"'](?:{'|'.join(sorted(_GIVEN | _WRAPPERS))})[\"']\s{{0,20}}:")
_PYTHON = re.compile(r"\[?\s{0,20}[A-Za-z_][\w.]{0,60}\(\s{0,20}(?:\w{1,40}\s{0,20}=|\{|\))")
_HEAD = re.compile(r"\[?\s{0,20}[a-z_]\w{0,60}\(|\[?\s{0,20}\{|functools\[|action:", re.IGNORECASE)
_WORD = re.compile(r"\[?\s{0,20}[A-Za-z_][A-Za-z0-9_.]{0,60}")
_ACTION = re.compile(r"^[ \t>*]{0,8}Action:[^\n]{1,200}\n\s{0,20}Action Input:", re.MULTILINE | re.IGNORECASE)


def has_call(text: str) -> bool:
    """Whether `text` may contain a tool call."""
    return "{" in text and _CALL.search(text) is not None


def begun_call(text: str, place: int, end: int) -> int:
    """The start of a partial tool call between `place` and `end`; `end` if there is none."""
    found = _BEGUN.search(text, max(place, end - _LONGEST), end)
    return found.start() if found else end


def written_call(text: str) -> bool:
    """Whether a text with this beginning may be a tool call as a whole."""
    return _HEAD.match(text) is not None


def begins_word(text: str) -> bool:
    """Whether this partial text may become a tool call: its name is not complete."""
    return _WORD.fullmatch(text) is not None


def without_calls(text: str) -> str:
    """`text` without its tool calls; "" if nothing else remains."""
    bare = text.strip()
    if bare.startswith("functools[") or (bare.endswith((")", ")]")) and _PYTHON.match(bare)):
        return ""
    if action := _ACTION.search(text):
        before = text[: action.start()]
        return "" if before.lstrip().lower().startswith("thought:") else before
    kept: list[str] = []
    place = 0
    for start, end in _spans(text):
        kept.append(text[place:start])
        place = end
    if not place:
        return text
    rest = "".join([*kept, text[place:]])
    return rest if re.search(r"\w", rest) else ""


def _spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each call in JSON."""
    spans: list[tuple[int, int]] = []
    decoder = json.JSONDecoder()
    place = 0
    while found := _CALL.search(text, place):
        try:
            value, end = decoder.raw_decode(text, found.start("json"))
            called = _is_call(value)
        except (ValueError, RecursionError):  # truncated or invalid JSON: it is not decoded again
            begun = text[found.start("json") :]
            if "}" not in begun or found["key"] in _NAMES | _WRAPPERS or _GIVEN_KEY.search(begun):
                spans.append((found.start(), len(text)))
            break
        if called:
            after = _AFTER.match(text, end)
            end = after.end() if after else end
            spans.append((found.start(), end))
        place = end
    return spans


def _is_call(value: Any) -> bool:
    keys = set(value)
    return bool(
        keys & _WRAPPERS
        or any(isinstance(value[key], str | dict) for key in keys & _NAMES)
        or ("name" in keys and keys & _GIVEN)
        or value.get("type") in ("function", "tool_use", "tool_call", "function_call")
    )
