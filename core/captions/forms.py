"""Where a caption may stand: `photo.txt`, `photo.caption`, `photo.jpg.xmp`, `photo.xmp`, or a line of a .jsonl file."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Final

from core.errors import InquisightError, printable, why
from core.files.atomic import replacing

LARGEST_TEXT: Final = 1 << 20  # bytes of a caption file; anything longer is no caption
_UNWRITABLE: Final = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


class CaptionError(InquisightError):
    """A caption cannot be read or written; the message names the file."""

    exit_code = 2


class CaptionExistsError(CaptionError):
    """A caption stands where another one would be written, and nobody said that it may be replaced."""


class Form(StrEnum):
    """A form of captions, in the order in which the caption of a picture is looked for."""

    TXT = "txt"
    CAPTION = "caption"
    XMP = "xmp"
    JSONL = "jsonl"


class XmpName(StrEnum):
    """How XMP sidecars are named; the value is the name for a picture `photo.jpg`."""

    FULL = "photo.jpg.xmp"  # digiKam, darktable, Immich
    STEM = "photo.xmp"  # Lightroom, Bridge, Capture One


SUFFIXES: Final = frozenset({".txt", ".caption", ".xmp", ".jsonl", ".ndjson"})
RANKS: Final = {form: rank for rank, form in enumerate(Form)}


def caption_file(picture: str | Path, form: Form, xmp_name: XmpName = XmpName.FULL) -> Path:
    """The file beside `picture` that holds its caption in this form, whether or not it exists."""
    path = Path(picture)
    if form is Form.TXT:  # never the picture itself, if that is named .txt
        return path.with_name(f"{path.name}.txt") if path.suffix.lower() == ".txt" else path.with_suffix(".txt")
    if form is Form.CAPTION:
        return path.with_suffix(".caption")
    if form is Form.XMP:
        return path.with_name(f"{path.name}.xmp") if xmp_name is XmpName.FULL else path.with_suffix(".xmp")
    raise ValueError("a line of a .jsonl file stands in no file beside the picture")


def caption_names(name: str) -> list[tuple[Form, str]]:
    """The names of files that may hold the caption of the picture `name`, with suffixes in lower case."""
    stem = os.path.splitext(name)[0]
    return [
        (Form.TXT, caption_file(name, Form.TXT).name),
        (Form.CAPTION, f"{stem}.caption"),
        (Form.XMP, f"{name}.xmp"),
        (Form.XMP, f"{stem}.xmp"),
    ]


def existing_xmp(picture: str | Path, xmp_name: XmpName = XmpName.FULL) -> Path:
    """The XMP sidecar of `picture`: the one that exists, preferring `xmp_name`, else the path for a new one."""
    preferred = caption_file(picture, Form.XMP, xmp_name)
    other = caption_file(picture, Form.XMP, XmpName.STEM if xmp_name is XmpName.FULL else XmpName.FULL)
    return other if not preferred.exists() and other.exists() else preferred


def clean(text: str) -> str:
    """`text` as every form can hold it: of control characters only tab and line feed, no lone surrogates or BOM."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNWRITABLE.sub(lambda one: "�" if "\ud800" <= one[0] <= "\udfff" else "", text)


def read_bytes(path: Path, limit: int) -> bytes | None:
    """The content of a file, None if there is none. Raises CaptionError if it is longer than `limit` bytes."""
    try:
        if not path.is_file():
            if os.path.lexists(path):
                raise CaptionError(f"'{printable(path)}' is no regular file, so no caption is read from it")
            return None
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CaptionError(f"'{printable(path)}' cannot be read: {why(error)}") from None
    if len(data) > limit:
        raise CaptionError(f"'{printable(path)}' is larger than {limit >> 20} MiB, so it is not read as a caption")
    return data


def read_text(path: Path) -> str | None:
    """The caption in a text file, without the line end of the file; None if there is no file. Raises CaptionError.

    UTF-8, UTF-16 with its mark, else Windows-1252.
    """
    data = read_bytes(path, LARGEST_TEXT)
    if data is None:
        return None
    text = decode(data)
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")


def decode(data: bytes) -> str:
    """A text file of unknown origin as text: UTF-8, UTF-16 with its mark, else Windows-1252."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def write_text(path: Path, text: str | None, *, keep_end: bool = True, sync: bool = True) -> None:
    """Write or, with None, delete a caption file. With `keep_end`, a file that has no last line end gets none.

    Raises CaptionError.
    """
    if text is None:
        delete(path)
        return
    data = text.encode("utf-8", "replace")
    if text.endswith(("\n", "\r")) or not keep_end or not _has_no_line_end(path):
        data += b"\r\n" if text.endswith("\r") else b"\n"
    write_caption_file(path, data, sync=sync)


def write_caption_file(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Replace a file atomically; what a kill leaves behind is overwritten by the next attempt. Raises CaptionError."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]  # names that are long differ at their end
    with replacing(path, CaptionError, part=f".{path.name[:40]}-{digest}.part", sync=sync) as file:
        file.write(data)


def delete(path: Path) -> None:
    """Delete a file, if it exists. Raises CaptionError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CaptionError(f"'{printable(path)}' cannot be deleted: {why(error)}") from None


def _has_no_line_end(path: Path) -> bool:
    """Whether the file has content that does not end in a line end."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if not size:
                return False
            file.seek(size - 1)
            return file.read(1) != b"\n"
    except OSError:
        return False


def stamp_of(stat: os.stat_result) -> str:
    """What changes when a file is written by any program."""
    return f"{stat.st_mtime_ns}:{stat.st_size}:{stat.st_ino}"
