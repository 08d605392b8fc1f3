"""Rows of text files, found again by number; only the position of every 64th is in memory.

Tables are read in place. A JSON array or a folder's listing is first written to a temporary file as JSON Lines.
"""

from __future__ import annotations

import codecs
import json
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, Final

from core.datasets.samples.sample import DataError
from core.datasets.tables import TableRow, json_rows
from core.datasets.text_lines import Lines, encoding_of
from core.errors import UsageError, printable

CHUNK: Final = 64
Parse = Callable[[BinaryIO, "int | None"], Iterator[TableRow]]  # from a row's first byte on; None: from the first row


class RowFile:
    """A file of rows in chunks of 64. `parse` must read lines only as it needs them. Raises DataError."""

    def __init__(self, file: BinaryIO, parse: Parse) -> None:
        self.file, self.parse = file, parse
        self.places = array("Q")  # the first byte of each chunk
        self.count = 0
        for row in self._parsed(None):
            if self.count % CHUNK == 0:
                self.places.append(row.begin)
            self.count += 1

    def read(self, chunk: int, first: int = 0) -> Iterator[tuple[int, TableRow]]:
        """Yield (number within the chunk, row) of a chunk's rows from `first` on."""
        rows = list(islice(self._parsed(self.places[chunk]), CHUNK))  # all at once: the file is shared
        yield from islice(enumerate(rows), first, None)

    def _parsed(self, begin: int | None) -> Iterator[TableRow]:
        try:
            yield from self.parse(self.file, begin)
        except UsageError as error:
            raise DataError(str(error)) from None


def spooled(rows: Iterable[dict[str, Any]], name: str) -> RowFile:
    """Write rows to a temporary file that is deleted when the process ends. Raises UsageError."""

    def parse(file: BinaryIO, begin: int | None) -> Iterator[TableRow]:
        file.seek(begin or 0)
        return json_rows(Lines(file, name, "utf-8"))

    try:
        file = tempfile.TemporaryFile(prefix="inquisight-")  # noqa: SIM115 - it stays open as long as the rows
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=True, default=str).encode() + b"\n")
    except OSError as error:
        raise UsageError(f"the list of {printable(name)} cannot be kept in {tempfile.gettempdir()}: {error}.") from None
    return RowFile(file, parse)


def open_json(path: Path, prefix: str) -> RowFile:
    """Read the objects of a JSON array as a stream; `prefix` is ijson's ("item", "annotations.item").

    Raises UsageError if it is not JSON.
    """
    try:
        import ijson
    except ImportError:
        raise UsageError("JSON files need ijson: pip install 'inquisight[train]'.") from None

    def objects() -> Iterator[dict[str, Any]]:
        with path.open("rb") as file:
            recoded = codecs.EncodedFile(file, "utf-8", encoding_of(file, str(path)))
            bare = SimpleNamespace(read=recoded.read)  # ijson would call the file's own `readinto`
            for value in ijson.items(bare, prefix, use_float=True):
                yield value if isinstance(value, dict) else {}

    try:
        return spooled(objects(), str(path))
    except (ijson.JSONError, UnicodeError):
        raise UsageError(f"{printable(path)} is not JSON or was cut short; copy it again.") from None
