"""Read LangChain messages as turns of questions, pictures and answers, and find where a picture comes from."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from langchain_core.messages import BaseMessage, ToolMessage

from core.errors import ImageError, UsageError, printable
from core.images.picture import MAX_BYTES
from core.net.remote import without_credentials
from core.vision import EncodedImage, ToolCall


@dataclass(slots=True)
class MessageTurn:
    """A person's messages in a row and their answers."""

    words: list[str] = field(default_factory=list)
    blocks: list[tuple[Mapping[str, Any], str]] = field(default_factory=list)  # picture blocks and their names
    answers: list[str] = field(default_factory=list)
    images: list[EncodedImage] = field(default_factory=list)
    used: list[tuple[str, list[ToolCall]]] = field(default_factory=list)  # words and calls, before the answers

    @property
    def pair(self) -> tuple[str, str]:
        return "\n\n".join(self.words), "\n\n".join(self.answers)


def read_turns(messages: Sequence[BaseMessage], *, tools: bool = False) -> tuple[list[str], list[MessageTurn]]:
    """(system texts, turns), the last one open. Raises UsageError, also for calls of tools without `tools`."""
    system: list[str] = []
    turns: list[MessageTurn] = []
    for number, message in enumerate(messages, start=1):
        role = getattr(message, "role", message.type)  # of a ChatMessage, else "human", "ai", ...
        if role in ("human", "user"):
            if not turns or turns[-1].answers or turns[-1].used:
                turns.append(MessageTurn())
            _add_content(message, number, turns[-1])
        elif role in ("ai", "assistant", "AIMessageChunk"):
            if not turns:
                turns.append(MessageTurn())
            if not (calls := getattr(message, "tool_calls", None)):
                turns[-1].answers.append(str(message.text))
            elif tools:
                turns[-1].used.append((str(message.text), [_call(one) for one in calls]))
            else:
                raise UsageError(
                    f"message {number} calls a tool, which this vision model cannot do; leave such messages out."
                )
        elif isinstance(message, ToolMessage) and tools:
            _add_result(message, number, turns)
        elif role in ("system", "developer"):
            found = MessageTurn()
            _add_content(message, number, found)
            if found.blocks:
                raise UsageError(f"message {number}: a system message cannot hold a picture; send it as a person's.")
            system += found.words
        else:
            raise UsageError(
                f"message {number} is of type '{printable(role, 40)}'; a vision model reads system, human and ai "
                "messages."
            )
    for turn in turns:
        for call in (call for _, calls in turn.used for call in calls if call.result is None):
            raise UsageError(f"the call of '{printable(call.name, 60)}' has no result; send its ToolMessage.")
    if not turns or turns[-1].answers:
        raise UsageError("there is nothing to answer: the last message must be a person's.")
    return system, turns


def _call(call: Mapping[str, Any]) -> ToolCall:
    return ToolCall(str(call["name"]), json.dumps(call["args"], ensure_ascii=False), str(call.get("id") or ""))


def _add_result(message: ToolMessage, number: int, turns: Sequence[MessageTurn]) -> None:
    """Put the result of a tool to its call. Raises UsageError if there is none."""
    read = MessageTurn()
    _add_content(message, number, read)
    if read.blocks:
        raise UsageError(f"message {number}: the result of a tool cannot hold a picture; send it as a person's.")
    for _, calls in reversed(turns[-1].used if turns else []):
        for place, call in enumerate(calls):
            if call.id == message.tool_call_id and call.result is None:
                calls[place] = replace(call, result="\n\n".join(read.words))
                return
    raise UsageError(f"message {number} is the result of a call that no message before it makes.")


def _add_content(message: BaseMessage, number: int, turn: MessageTurn) -> None:
    """Add the words and picture blocks of one message to `turn`. Raises UsageError for any other block."""
    parts = [message.content] if isinstance(message.content, str) else message.content
    pictures = 0
    for part in parts:
        kind = "text" if isinstance(part, str) else part.get("type")
        if kind in ("text", "text-plain", "input_text", "output_text"):
            if words := (part if isinstance(part, str) else str(part.get("text") or "")).strip():
                turn.words.append(words)
        elif kind in ("image", "image_url", "input_image") and not isinstance(part, str):
            pictures += 1
            turn.blocks.append((part, f"picture {pictures} of message {number}"))
        else:
            raise UsageError(f"message {number} holds '{printable(kind, 40)}'; a vision model reads text and pictures.")


def _decoded(data: str, label: str) -> bytes:
    data = re.sub(r"\s+", "", data)
    if len(data) > MAX_BYTES * 4 // 3 + 4:
        raise ImageError(f"'{label}' is larger than the {MAX_BYTES:,} bytes allowed; scale it down first.")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise ImageError(f"'{label}' is not valid base64; encode the file's bytes with base64.b64encode.") from None


def forget_repeated(turns: Sequence[MessageTurn]) -> None:
    """Drop a picture that a client sends again with every message."""
    last: EncodedImage | None = None
    for turn in turns:
        kept = []
        for image in turn.images:
            if last is None or image.key != last.key:
                kept.append(image)
            last = image
        turn.images = kept


def about_one_picture(turns: list[MessageTurn]) -> tuple[list[MessageTurn], int]:
    """(the turns since the last picture, how many were before), for models that take one picture at a time."""
    shown = [number for number, turn in enumerate(turns) if turn.images]
    if len(shown) < 2:
        return turns, 0
    return turns[shown[-1] :], shown[-1]


@dataclass(frozen=True, slots=True)
class Sources:
    """Sources of pictures besides the message itself."""

    folder: Path | None = None  # whose files may be named
    fetch: Callable[[str], bytes] | None = None  # returns the bytes behind a web address

    def get(self, block: Mapping[str, Any], label: str) -> bytes | Path:
        """The bytes of a content block's picture, or the file it names. Raises UsageError or ImageError."""
        if isinstance(source := block.get("source"), Mapping):  # Anthropic's
            block = {"base64": source.get("data"), "url": source.get("url")}
        if block.get("type") in ("image_url", "input_image"):  # OpenAI's Chat Completions and Responses
            inner = block.get("image_url")
            url = inner.get("url") if isinstance(inner, Mapping) else inner
        else:
            older = block.get("source_type") == "base64"  # LangChain's before 1.0
            if isinstance(data := block.get("data" if older else "base64"), str):
                return _decoded(data, label)
            url = block.get("url")
        if not isinstance(url, str) or not url:
            raise UsageError(f"{label} has neither 'base64' nor 'url'; send its bytes as base64.")
        scheme = url[:12].partition(":")[0].lower()
        shown = printable(without_credentials(url[:500].partition("?")[0]), 80)  # what follows "?" may be a key
        if scheme == "data":
            head, comma, data = url.partition(",")
            if not comma or not head.lower().endswith(";base64"):
                raise ImageError(f"{label} is a data URL that is not base64; write data:image/png;base64,...")
            return _decoded(data, label)
        if scheme in {"http", "https"}:
            if self.fetch is None:
                raise UsageError(
                    f"{label} is a web address, '{shown}', and those are not opened; send the picture's "
                    "bytes, or give VisionChatModel(fetch=...) that gets them."
                )
            data = self.fetch(url)
            if not isinstance(data, bytes):
                raise UsageError(f"{label}: fetch gave {type(data).__name__} for '{shown}', not bytes.")
            return data
        return self._file(url, shown, label)

    def _file(self, url: str, shown: str, label: str) -> Path:
        if self.folder is None:
            raise UsageError(
                f"{label} names a file, '{shown}', and those are not opened; send the picture's bytes, "
                "or allow a folder with VisionChatModel(folder=...)."
            )
        folder = self.folder.expanduser().resolve()
        name = unquote(urlsplit(url).path) if url[:5].lower() == "file:" else url
        try:
            path = (folder / name).resolve()
        except (OSError, ValueError, RuntimeError):
            raise UsageError(f"{label}: '{shown}' cannot be the name of a file.") from None
        if not path.is_relative_to(folder):
            raise UsageError(f"{label}: '{shown}' is outside the allowed folder.")
        return path


def until(pieces: Iterator[str], stops: Sequence[str]) -> Iterator[str]:
    """The text up to the first of `stops`; what could still become one is held back."""
    stops = [stop for stop in stops if stop]
    held = ""
    for piece in pieces:
        held += piece
        hold = max((n for stop in stops for n in range(1, len(stop)) if held.endswith(stop[:n])), default=0)
        certain = len(held) - hold
        if (end := _first(stops, held)) is not None and end <= certain:
            yield held[:end]
            return
        yield held[:certain]
        held = held[certain:]
    yield held[: _first(stops, held)]


def _first(stops: Sequence[str], text: str) -> int | None:
    return min((place for stop in stops if (place := text.find(stop)) >= 0), default=None)
