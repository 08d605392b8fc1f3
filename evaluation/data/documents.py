"""Read JSON documents and tables of labels; everything that is wrong with one becomes one line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.datasets.left_out import LeftOut, Reason
from core.datasets.tables import TextTable
from core.errors import UsageError, printable, why

TABLES = (".csv", ".tsv", ".jsonl")
BAD_ROW = Reason("row that cannot be read", "rows that cannot be read", is_fault=True)
BAD_ENTRY = Reason("entry without what it needs", "entries without what they need", is_fault=True)


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises UsageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"'{printable(path)}' cannot be read: {why(error)}.") from None


def sha256_of(*contents: bytes) -> str:
    """One hash (hex) of several files."""
    if len(contents) == 1:
        return hashlib.sha256(contents[0]).hexdigest()
    return hashlib.sha256("".join(hashlib.sha256(one).hexdigest() for one in contents).encode()).hexdigest()


def parse_json(path: Path, content: bytes) -> Any | None:
    """The value of a JSON document; None for JSON Lines. Raises UsageError for what is neither."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        pass
    first = content.lstrip(b"\xef\xbb\xbf \t\r\n").split(b"\n", 1)[0]
    try:
        if isinstance(json.loads(first), dict):
            return None
    except (ValueError, RecursionError):
        pass
    raise UsageError(
        f"'{printable(path)}' is not JSON that can be read; it may be cut off: download or export it again."
    )


def rows_of(path: Path, left_out: LeftOut) -> Iterator[Mapping[str, Any]]:
    """The rows of a table or of JSON Lines; a line that is no row is counted. Raises UsageError."""
    table = TextTable(path)
    with table.open() as file:
        for row in table.rows(file):
            if row.fields is None:
                left_out.add(BAD_ROW, f"{path.name}, line {row.line}: {row.problem}")
            else:
                yield {key.strip().lower(): value for key, value in row.fields.items() if isinstance(key, str)}


def entries(document: Mapping[str, Any], name: str, path: Path) -> list[dict[str, Any]]:
    """The objects of the list `name` of a document. Raises UsageError."""
    found = document.get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UsageError(f"'{printable(path)}' has no list '{name}' of objects; see docs/evaluate.md for the formats.")
    return found
