"""What of a text is kept that was cut at a limit of tokens."""

from __future__ import annotations

import re
from typing import Final

_SENTENCE_END = re.compile(r"[.!?…](?=[\"'”’)\]]{0,3}(?:\s|\Z))|[。！？]")
_ABBREVIATIONS: Final = ("mr", "mrs", "ms", "dr", "st", "no", "vs", "approx", "e.g", "i.e")


def whole_sentences(text: str) -> str:
    """A text that was cut, without its unfinished sentence. One that is a single unfinished sentence stays as it is.

    There is nothing else in it, and a part of an answer is worth more than none; it is marked as cut.
    """
    end = 0
    for found in _SENTENCE_END.finditer(text):
        word = text[max(0, found.start() - 8) : found.start()].rpartition(" ")[2]
        if word.lower() not in _ABBREVIATIONS:
            end = found.end()
    if not end:
        return text
    closing = text[end : end + 3]
    return text[: end + len(closing) - len(closing.lstrip("\"'”’)]"))]
