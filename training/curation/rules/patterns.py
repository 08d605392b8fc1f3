"""The regular expressions in rules that people write are RE2's: they take time in proportion to the text.

A file of rules may come from a stranger, and Python's `re` can be kept busy for years by fifteen characters. RE2
(https://github.com/google/re2/wiki/Syntax) reads nearly the same syntax, without looking around and without back
references. In it, \\w, \\d, \\s and \\b know the letters of English alone; \\pL is any letter.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

MOST_MATCHES: Final = 2000  # in one text that are replaced: to find one can take a walk through all of the text
_REFERENCE: Final = re.compile(r"\\(?:(?P<number>[1-9]\d?)|g<(?P<name>\w+)>|(?P<escape>[a-zA-Z\\0]))")
_ESCAPES: Final = {"n": "\n", "t": "\t", "\\": "\\"}
_OF_ENGLISH: Final = re.compile(r"\\[bBwW]")


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """`pattern` as RE2 has it. Raises ValueError, one line."""
    try:
        import re2
    except ImportError:
        raise ValueError("needs google-re2: pip install 'inquisight[train]'") from None
    if not pattern.isascii() and (found := _OF_ENGLISH.search(pattern)):
        raise ValueError(f"has {found[0]}, which knows the letters of English alone; write [\\pL] or [^\\pL] instead")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if error.args else "it cannot be read"
        raise ValueError(
            f"is no regular expression of RE2, which has no look-around and no back references: {reason}"
        ) from None


def check_replacement(pattern: str, replacement: str) -> None:
    """Raise ValueError, one line, where `replacement` names a group that `pattern` has not, or an unknown escape."""
    found = compiled(pattern)
    for reference in _REFERENCE.finditer(replacement):
        group = reference["number"] or reference["name"]
        if reference["escape"] and reference["escape"] not in _ESCAPES:
            raise ValueError(f"the replacement has {reference[0]}, which stands for nothing")
        if group and (int(group) > found.groups if group.isdigit() else group not in found.groupindex):
            raise ValueError(f"the replacement does not fit the pattern: there is no group {group}")


def found_in(pattern: str, text: str) -> bool:
    """Whether `pattern` matches anywhere in `text`."""
    return compiled(pattern).search(text) is not None


def replaced(pattern: str, replacement: str, text: str) -> str:
    """`text` with the first `MOST_MATCHES` matches replaced; \\1 and \\g<name> stand for what a group matched."""

    def filled(match: Any) -> str:
        def meant(reference: re.Match[str]) -> str:
            group = reference["number"] or reference["name"]
            if not group:
                return _ESCAPES[reference["escape"]]
            return match[int(group) if group.isdigit() else group] or ""

        return _REFERENCE.sub(meant, replacement)

    return str(compiled(pattern).sub(filled, text, count=MOST_MATCHES))
