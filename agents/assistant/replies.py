"""The words of a reply that may be shown: without tool calls, reasoning and marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.chat.events import tidy
from core.net.reasoning import answer_in
from core.net.replies import ReplyReader
from core.text import whole_sentences

if TYPE_CHECKING:
    pass


def final_text(reader: ReplyReader) -> str:
    """The answer in a reply, safe to print; of one that was cut, without its unfinished sentence."""
    text = tidy(reader.answer.text).strip()
    return whole_sentences(text) if reader.reply.truncated else text


def clean_text(text: str) -> str:
    """A message without reasoning and tool calls, safe to print, its lines as they are."""
    return tidy(answer_in(text)).strip()
