"""Errors for users: one line with the thing, the value and the way out.

The command line prints only `str(error)` and exits with `error.exit_code`.
"""

from __future__ import annotations

import unicodedata
from typing import Any

# Bidirectional overrides and isolates: in a file name they can make "gpj.exe" look like "exe.jpg" on a terminal.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def printable(value: object, limit: int | None = 200) -> str:
    """`value` as one line that is safe to print, log and store.

    Control characters, lone surrogates (file names that are not UTF-8) and bidirectional overrides become escapes such
    as `\\x1b`; the middle of a text longer than `limit` characters is removed.
    """
    text = str(value)
    if not (text.isascii() and text.isprintable()):
        text = "".join(
            character.encode("unicode_escape").decode("ascii")
            if character in _BIDI or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
            else character
            for character in text
        )
    if limit is not None and len(text) > limit:
        half = (limit - 3) // 2
        text = f"{text[:half]}...{text[-half:]}"
    return text


def why(error: OSError) -> str:
    """The cause of a failed read or write in a few words: "no space left on device"."""
    return printable((error.strerror or str(error) or "unknown error").lower())


class InquisightError(Exception):
    """Base of all errors for users; the message is one complete sentence."""

    exit_code: int = 1
    partial: Any = None
    """The unfinished `Caption` of a failed interview, or None; `earlier=error.partial` continues it."""


class ImageError(InquisightError):
    """A picture that cannot be opened: missing, truncated, too large, or not a picture.

    `reason` is one or two words for counts ("3 truncated"); empty for rare reasons.
    """

    exit_code = 2

    def __init__(self, message: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class UsageError(InquisightError):
    """An invalid option, name or combination of them; raised before work starts."""

    exit_code = 2


class RegistryError(InquisightError):
    """A plugin is unknown or broken, or two plugins have the same name."""

    exit_code = 3


class BackendError(InquisightError):
    """A vision backend or its weights cannot be used, or failed while answering."""

    exit_code = 4


class QuestionerError(InquisightError):
    """The language model could not be reached, refused, or gave no usable answer."""

    exit_code = 5


class StoreError(InquisightError):
    """A transcript cannot be read or written."""

    exit_code = 6
