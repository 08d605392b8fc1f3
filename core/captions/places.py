"""Read and write the caption of one place of a caption folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from core.captions.forms import CaptionError, Form, read_text, stamp_of, write_text
from core.captions.lines import Fields, fields_of, read_lines, rewrite
from core.errors import printable

NEW_LINES: Final = Fields("file_name", "text")  # of a .jsonl file that holds no captions yet: Hugging Face's names

Item = TypeVar("Item")


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """`items` in lists of at most `size`."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


def read_place(path: Path, form: Form) -> str | None:
    """The caption in a file beside a picture; None if there is none. Raises CaptionError."""
    if form is Form.XMP:
        from core.captions.xmp.sidecars import caption_of, read_xmp

        xmp = read_xmp(path)
        return None if xmp is None else caption_of(xmp)
    return read_text(path)


def write_place(path: Path, form: Form, text: str | None, *, sync: bool = True) -> None:
    """Write or, with None, remove the caption in a file beside a picture. Raises CaptionError."""
    if form is Form.XMP:
        from core.captions.xmp.sidecars import write_caption

        write_caption(path, text, datetime.now(UTC), sync=sync)
    else:
        write_text(path, text, sync=sync)


def read_table(path: Path) -> dict[str, str | None]:
    """Name -> caption in a .jsonl file; of several lines with one name, the first counts. Raises CaptionError."""
    fields = fields_of(path)
    found: dict[str, str | None] = {}
    for line in read_lines(path, fields) if fields is not None else ():
        found.setdefault(line.name, line.text)
    return found


def write_table(path: Path, texts: Mapping[str, str | None]) -> None:
    """Set captions in a .jsonl file. Raises CaptionError."""
    fields = fields_of(path)
    if fields is None and path.exists() and path.stat().st_size:
        raise CaptionError(f"'{printable(path)}' holds no captions, so none is written into it; name another file")
    rewrite(path, fields or NEW_LINES, texts)


def stamp(path: Path) -> str:
    """What changes when the file is written; empty if there is none."""
    try:
        return stamp_of(os.stat(path))
    except OSError:
        return ""
