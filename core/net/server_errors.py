"""Extract a one-line message from a server's error body, without HTML or raw data.

`error_words(body)` accepts the many shapes that servers use.
"""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Final

from core.errors import printable
from core.net.reasoning import without_surrogates

DEPTH: Final = 6  # of messages inside of messages
_FIELDS: Final = (
    "message", "msg", "error", "detail", "errors", "error_message", "description", "error_description", "title",
    "reason", "text",
)  # fmt: skip
_HTML = re.compile(r"<(?:!doctype\s{1,9}html|html|head|body|title|h1)\b", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,200}>")
_READ: Final = 20_000  # characters of a message or a page that are read


def error_words(value: object, depth: int = 0) -> str:
    """The message in an error body, which is a text or a JSON value; "" if there is none."""
    if depth > DEPTH:
        return ""
    if isinstance(value, str):
        return _unwrapped(value[:_READ], depth)
    if isinstance(value, list):
        return "; ".join(filter(None, (error_words(one, depth + 1) for one in value[:3])))
    if isinstance(value, dict):
        return next(filter(None, (error_words(value.get(name), depth + 1) for name in _FIELDS)), "")
    return ""


def _unwrapped(text: str, depth: int) -> str:
    """The message in `text`; if it contains JSON, as proxies send it, the message in that."""
    start = text.find("{")
    if start < 0:
        return as_text(text)
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return as_text(text)
    inner = error_words(value, depth + 1)
    before = " ".join(text[:start].split()).strip(" :-'b")
    return f"{before}: {inner}" if before and inner else inner or before or as_text(text)


def as_text(text: str) -> str:
    """A server's text as one line; an HTML page is named by its title, and JSON is not quoted."""
    text = without_surrogates(text[:_READ])
    found = _HTML.search(text)
    if found:
        before = printable(" ".join(text[: found.start()].split()), 80)
        return f"{before} {_page(text[found.start() :])}".strip()
    if text.lstrip()[:1] in ("{", "["):
        return "data without a message"
    return " ".join(text.split())


def _page(text: str) -> str:
    lower = text.lower()
    for name in ("title", "h1"):
        opened = lower.find(f"<{name}")
        start = lower.find(">", opened) + 1
        end = lower.find(f"</{name}", start)
        words = " ".join(unescape(_TAG.sub(" ", text[start:end])).split()) if 0 <= opened < start < end else ""
        if words:
            return f"an HTML page titled '{printable(words, 80)}'"
    return "an HTML page"
