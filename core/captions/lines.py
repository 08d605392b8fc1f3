"""Captions in JSON Lines: one object per picture, with its name and its caption; other fields and lines stay.

Names: "file_name" (Hugging Face datasets), "key" (`inquisight batch`), "image", "path", "filename" or "file".
Captions: "caption", "text" or "description". The first object that has both decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from core.captions.forms import CaptionError
from core.errors import printable, why
from core.files.atomic import replacing
from core.files.journal import as_bytes
from core.records import is_unsure

NAMES: Final = ("file_name", "key", "image", "path", "filename", "file")
CAPTIONS: Final = ("caption", "text", "description")
LONGEST: Final = 8 << 20  # bytes of a line


class Fields(NamedTuple):
    """The fields that hold name and caption."""

    name: str
    caption: str


class Line(NamedTuple):
    """One object of the file."""

    name: str
    text: str | None
    unsure: bool  # the caption rests on little
    failed_audit: bool  # a claim of the caption is not supported


def fields_of(path: Path) -> Fields | None:
    """The fields of the first objects in a file; None if it holds no captions."""
    try:
        with path.open("rb") as file:
            for _ in range(20):
                record = _parsed(file.readline(LONGEST))
                if record is None:
                    continue
                name = next((one for one in NAMES if isinstance(record.get(one), str)), None)
                caption = next((one for one in CAPTIONS if isinstance(record.get(one), str)), None)
                if name is not None and caption is not None:
                    return Fields(name, caption)
    except OSError:
        return None
    return None


def read_lines(path: Path, fields: Fields) -> Iterator[Line]:
    """The objects with a name, in order. Raises CaptionError."""
    try:
        with path.open("rb") as file:
            for raw in _raw_lines(file, path):
                record = _parsed(raw)
                if record is not None and isinstance(name := record.get(fields.name), str):
                    text = _text(record.get(fields.caption))
                    yield Line(name, text, _unsure(record, text), _failed(record))
    except OSError as error:
        raise CaptionError(f"'{printable(path)}' cannot be read: {why(error)}") from None


def rewrite(path: Path, fields: Fields, texts: Mapping[str, str | None], *, sync: bool = True) -> None:
    """Set captions by name, in one pass; None removes the caption. Names that are missing get a line at the end.

    Lines that do not change keep their bytes. Raises CaptionError.
    """
    missing = {name: text for name, text in texts.items() if text is not None}
    with replacing(path, CaptionError, sync=sync) as out:
        if path.exists():
            with path.open("rb") as file:
                for raw in _raw_lines(file, path):
                    record = _parsed(raw)
                    name = None if record is None else record.get(fields.name)
                    if record is None or not isinstance(name, str) or name not in texts:
                        out.write(raw if raw.endswith(b"\n") else raw + b"\n")
                        continue
                    missing.pop(name, None)
                    text = texts[name]
                    if text is None and record.keys() == {fields.name, fields.caption}:
                        continue  # a line that we added
                    if _text(record.get(fields.caption)) == text:
                        out.write(raw)
                        continue
                    if text is None:
                        record.pop(fields.caption, None)
                    else:
                        record[fields.caption] = text
                    out.write(_line(record))
        for name, text in missing.items():
            out.write(_line({fields.name: name, fields.caption: text}))


def _line(record: Mapping[str, Any]) -> bytes:
    return as_bytes(json.dumps(record, ensure_ascii=False) + "\n")


def _raw_lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    while raw := file.readline(LONGEST):
        if len(raw) == LONGEST:
            raise CaptionError(f"'{printable(path)}' has a line of more than {LONGEST >> 20} MiB, which is no caption")
        yield raw


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(value: Any) -> str | None:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _unsure(record: Mapping[str, Any], text: str | None) -> bool:
    turns = (turn for turn in _list(record, "dialogue") if isinstance(turn, dict))
    return is_unsure(text or "", [turn.get("certainty") != "unsure" for turn in turns])


def _failed(record: Mapping[str, Any]) -> bool:
    claims = (claim for claim in _list(record, "claims") if isinstance(claim, dict))
    return any(claim.get("verdict") in ("contradicted", "unsupported") for claim in claims)


def _list(record: Mapping[str, Any], name: str) -> list[Any]:
    value = record.get(name)
    return value if isinstance(value, list) else []
