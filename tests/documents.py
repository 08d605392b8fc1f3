"""What tests of documents share: the fenced blocks of a page, and the commands in them."""

from __future__ import annotations

import re


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[str]:
    """The lines after a `$`."""
    return re.findall(r"^\$ (.+)$", block, re.MULTILINE)
