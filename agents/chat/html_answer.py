"""Find the web page in an answer, and write it to a new file.

The page is untrusted code, written as the model wrote it: read it before you open or publish it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError, printable
from core.files.atomic import replacing

_FENCE = re.compile(r"```[ \t]*+([\w+-]*+)[ \t]*+\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_WHOLE = re.compile(r"<!doctype\s+html|<html[\s>]", re.IGNORECASE)
_ENDS = re.compile(r"</html\s*>", re.IGNORECASE)
_ELEMENT = re.compile(
    r"<(a|article|body|button|div|footer|form|h[1-6]|head|header|img|input|li|main|nav|ol|p|section|span|style|table|ul)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_LAST_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
MOST_FILES = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """HTML as a model wrote it; `whole` is False if it breaks off or is only a part of a page."""

    html: str
    whole: bool


def find_page(text: str) -> Page | None:
    """The first web page in `text`: in a code block, from <html> on, or at least some elements. None without HTML."""
    for language, code in _FENCE.findall(text):
        if language.casefold() in ("", "html", "xhtml", "htm") and (page := _page_in(code)) is not None:
            return page
    return _page_in(text)


def _page_in(text: str) -> Page | None:
    if begin := _WHOLE.search(text):
        ends = list(_ENDS.finditer(text, begin.start()))
        end = ends[-1].end() if ends else len(text)
        return Page(text[begin.start() : end].strip() + "\n", bool(ends))
    first = _ELEMENT.search(text)
    if first is None:
        return None
    *_, last = _LAST_TAG.finditer(text, first.start())
    return Page(text[first.start() : last.end()].strip() + "\n", whole=False)


def check_out(path: Path) -> None:
    """Raise UsageError before any work if the page could not be written at the end."""
    shown = f"'{printable(path)}'"
    if path.exists() or path.is_symlink():
        raise UsageError(f"{shown} exists already; choose another name for --out, or move it away.")
    if not path.parent.is_dir():
        raise UsageError(f"the folder of {shown} does not exist; make it, or choose another name for --out.")


def write_new(path: Path, text: str) -> Path:
    """Write a file that must not exist yet. Raises UsageError."""
    try:
        with replacing(path, UsageError, taken="choose another name") as file:
            file.write(text.encode("utf-8", errors="backslashreplace"))
    except ValueError:  # a NUL inside
        raise UsageError(f"'{printable(path)}' cannot be written: its name cannot be one.") from None
    return path


def write_beside(stem: str, text: str, folder: Path | None = None) -> Path:
    """Write to `stem.html`, or `stem-2.html`, `stem-3.html` ... where those exist. Raises UsageError."""
    for path in _names(folder or Path(), re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "page"):
        try:
            if not path.exists():
                return write_new(path, text)
        except UsageError:
            if not path.exists():  # else another program was faster
                raise
    raise UsageError(f"there are {MOST_FILES} pages of '{printable(stem)}' already; name the next one with --out.")


def _names(folder: Path, stem: str) -> Iterator[Path]:
    yield folder / f"{stem}.html"
    for number in range(2, MOST_FILES + 1):
        yield folder / f"{stem}-{number}.html"
