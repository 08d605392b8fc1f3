"""The messages of a request, as the conversation that vision models read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from agents.langchain.messages import MessageTurn, read_turns
from core.errors import UsageError, printable
from serving.openai.schema import ImagePart, Message

Fetch = Callable[[str], bytes]
"""Returns the bytes behind a web address. Raises UsageError."""
MAX_PICTURES: Final = 32  # in one request
NOT_FETCHED: Final = (
    "this server opens no web addresses; send the picture as a data URL (data:image/jpeg;base64,...), or start the "
    "server with --fetch HOST"
)


def read_conversation(messages: Sequence[Message]) -> tuple[list[str], list[MessageTurn]]:
    """(system texts, turns). Raises UsageError for what a vision model cannot read, with the message's number."""
    system, turns = read_turns([_message(number, one) for number, one in enumerate(messages, start=1)])
    if (count := sum(len(turn.blocks) for turn in turns)) > MAX_PICTURES:
        raise UsageError(f"{count} pictures in one request; this server takes at most {MAX_PICTURES}")
    return system, turns


def _message(number: int, message: Message) -> BaseMessage:
    if message.content is None:
        content: Any = ""
    elif isinstance(message.content, str):
        content = message.content
    else:
        for part in message.content:
            if isinstance(part, ImagePart):
                _check_address(number, part.image_url.url)
        content = [part.model_dump() for part in message.content]
    match message.role:
        case "user":
            return HumanMessage(content)
        case "assistant":
            return AIMessage(content)
        case _:
            return SystemMessage(content)


def _check_address(number: int, url: str) -> None:
    scheme = url[:12].partition(":")[0].lower()
    if scheme not in ("data", "http", "https"):
        raise UsageError(
            f"message {number}: image_url begins with '{printable(url, 24)}'; send a data URL "
            "(data:image/jpeg;base64,...)"
        )


def refuse(url: str) -> bytes:
    """The `Fetch` of a server that opens no web addresses."""
    raise UsageError(NOT_FETCHED)
