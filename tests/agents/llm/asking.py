"""A questioner's reply as plain text, at once or in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agents.llm.questioners import ask_reply, reply_pieces


def ask(model: Any, messages: Any, **options: Any) -> str:
    return ask_reply(model, messages, **options).text


def ask_stream(model: Any, messages: Any, **options: Any) -> Iterator[str]:
    return (piece for piece in reply_pieces(model, messages, **options) if isinstance(piece, str))
